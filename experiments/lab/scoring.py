"""Scores of all ensembles of a pool of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.runs import Runs
from experiments.runs.spec import RunSpec
from experiments.runs.texts import text_of
from models.ensembles.ensemble import AVERAGES, member_subsets, subset_losses
from models.ensembles.member_stream import MemberLike


def score_subsets(specs: Sequence[RunSpec], store: Runs) -> list[dict[str, object]]:
    """Return a row for each subset of finished runs and average.

    `members` are positions in `specs` as a string such as "0,2", `average` is "logit" or
    "probability", losses are in nats per token.
    """
    members = [(spec.model, store.params(spec)) for spec in specs]
    return score_members(members, text_of(specs[0], store.root)[1], member_subsets(len(specs)))


def score_members(
    members: Sequence[MemberLike], windows: Mapping[str, np.ndarray], subsets: np.ndarray
) -> list[dict[str, object]]:
    """Return a row for each subset of members and average, as `score_subsets`.

    Args:
        members: pairs of architecture and weights.
        windows: of the validation and of the test part [n_windows, context + 1], by name.
        subsets: bool [n_subsets, n_members].
    """
    losses = {part: subset_losses(members, windows[part], subsets) for part in windows}
    return [
        {
            "members": ",".join(map(str, np.flatnonzero(subset))),
            "n_members": int(subset.sum()),
            "average": how,
            "validation_loss": float(losses["validation"][how][i]),
            "test_loss": float(losses["test"][how][i]),
        }
        for how in AVERAGES
        for i, subset in enumerate(subsets)
    ]
