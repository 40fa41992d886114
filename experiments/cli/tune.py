"""`datawall tune`: the best learning rate, weight decay and epochs of every size, certified."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from experiments.cli.options import WorldOptions, readable


@readable
@dataclass(frozen=True, kw_only=True)
class Tune(WorldOptions):
    """Tune every size by coordinate descent; print the optima with their certificates.

    A certificate says that every neighbour on the grid has been run and none is better by more than
    the noise between seeds. Finished runs are not trained again.
    """

    widths: tuple[int, ...] = ()
    """Model sizes to tune; all of the world by default."""
    objective: Literal["single", "ensemble"] = "single"
    """What to minimise: the loss of one model, or the limit of an ensemble of many."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Tune and print."""
        from experiments.recipes.ensembles import heuristic_starts, tune_members
        from experiments.recipes.regularized import tune_singles
        from experiments.tuning.certificates import print_certificates

        with self.open_lab(widths=self.widths) as lab:
            tuned = tune_singles(lab)
            if self.objective == "ensemble":
                tuned = tune_members(lab, heuristic_starts(lab, tuned))
        found = [certificate for _, certificate in sorted(tuned.items())]
        if self.json:
            values = [
                {"objective": self.objective, **certificate.summary()} for certificate in found
            ]
            print(json.dumps(values, indent=1, allow_nan=False))
        else:
            print_certificates(found)
        return 0
