"""Notices about single texts, of which there may be thousands."""

from __future__ import annotations

import sys
from collections import Counter

MOST_LINES = 5
"""Notices of a kind that are printed one by one."""


class Notices:
    """Prints the first few notices of each kind on stderr and, at its end, how many more came.

    Use it as a context manager.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def say(self, kind: str, detail: str) -> None:
        """Print "kind: detail", or count it."""
        self._counts[kind] += 1
        if self._counts[kind] <= MOST_LINES:
            print(f"{kind}: {detail}", file=sys.stderr)

    def __enter__(self) -> Notices:
        return self

    def __exit__(self, *error: object) -> None:
        for kind, count in self._counts.items():
            if count > MOST_LINES:
                print(f"{kind}: {count - MOST_LINES:,} more", file=sys.stderr)
