"""Certificates of tuned points: what was searched, what was found, what it cost.

One JSON file a size and objective, in the folder `tuning` of a run store. It holds what the search
saw, from which everything else is computed again when it is read; the part `summary` repeats that
for people and other programs.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from experiments.runs.files import read_json, write_json
from experiments.runs.spec import RunSpec
from experiments.tuning.grid import Grid, Point
from experiments.tuning.search import Neighbor, Tuned

SCHEMA_VERSION = 1
FOLDER = "tuning"

Objective = Literal["standard", "single", "ensemble"]
"""`standard`: loss of one model at the usual weight decay; `single`: of one model; `ensemble`: the
limit of infinitely many members. All on the validation part."""
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

AXIS_LABELS = {"learning_rate": "lr", "weight_decay": "decay", "n_epochs": "epochs"}


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The tuned point of one model size, with the evidence.

    Attributes:
        objective: what was minimised.
        spec: the run at the optimum with the first seed: size, text, everything else held fixed.
        tuned: what the search saw and where it ended.
        runs: training FLOPs of every run that the search asked for, by run id; a run that another
            search has trained is counted here too.
    """

    objective: Objective
    spec: RunSpec
    tuned: Tuned
    runs: Mapping[str, float]

    @property
    def key(self) -> str:
        """Name of the file: equal where only the optimum differs, the search being the same."""
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
        """Runs that the search asked for."""
        return len(self.runs)

    @property
    def train_flops(self) -> float:
        """Training FLOPs of those runs."""
        return math.fsum(self.runs.values())

    @property
    def verdict(self) -> str:
        """Say in a phrase whether the point is certified, with the ties, or why it is not."""
        tuned = self.tuned
        if tuned.flaws:
            phrase = "no: " + "; ".join(tuned.flaws)
        else:
            n_ties = sum(near.verdict == "tie" for near in tuned.neighbors)
            phrase = f"yes, {n_ties} tie{'s' * (n_ties != 1)}" if n_ties else "yes"
        widened = tuned.grid.widened(tuned.point)
        return _labelled(f"{phrase}; widened {', '.join(widened)}" if widened else phrase)

    def _repr_html_(self) -> str:
        from experiments.display.html import certificates_html

        return certificates_html([self])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; infinite losses (diverged) and unknown errors are null."""
        tuned = self.tuned
        return {
            "schema": SCHEMA_VERSION,
            "objective": self.objective,
            "spec": self.spec.to_dict(),
            "axes": [[name, list(values)] for name, values in tuned.grid.axes.items()],
            "widest": {name: list(ends) for name, ends in tuned.grid.widest.items()},
            "together": [list(direction) for direction in tuned.grid.together],
            "n_look": tuned.n_look,
            "path": [tuned.grid.named(point) for point in tuned.path],
            "looks": [
                {**tuned.grid.named(point), "mean": _finite(mean)}
                for point, mean in tuned.looks.items()
            ],
            "values": [
                {**tuned.grid.named(point), "by_seed": [_finite(x) for x in values]}
                for point, values in tuned.values.items()
            ],
            "runs": dict(self.runs),
            "summary": self.summary(),
        }

    def summary(self) -> dict[str, Any]:
        """Return what was found, as plain values."""
        tuned = self.tuned
        return {
            "width": self.spec.model.width,
            "n_params_non_embedding": self.spec.model.n_params_non_embedding,
            **tuned.best,
            "loss": _finite(tuned.loss),
            "stderr": _finite(tuned.stderr),
            "certified": tuned.certified,
            "flaws": list(tuned.flaws),
            "widened": list(tuned.grid.widened(tuned.point)),
            "noise_sd": _finite(tuned.noise.sd),
            "noise_df": tuned.noise.df,
            "optimism": _finite(tuned.optimism),
            "n_points": len(tuned.looks),
            "n_runs": self.n_runs,
            "train_flops": self.train_flops,
            "neighbors": [_plain(near, tuned.grid) for near in tuned.neighbors],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Certificate:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: another schema version.
        """
        if values.get("schema") != SCHEMA_VERSION:
            raise ValueError(
                f"this certificate has schema {values.get('schema')!r}; "
                f"readable is {SCHEMA_VERSION}"
            )
        grid = Grid(
            axes={name: tuple(of_axis) for name, of_axis in values["axes"]},
            widest={name: (least, most) for name, (least, most) in values["widest"].items()},
            together=tuple(map(tuple, values.get("together", []))),
        )

        def point(row: Mapping[str, Any]) -> Point:
            return tuple(row[name] for name in grid.axes)

        return cls(
            objective=values["objective"],
            spec=RunSpec.from_dict(values["spec"]),
            tuned=Tuned(
                grid=grid,
                n_look=values["n_look"],
                path=tuple(point(row) for row in values["path"]),
                looks={point(row): _number(row["mean"]) for row in values["looks"]},
                values={
                    point(row): tuple(map(_number, row["by_seed"])) for row in values["values"]
                },
            ),
            runs=values["runs"],
        )


def _labelled(text: str) -> str:
    """Call axes by their short names."""
    for name, label in AXIS_LABELS.items():
        text = text.replace(name, label)
    return text


def _plain(near: Neighbor, grid: Grid) -> dict[str, Any]:
    plain = {k: _finite(v) if isinstance(v, float) else v for k, v in asdict(near).items()}
    return {**plain, "point": grid.named(near.point)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.inf if value is None else value


def save_certificate(certificate: Certificate, store: Path) -> Path:
    """Write a certificate into a run store, unless the same is there already."""
    path = store / FOLDER / f"{certificate.key}.json"
    values = json.loads(json.dumps(certificate.to_dict()))
    if read_json(path) != values:  # so that a finished store can be read-only
        write_json(path, values)
    return path


def load_certificates(store: Path) -> list[Certificate]:
    """Read every certificate of a run store, by objective and size; torn files are left out.

    Raises:
        ValueError: a certificate of another schema version (names the file).
    """
    found = []
    for path in sorted((store / FOLDER).glob("*.json")):
        values = read_json(path)
        if values is not None:
            try:
                found.append(Certificate.from_dict(values))
            except (TypeError, KeyError, ValueError) as error:
                raise ValueError(f"{path} is not a certificate of this version: {error}") from error
    return sorted(
        found,
        key=lambda c: (
            OBJECTIVES.index(c.objective),
            c.spec.data.n_unique_tokens,
            c.spec.model.width,
        ),
    )
