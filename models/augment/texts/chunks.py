"""Cut long texts at natural boundaries so that every part fits a limit."""

from __future__ import annotations

import re
from collections.abc import Callable

BREAKS = (r"\n[ \t]*\n\s*", r"\n\s*", r"(?<=[.!?])\s+", r"\s+")
"""Boundaries in order of preference: paragraphs, lines, sentences, words."""


def chunks(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Return a text in parts that fit, of about equal length, complete except for white space.

    A part is cut at the paragraph, else line, else sentence, else word end nearest to its middle,
    and within a word only as a last resort.

    Args:
        text: the text to cut.
        fits: whether a part is short enough.

    Raises:
        ValueError: not even one character fits.
    """
    text = text.strip()
    if not text:
        return []
    if fits(text):
        return [text]
    if len(text) == 1:
        raise ValueError("there is no room for a text: not even one character fits")
    left, right = _halves(text)
    return [*chunks(left, fits), *chunks(right, fits)]


def _halves(text: str) -> tuple[str, str]:
    middle = len(text) / 2
    for pattern in BREAKS:
        # A break at either end would leave one half as long as the whole.
        found = [m for m in re.finditer(pattern, text) if m.start() > 0 and m.end() < len(text)]
        if found:
            best = min(found, key=lambda m: abs((m.start() + m.end()) / 2 - middle))
            # Prefer a lesser break near the middle to a better one far from it.
            if pattern == BREAKS[-1] or abs(best.start() - middle) <= len(text) / 4:
                return text[: best.start()], text[best.end() :]
    return text[: len(text) // 2], text[len(text) // 2 :]
