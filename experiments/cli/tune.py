"""`datawall tune`: the best learning rate, weight decay and epochs of every size, certified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from experiments.cli.options import WorldOptions, readable
from experiments.cli.output import print_json


@readable
@dataclass(frozen=True, kw_only=True)
class Tune(WorldOptions):
    """Tune hyperparameters at every model size by coordinate descent and print the optima.

    An optimum is certified if every neighbour on the grid has been run and none is better by more
    than the noise between seeds. Finished runs are not trained again.
    """

    widths: tuple[int, ...] = ()
    """Widths of the models to tune; by default all of the world."""
    objective: Literal["single", "ensemble"] = "single"
    """Minimise the loss of a single model, or the limit of an ensemble of many members."""
    save: Path | None = None
    """Write what the searches found as settings that a world can carry: NAME.settings.json. The
    standard recipe is searched for it too."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Tune and print the optima."""
        from experiments.recipes.ensembles import heuristic_starts, tune_members
        from experiments.recipes.regularized import tune_singles
        from experiments.recipes.standard import standard
        from experiments.tuning.certificates import print_certificates
        from experiments.worlds.settings import write_settings

        with self.open_lab(widths=self.widths, search=True) as lab:
            searches = [tune_singles(lab)]
            if self.objective == "ensemble":
                searches.append(tune_members(lab, heuristic_starts(lab, searches[0])))
            if self.save:
                write_settings(
                    self.save,
                    [
                        certificate
                        for search in (standard.run(lab).certificates, *searches)
                        for certificate in search.values()
                    ],
                    f"a search in world {lab.world.name}",
                )
        found = [certificate for _, certificate in sorted(searches[-1].items())]
        if self.json:
            print_json([{"objective": self.objective, **one.summary()} for one in found])
        else:
            print_certificates(found)
        return 0
