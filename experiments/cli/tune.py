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
        from experiments.recipes import ensembles, regularized
        from experiments.story.story import open_lab
        from experiments.tuning.certificates import print_certificates

        with self.open_executor() as executor:
            lab = open_lab(
                self.world,
                corpus=self.corpus,
                runs=self.runs,
                widths=self.widths,
                search=True,
                executor=executor,
            )
            tuned = regularized.tune(lab)
            if self.objective == "ensemble":
                tuned = ensembles.tune(lab, ensembles.heuristic_starts(lab, tuned))
        found = [certificate for _, certificate in sorted(tuned.items())]
        if self.json:
            values = [
                {"objective": self.objective, **certificate.summary()} for certificate in found
            ]
            print(json.dumps(values, indent=1, allow_nan=False))
        else:
            print_certificates(found)
        return 0
