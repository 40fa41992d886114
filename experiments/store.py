"""A folder of runs, each a folder that explains itself.

    RUN_ID/spec.json           settings, written first
    RUN_ID/metrics.jsonl       one line a segment of training, appended
    RUN_ID/checkpoint/         state of an unfinished run
    RUN_ID/params.safetensors  weights of a finished one
    RUN_ID/result.json         renamed into place last: it is there when the run is done

Scores of ensembles are kept beside the runs as ensembles/KEY.json, where KEY names their members.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.files import read_json, write_json
from experiments.provenance import provenance
from experiments.spec import SCHEMA_VERSION, RunSpec

if TYPE_CHECKING:
    from models.job_list import Finished, Segment
    from models.train import Params, TrainState

SCORES_VERSION = 1
"""Raise it when the scoring of ensembles changes, so that kept scores are not used again."""


class RunStore:
    """Runs under one folder; a missing folder is an empty store."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def folder(self, spec: RunSpec) -> Path:
        """Return the folder of a run, there or not."""
        return self.root / spec.run_id

    def is_done(self, spec: RunSpec) -> bool:
        """Tell whether a run has its result; a torn result counts as none."""
        return self.result(spec) is not None

    def result(self, spec: RunSpec) -> dict[str, Any] | None:
        """Return the result of a run, or None."""
        result = read_json(self.folder(spec) / "result.json")
        return result if result and result.get("run_id") == spec.run_id else None

    def begin(self, spec: RunSpec) -> None:
        """Make the folder of a run that is about to start or go on."""
        write_json(self.folder(spec) / "spec.json", spec.to_dict())

    def append(self, spec: RunSpec, segment: Segment) -> None:
        """Add a segment's losses to the run's metrics."""
        line = {"first_step": segment.first_step, "loss": [float(x) for x in segment.losses]}
        with (self.folder(spec) / "metrics.jsonl").open("a", encoding="utf-8") as file:
            # A leading newline ends a line that a killed writer may have left torn.
            file.write("\n" + json.dumps(line))

    def losses(self, spec: RunSpec) -> np.ndarray:
        """Return the training loss of every step recorded, NaN where a line is lost.

        Where a resumed run repeated steps, the later record holds.
        """
        path = self.folder(spec) / "metrics.jsonl"
        losses: dict[int, float] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                row = json.loads(line)
                losses.update(enumerate(row["loss"], row["first_step"]))
            except (ValueError, TypeError, KeyError):
                continue
        out = np.full(max(losses, default=-1) + 1, np.nan)
        out[list(losses)] = list(losses.values())
        return out

    def keep_state(self, spec: RunSpec, state: TrainState) -> None:
        """Save the state of an unfinished run."""
        from models.checkpoint import save_state

        save_state(self.folder(spec) / "checkpoint", state)

    def kept_state(self, spec: RunSpec) -> TrainState | None:
        """Load the state of an unfinished run, or None."""
        from models.checkpoint import load_state

        return load_state(self.folder(spec) / "checkpoint", spec.model)

    def finish(self, spec: RunSpec, event: Finished) -> None:
        """Record a run's weights and scores; only then is it done."""
        from models.checkpoint import save_params

        folder = self.folder(spec)
        job = event.job
        save_params(folder / "params.safetensors", spec.model, event.params)
        n_tokens = job.n_steps * job.tokens_per_step
        last_epoch = self.losses(spec)[-job.steps_per_epoch :]
        recorded = last_epoch[np.isfinite(last_epoch)]
        result = {
            "schema": SCHEMA_VERSION,
            "run_id": spec.run_id,
            "status": "diverged" if event.diverged else "done",
            "scores": dict(event.scores),
            "train_loss": None if event.diverged or not len(recorded) else float(recorded.mean()),
            "n_params": spec.model.n_params,
            "n_params_non_embedding": spec.model.n_params_non_embedding,
            "n_steps": job.n_steps,
            "n_tokens_seen": n_tokens,
            "train_flops": job.flops,
            "seconds": event.seconds,
            "tokens_per_second": n_tokens / event.seconds,
            "device": event.device,
            "provenance": provenance(),
        }
        write_json(folder / "result.json", result)
        # Also what a killed process may have left half written beside it.
        for leftover in (*folder.glob("checkpoint*"), *folder.glob("*.tmp")):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def params(self, spec: RunSpec) -> Params:
        """Load the weights of a finished run."""
        from models.checkpoint import load_params

        return load_params(self.folder(spec) / "params.safetensors", spec.model)

    def frame(self, specs: Iterable[RunSpec] | None = None) -> pd.DataFrame:
        """Return finished runs, a row each: settings, scores, cost.

        Args:
            specs: the runs wanted, all of which must be finished; by default every run found.

        Raises:
            KeyError: a run asked for is not finished.
        """
        rows = []
        for spec in self._specs() if specs is None else specs:
            result = self.result(spec)
            if result is None and specs is not None:
                raise KeyError(f"run {spec.run_id} is not finished")
            if result is not None:
                rows.append(_row(spec, result))
        return pd.DataFrame(rows)

    def _specs(self) -> list[RunSpec]:
        specs = []
        for path in sorted(self.root.glob("*/spec.json")):
            values = read_json(path)
            if values:
                try:
                    specs.append(RunSpec.from_dict(values))
                except (TypeError, KeyError, ValueError) as error:
                    raise ValueError(f"{path} is not a run of this version: {error}") from error
        return specs

    def ensemble_path(self, specs: Sequence[RunSpec]) -> Path:
        """Return where the scores of an ensemble of these runs are kept."""
        key = json.dumps([SCORES_VERSION, *(spec.run_id for spec in specs)])
        return self.root / "ensembles" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"


def _row(spec: RunSpec, result: dict[str, Any]) -> dict[str, Any]:
    """Flatten a run into the columns of a table."""
    scores = result["scores"]
    return {
        "run_id": spec.run_id,
        "status": result["status"],
        "corpus": spec.data.corpus,
        "n_unique_tokens": spec.data.n_unique_tokens,
        "draw_seed": spec.data.draw_seed,
        "width": spec.model.width,
        "n_params": result["n_params"],
        "n_params_non_embedding": result["n_params_non_embedding"],
        "learning_rate": spec.optimizer.learning_rate,
        "weight_decay": spec.optimizer.weight_decay,
        "n_epochs": spec.train.n_epochs,
        "batch_size": spec.train.batch_size,
        "data_order": spec.train.data_order,
        "window_jitter": spec.train.window_jitter,
        "seed": spec.seed,
        "train_loss": result["train_loss"],
        "validation_loss": scores.get("validation"),
        "test_loss": scores.get("test"),
        "n_tokens_seen": result["n_tokens_seen"],
        "train_flops": result["train_flops"],
        "seconds": result["seconds"],
        "device": result["device"],
    }
