"""Published numbers that tests check, and the table of them that `make numbers` prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

MARK = "published"
"""Mark of the tests that check a published number."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A published number beside ours.

    Attributes:
        quantity: what it is, with its unit.
        published: the number as published.
        ours: the same computed here from published inputs.
        tolerance: largest absolute difference with which the two agree: mostly the rounding of what
            was printed.
        source: paper, talk or code.
        agrees: False where a difference is known: the test then asserts that there is one.
    """

    quantity: str
    published: float
    ours: float
    tolerance: float
    source: str
    agrees: bool = True

    @property
    def is_near(self) -> bool:
        """Whether the two agree within the tolerance."""
        # Differences of decimals such as 40.58 and 40.583 are not exact.
        return abs(self.ours - self.published) <= self.tolerance * (1 + 1e-9)

    @property
    def word(self) -> str:
        """Whether the two agree, as a cell of the table."""
        if self.is_near != self.agrees:
            return "FAILED"
        return "yes" if self.is_near else "no, known"


def check(number: Number, properties: list[tuple[str, Any]]) -> None:
    """Note a number in the properties of a test's report, and assert that it is as expected."""
    properties.append((MARK, asdict(number)))
    assert number.is_near == number.agrees, (
        f"{number.quantity}: published {number.published:g}, ours {number.ours:g}, "
        f"tolerance {number.tolerance:g}"
    )


def table(reports: Iterable[Any]) -> list[str]:
    """Return the lines of the table of the numbers that tests have noted, and their count."""
    found = [Number(**values) for one in reports for name, values in one.user_properties
             if name == MARK]  # fmt: skip
    if not found:
        return []
    head = ("quantity", "published", "ours", "tolerance", "agree", "source")
    cells = [
        (one.quantity, f"{one.published:.7g}", f"{one.ours:.7g}", f"{one.tolerance:.2g}", one.word,
         one.source)
        for one in sorted(found, key=lambda one: (one.source, one.quantity))
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if at in (1, 2, 3) else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *cells)
    ]
    words = [one.word for one in found]
    count = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(sorted(words)[::-1]))
    return [*lines, f"{len(found)} published numbers. Do they agree? {count}"]
