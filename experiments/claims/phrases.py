"""What several claims say of tuned points."""

from __future__ import annotations

from collections.abc import Mapping

from experiments.tuning.search import Tuned


def cell(found: Tuned) -> str:
    """Write weight decay and epochs of an optimum."""
    return f"{found.best['weight_decay']:g} x {found.best['n_epochs']:g}"


def uncertified(members: Mapping[int, Tuned]) -> str:
    """Say which sizes' members have an optimum without certificate, and why."""
    doubtful = [
        f"width {width} ({', '.join(found.flaws)})"
        for width, found in sorted(members.items())
        if not found.certified
    ]
    return f" Members' optimum not certified: {'; '.join(doubtful)}." if doubtful else ""
