"""Numbers with suffixes: 200M tokens, 1.4B parameters, 1e21 FLOPs."""

from __future__ import annotations

import math
import re

SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}
_FORM = re.compile(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)([kmbgt]?)", flags=re.IGNORECASE)


def parse_quantity(text: str, *, name: str) -> float:
    """Return a number above zero given with an optional suffix k, M, B (or G) or T, in any case.

    Args:
        text: such as "200M", "1.4b", "1e21", "209_715_200" or "16,384".
        name: name of the quantity, for the message.

    Raises:
        ValueError: the text is not such a number.
    """
    found = _FORM.fullmatch(text.strip().replace("_", "").replace(",", ""))
    value = float(found[1]) * SUFFIXES[found[2].lower()] if found else math.nan
    if not (math.isfinite(value) and value > 0):
        raise ValueError(
            f"{name} must be a number above 0, optionally with k, M, B or T, such as 200M; "
            f"not {text!r}"
        )
    return value


def human(value: float) -> str:
    """Return a count in three digits with a suffix: 100672 -> 101k, 1.04e9 -> 1.04B."""
    value = float(f"{value:.3g}") if value >= 1e3 else value  # 999.9M is 1B, not 1e+03M
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size <= value < 1e15:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
