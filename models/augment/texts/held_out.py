"""Which documents of a text are held out for evaluation, decided by the hashes of their ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

HELD_OUT_SHARE = 0.1
"""Share of the records that are held out from training, for evaluation."""

FEWEST_HELD_OUT = 2
"""One to select settings on and one to report."""


def is_held_out(source_id: str) -> bool:
    """Return whether a record is held out from training, decided by the hash of its id."""
    return _rank(source_id) < HELD_OUT_SHARE * 2**32


def held_out_ids(source_ids: Iterable[str]) -> list[str]:
    """Return the records of a text that `datawall worth` holds out, in the order of their hashes.

    Those of `is_held_out`, and where these are fewer than two, the two of the lowest hashes.
    """
    ranked = sorted(set(source_ids), key=lambda id: (_rank(id), id))
    n = sum(map(is_held_out, ranked))
    return ranked[: max(n, FEWEST_HELD_OUT)]


def _rank(source_id: str) -> int:
    return int(hashlib.sha256(source_id.encode()).hexdigest()[:8], 16)
