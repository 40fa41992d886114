"""Certificates of optima: what was searched, what was found and what it cost."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd

from experiments.display.tables import frame_table, print_table
from experiments.runs.rows import finite
from experiments.runs.spec import RunSpec
from experiments.tuning.grid import Grid
from experiments.tuning.search import Neighbor, Tuned
from scaling.results import markup

if TYPE_CHECKING:
    from experiments.tuning.grid import Direction

OBJECTIVE_TITLES = {
    "standard": "standard recipe, learning rate and epochs tuned",
    "single": "single models tuned",
    "ensemble": "members tuned for the limit of many",
}

Objective = Literal["standard", "single", "ensemble"]
"""Validation loss that a search minimises: of one model at the usual weight decay (`standard`), of
one model (`single`), or of infinitely many members (`ensemble`)."""
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

AXIS_LABELS = {"learning_rate": "lr", "weight_decay": "decay", "n_epochs": "epochs"}
MARGINS = "loss of neighbours minus loss of the optimum ± s.e., in 0.001 nats"
MARKS = "~: a tie, indistinguishable at 95 %; !: better by more than the noise"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The optimum of one model size, with the evidence for it.

    Attributes:
        objective: what was minimised.
        spec: the run at the optimum with the first seed; it holds the size, the text and all
            settings that were held fixed.
        tuned: the result of the search.
        runs: training FLOPs of every run that the search requested, by run id, including runs that
            another search had trained.
    """

    objective: Objective
    spec: RunSpec
    tuned: Tuned
    runs: Mapping[str, float]

    @property
    def key(self) -> str:
        """Name of the file; it depends on the search and not on the optimum that was found."""
        identity = self.spec.to_dict()
        del identity["data"]["corpus"], identity["seed"]
        identity["grid"] = [
            [[name, *values] for name, values in self.tuned.grid.values.items()],
            self.tuned.n_look,
        ]
        for part in ("optimizer", "train"):
            identity[part] = {k: v for k, v in identity[part].items() if k not in AXIS_LABELS}
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:12]
        return f"{self.objective}-{self.spec.model.width}-{digest}"

    @property
    def n_runs(self) -> int:
        """Number of runs that the search requested."""
        return len(self.runs)

    @property
    def train_flops(self) -> float:
        """Training FLOPs of those runs."""
        return math.fsum(self.runs.values())

    @property
    def verdict(self) -> str:
        """A phrase: "yes" with the number of ties, or "no" with the reasons."""
        tuned = self.tuned
        if tuned.flaws:
            phrase = "no: " + "; ".join(tuned.flaws)
        else:
            n_ties = sum(near.verdict == "tie" for near in tuned.neighbors)
            phrase = f"yes, {n_ties} tie{'s' * (n_ties != 1)}" if n_ties else "yes"
        widened = tuned.grid.widened(tuned.point)
        return _labelled(f"{phrase}; widened {', '.join(widened)}" if widened else phrase)

    def _repr_html_(self) -> str:
        return certificates_html([self])

    def summary(self) -> dict[str, Any]:
        """Return the result as JSON types."""
        tuned = self.tuned
        return {
            "width": self.spec.model.width,
            "n_params_non_embedding": self.spec.model.n_params_non_embedding,
            **tuned.best,
            "loss": finite(tuned.loss),
            "stderr": finite(tuned.stderr),
            "certified": tuned.certified,
            "flaws": list(tuned.flaws),
            "widened": list(tuned.grid.widened(tuned.point)),
            "noise_sd": finite(tuned.noise.sd),
            "noise_df": tuned.noise.df,
            "optimism": finite(tuned.optimism),
            "n_points": len(tuned.looks),
            "n_runs": self.n_runs,
            "train_flops": self.train_flops,
            "neighbors": [_neighbor(near, tuned.grid) for near in tuned.neighbors],
        }


def _labelled(text: str) -> str:
    """Replace the names of axes by their labels."""
    for name, label in AXIS_LABELS.items():
        text = text.replace(name, label)
    return text


