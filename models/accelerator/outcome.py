"""What an item of an examination found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of a check or a measurement.

    Attributes:
        passed: whether a check holds; None for a measurement, and where nothing could be checked.
        figures: what was measured, by name with its unit; a tolerance beside what it limits.
        note: what a reader of the figures has to know.
    """

    passed: bool | None
    figures: Mapping[str, float | str | None] = field(default_factory=dict)
    note: str = ""
