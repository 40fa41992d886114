"""Long texts cut where a reader would cut them, so that every part fits."""

from __future__ import annotations

import re
from collections.abc import Callable

BREAKS = (r"\n[ \t]*\n\s*", r"\n\s*", r"(?<=[.!?])\s+", r"\s+")
"""Where to cut, best first: paragraphs, lines, sentences, words."""


def chunks(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Cut a text into parts that fit, about equally long; they hold all of it but white space.

    A part is cut at the paragraph, else line, else sentence, else word end nearest to its middle,
    and within a word only where there is no other way.

    Args:
        text: what to cut.
        fits: tells whether a part is short enough.

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
        # The ends would leave one half as long as the whole.
        found = [m for m in re.finditer(pattern, text) if m.start() > 0 and m.end() < len(text)]
        if found:
            best = min(found, key=lambda m: abs((m.start() + m.end()) / 2 - middle))
            # A break far from the middle is passed over for a lesser one nearer to it.
            if pattern == BREAKS[-1] or abs(best.start() - middle) <= len(text) / 4:
                return text[: best.start()], text[best.end() :]
    return text[: len(text) // 2], text[len(text) // 2 :]