def _neighbor(near: Neighbor, grid: Grid) -> dict[str, Any]:
    plain = {k: finite(v) if isinstance(v, float) else v for k, v in asdict(near).items()}
    return {**plain, "point": grid.named(near.point)}


def optima_table(certificates: Sequence[Certificate]) -> pd.DataFrame:
    """Return a table of optima for display.

    Returns:
        A row per certificate; columns `D` (if there are several), `width`, the labels of the axes,
        `loss ± s.e.`, `certified`, `runs` and `FLOPs`.
    """
    return pd.DataFrame(
        [
            {
                **_place(found, certificates),
                **{AXIS_LABELS[name]: f"{x:g}" for name, x in found.tuned.best.items()},
                "loss ± s.e.": f"{found.tuned.loss:.3f} ± {found.tuned.stderr:.3f}",
                "certified": found.verdict,
                "runs": found.n_runs,
                "FLOPs": f"{found.train_flops:.1e}",
            }
            for found in certificates
        ]
    )


def _place(found: Certificate, certificates: Sequence[Certificate]) -> dict[str, int]:
    """Return the width of a certificate, and its unique tokens if they differ between several."""
    sizes = {other.spec.data.n_unique_tokens for other in certificates}
    stock = {"D": found.spec.data.n_unique_tokens} if len(sizes) > 1 else {}
    return {**stock, "width": found.spec.model.width}


def margins_table(certificates: Sequence[Certificate]) -> pd.DataFrame:
    """Return a table of the margins of all neighbours, in thousandths of a nat.

    Returns:
        A row per certificate; columns as in `optima_table` up to `width`, then two per direction (a
        step lower, a step higher). "~" marks a tie, "!" a neighbour that is better by more than the
        noise.
    """
    return pd.DataFrame(
        [
            _place(found, certificates)
            | {
                f"{' & '.join(AXIS_LABELS[axis] for axis in direction)} {'-+'[step > 0]}": _margin(
                    found.tuned, direction, step
                )
                for direction in found.tuned.grid.directions()
                if all(len(found.tuned.grid.axes[axis]) > 1 for axis in direction)
                for step in (-1, 1)
            }
            for found in certificates
        ]
    )


def _margin(tuned: Tuned, direction: Direction, step: int) -> str:
    for near in tuned.neighbors:
        if (near.direction, near.step) == (direction, step):
            if not math.isfinite(near.margin):
                return "diverged"
            mark = {"tie": " ~", "better": " !", "worse": ""}[near.verdict]
            return f"{1000 * near.margin:+.0f}±{1000 * near.stderr:.0f}{mark}"
    return "end" if tuned.grid.step(tuned.point, direction, step) is None else "not run"


def print_certificates(certificates: Sequence[Certificate]) -> None:
    """Print optima and the margins of their neighbours to stdout, two tables per objective."""
    from rich.console import Console

    console = Console(highlight=False)
    if not certificates:
        return
    for objective, group in itertools.groupby(certificates, key=lambda found: found.objective):
        of_objective = list(group)
        print_table(
            optima_table(of_objective),
            title=f"{OBJECTIVE_TITLES[objective]}: validation loss, nats",
        )
        print_table(
            margins_table(of_objective),
            title=MARGINS,
        )
        console.print(f"{MARKS}.")
        bias = fmean(found.tuned.optimism for found in of_objective)
        if math.isfinite(bias):
            console.print(f"Selection biases these losses by about {-bias:.3f} nats.")
    runs: dict[str, float] = {}
    for found in certificates:
        runs |= found.runs
    console.print(
        f"{len(runs)} runs, {sum(runs.values()):.2g} training FLOPs in total "
        "(runs shared by several searches are counted once)."
    )


def certificates_html(certificates: Sequence[Certificate]) -> str:
    """Return HTML tables of optima and of the margins of their neighbours."""
    objectives = dict.fromkeys(found.objective for found in certificates)
    titles = "; ".join(OBJECTIVE_TITLES[objective] for objective in objectives)
    return markup.fragment(
        f"{titles}: validation loss, nats",
        tables=[frame_table(optima_table(certificates)), frame_table(margins_table(certificates))],
        notes=[f"Second table: {MARGINS}; {MARKS}."],
    )
