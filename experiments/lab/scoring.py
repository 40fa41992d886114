"""Scores of all ensembles of a pool of runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.runs import Runs
from experiments.runs.spec import RunSpec
from experiments.runs.texts import text_of
from models.ensembles.ensemble import AVERAGES, member_subsets, subset_losses

COLUMNS = ["members", "n_members", "average", "validation_loss", "test_loss"]


def score_subsets(specs: Sequence[RunSpec], store: Runs) -> list[dict[str, object]]:
    """Return a row for each subset of finished runs and average, with `COLUMNS`.

    `members` are positions in `specs` as a string such as "0,2", `average` is "logit" or
    "probability", losses are in nats per token.
    """
    members = [(spec.model, store.params(spec)) for spec in specs]
    windows = text_of(specs[0], store.root)[1]
    subsets = member_subsets(len(specs))
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
