"""A folder of runs, each a folder that explains itself.

    RUN_ID/spec.json               settings, written first
    RUN_ID/lock                    who trains it, see `experiments.runs.locks`
    RUN_ID/metrics.jsonl           one line a segment of training, appended, see
                                   `experiments.runs.metrics`
    RUN_ID/checkpoint.safetensors  state of an unfinished run
    RUN_ID/failure.json            why it failed, until it is finished
    RUN_ID/params.safetensors      weights of a finished one
    RUN_ID/result.json             renamed into place last: it is there when the run is done

The store also holds measurements of runs (see `experiments.runs.records`), text that they have
written (synthetic/), imported runs (imports/, see `experiments.runs.imports`), and a cache of all
rows, index.json.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import traceback
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

import numpy as np
import pandas as pd

from experiments.runs import Runs
from experiments.runs.files import read_json, storing, write_json
from experiments.runs.imports import Checkpoints, import_runs, read_imports
from experiments.runs.index import read_index
from experiments.runs.locks import Locks, Owner, RunLock, RunLocked
from experiments.runs.metrics import (
    Line,
    append_line,
    held_out_by_step,
    losses_by_step,
    read_lines,
)
from experiments.runs.overview import store_html, unfinished_state
from experiments.runs.records import read_record
from experiments.runs.rows import (
    OURS,
    Row,
    frame_of,
    read_result,
    result_of,
    settings_row,
    write_compact,
)
from experiments.runs.spec import SCHEMA_VERSION, RunSpec

if TYPE_CHECKING:
    from models.training.job_list import Finished, Segment
    from models.training.train import Params, TrainState
    from scaling.files import Dialect

CHECKPOINT = "checkpoint.safetensors"
FINISHED_FILES = {"spec.json", "metrics.jsonl", "params.safetensors", "result.json"}

logger = logging.getLogger("datawall")


class RunStore:
    """Runs under one folder; a missing folder is an empty store.

    Methods that write raise a `StoreError` if the disk is full or the store cannot be written, and
    leave what was in the store intact.
    """

    read_only: ClassVar[bool] = False

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._locks = Locks(self.root)
        self._session = uuid.uuid4().hex[:8]

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process takes locks of its own.
        return type(self), (self.root,)

    def _repr_html_(self) -> str:
        return store_html(self.root, self.overview())

    def folder(self, spec: RunSpec) -> Path:
        """Return the folder of a run, which may not exist yet."""
        return self.root / spec.run_id

    def is_done(self, spec: RunSpec) -> bool:
        """Return whether a run has a result; a truncated one does not count."""
        return self.result(spec) is not None

    def result(self, spec: RunSpec) -> dict[str, Any] | None:
        """Return the result of a run, or None.

        Raises:
            ValueError: it was written by a later version.
        """
        found = read_result(self.folder(spec) / "result.json", spec.run_id)
        return found[0] if found else None

    def claim(self, spec: RunSpec) -> RunLock:
        """Lock a run for this process, with heartbeats until the lock is released.

        The lock of a dead owner is taken over; check `is_done` again once the lock is held.

        Returns:
            The lock, a context manager that releases it.

        Raises:
            RunLocked: another live owner holds it.
        """
        return self._locks.acquire(self.folder(spec))

    def owner(self, spec: RunSpec) -> Owner | None:
        """Return the live process that is training a run, or None."""
        return self._locks.holder(self.folder(spec))

    def set_free(self, spec: RunSpec) -> bool:
        """Remove the lock of a dead owner; return whether the run has no owner now.

        A remote owner can be declared dead only by a process that saw its heartbeat stop, so the
        process that waits removes the lock, which frees the run for all others too.
        """
        try:
            self.claim(spec).release()
        except RunLocked:
            return False
        return True

    def spec(self, run_id: str) -> RunSpec | None:
        """Return the settings of a run, or None if they are missing or unreadable here."""
        spec = _kept_spec(self.root / run_id / "spec.json")
        return spec if spec is not None and spec.run_id == run_id else None

    def begin(self, spec: RunSpec) -> None:
        """Create the folder of a run that is about to start or resume, and add its labels."""
        path = self.folder(spec) / "spec.json"
        kept = _kept_spec(path)
        if kept is None or kept.run_id != spec.run_id or not {*spec.recipes} <= {*kept.recipes}:
            with storing(self.root):
                write_json(path, spec.labeled(kept.recipes if kept else ()).to_dict())

    def append(self, spec: RunSpec, segment: Segment) -> None:
        """Add a segment's losses to the run's metrics."""
        line = Line(
            session=self._session,
            first_step=segment.first_step,
            seconds=segment.seconds,
            losses=tuple(float(loss) for loss in segment.losses),
            validation_loss=segment.validation_loss,
        )
        with storing(self.root):
            append_line(self.folder(spec) / "metrics.jsonl", line)

    def losses(self, spec: RunSpec) -> np.ndarray:
        """Return the training losses [n_steps_done], NaN where a line is lost.

        For steps that a resumed run has repeated, the later record counts.
        """
        losses = losses_by_step(self._lines(spec))
        out = np.full(max(losses, default=-1) + 1, np.nan)
        out[list(losses)] = list(losses.values())
        return out

    def curve(self, spec: RunSpec) -> pd.DataFrame:
        """Return the losses of a run along its training, as far as it has come.

        Returns:
            Its columns: `step` (steps done, from 1), `epoch` (passes over the unique tokens),
            `n_tokens_seen`, `loss` (of the training step) and `validation_loss` (of the weights
            after it), both in nats per token, NaN where not known. The latter is of the windows
            that `Job.scores_along` chooses, the same along the run; the loss of all windows at its
            end is in `frame`.
        """
        lines = self._lines(spec)
        held_out = held_out_by_step(lines)
        training = {step + 1: loss for step, loss in losses_by_step(lines).items()}
        steps = np.array(sorted({*training, *held_out}), int)
        return pd.DataFrame(
            {
                "step": steps,
                "epoch": steps * spec.train.n_epochs / spec.n_steps,
                "n_tokens_seen": steps * spec.tokens_per_step,
                "loss": [training.get(step, math.nan) for step in steps],
                "validation_loss": [held_out.get(step, math.nan) for step in steps],
            }
        )

    def seconds_per_step(self, spec: RunSpec) -> float:
        """Return the wall time of a training step, NaN if none was recorded.

        The first segment is left out if there are others, because its program is compiled then.
        """
        lines = self._lines(spec)
        lines = lines[1:] or lines
        n_steps = sum(len(line.losses) for line in lines)
        return sum(line.seconds for line in lines) / n_steps if n_steps else math.nan

    def _lines(self, spec: RunSpec) -> list[Line]:
        path = self.folder(spec) / "metrics.jsonl"
        return list(read_lines(path, n_steps=spec.n_steps))

    def keep_state(self, spec: RunSpec, state: TrainState) -> None:
        """Save the state of an unfinished run."""
        from models.training.checkpoint import save_state

        with storing(self.root):
            save_state(self.folder(spec) / CHECKPOINT, state)

    def kept_state(self, spec: RunSpec) -> TrainState | None:
        """Return the state of an unfinished run; None if it starts from the beginning.

        A run that has trained but whose checkpoint is missing or unreadable is logged as a warning.
        """
        from models.training.checkpoint import load_state
        from models.training.train import Program

        program = Program.of(spec.model, spec.optimizer, spec.train)
        state = load_state(self.folder(spec) / CHECKPOINT, program)
        if state is None:
            n_steps = len(self.losses(spec))
            there = any(self.folder(spec).glob("checkpoint*"))  # also one of an earlier version
            if there or n_steps:
                why = "its checkpoint cannot be read" if there else "it has no checkpoint"
                logger.warning(
                    "run %s starts again: it had trained %d steps, but %s",
                    *(spec.run_id, n_steps, why),
                )
        return state

    def finish(self, spec: RunSpec, event: Finished) -> None:
        """Record a run's weights and scores, after which it is done.

        Raises:
            LockLost: this process had claimed the run, and another took it over.
        """
        from models.training.checkpoint import save_params

        self._check_lock(spec)
        folder = self.folder(spec)
        with storing(self.root):
            save_params(folder / "params.safetensors", spec.model, event.params)
            result = result_of(spec, event, self._lines(spec), session=self._session)
            self._check_lock(spec)
            write_json(folder / "result.json", result, durable=True)
            _remove_all_but(folder, FINISHED_FILES)

    def _check_lock(self, spec: RunSpec) -> None:
        if (lock := self._locks.held(spec.run_id)) is not None:
            lock.check()

    def fail(self, spec: RunSpec, error: BaseException | str) -> None:
        """Record that a run failed; its other files stay.

        Args:
            spec: the run.
            error: the exception, or the traceback of another process as text.

        Raises:
            LockLost: this process had claimed the run, and another took it over.
        """
        self._check_lock(spec)
        text = error if isinstance(error, str) else "".join(traceback.format_exception(error))
        before = self.failure(spec)
        record = {
            "schema": SCHEMA_VERSION,
            "run_id": spec.run_id,
            "error": text.strip().splitlines()[-1] if text.strip() else "unknown",
            "traceback": text,
            "attempts": 1 + (before["attempts"] if before else 0),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with storing(self.root):
            write_json(self.folder(spec) / "failure.json", record)

    def failure(self, spec: RunSpec) -> dict[str, Any] | None:
        """Return the `error`, `traceback`, `attempts` and `time` of a failed run, or None."""
        found = read_json(self.folder(spec) / "failure.json")
        if not isinstance(found, dict) or found.get("run_id") != spec.run_id:
            return None
        return found if isinstance(found.get("attempts"), int) else None

    def tidy(self, spec: RunSpec) -> None:
        """Remove the files that a killed process has left in the folder of a finished run.

        Raises:
            RunLocked: another process holds its lock.
        """
        folder = self.folder(spec)
        if self.is_done(spec) and {path.name for path in folder.iterdir()} - FINISHED_FILES:
            with self.claim(spec), storing(self.root):
                _remove_all_but(folder, FINISHED_FILES)

    def params(self, spec: RunSpec) -> Params:
        """Load the weights of a finished run."""
        from models.training.checkpoint import load_params

        return load_params(self.folder(spec) / "params.safetensors", spec.model)

    def frame(self, specs: Iterable[RunSpec] | None = None) -> pd.DataFrame:
        """Return finished runs, a row each, with the columns of `experiments.runs.rows.COLUMNS`.

        A run that diverged has no losses; its `status` and `reason` say why. The `source` of a run
        trained here is "datawall".

        Args:
            specs: the runs wanted, all of which must be finished; by default every run found, and
                those imported.

        Raises:
            KeyError: a run asked for is not finished.
            ValueError: a run or an import is of a later version.
        """
        if specs is None:
            ours = [row for row in read_index(self.root) if row["status"]]
            return frame_of([*ours, *read_imports(self.root)])
        rows = []
        for spec in specs:
            found = read_result(self.folder(spec) / "result.json", spec.run_id)
            if found is None:
                raise KeyError(f"run {spec.run_id} is not finished")
            rows.append(settings_row(spec) | found[1])
        return frame_of(rows)

    def column(self, specs: Sequence[RunSpec], name: str) -> list[Any]:
        """Return one column of `frame`, a value for each run; the same errors."""
        return self.frame(specs)[name].tolist() if specs else []  # no runs, no columns

    def overview(self) -> pd.DataFrame:
        """Return every run, finished or not, with the columns of `frame` and `n_steps_done`.

        The `status` is done, diverged, imported, failed, running (a process holds its lock),
        interrupted or waiting; `reason` has the details.
        """
        rows = [self._with_state(row) for row in read_index(self.root)]
        return frame_of([*rows, *read_imports(self.root)])

    def _with_state(self, row: Row) -> Row:
        if row["status"]:
            return row
        spec = _kept_spec(self.root / row["run_id"] / "spec.json")
        if spec is None:
            return row | {"status": "waiting", "reason": "its spec is truncated"}
        n_done = len(self.losses(spec))
        state = unfinished_state(n_done, owner=self.owner(spec), failure=self.failure(spec))
        return row | {"n_steps_done": n_done, "n_steps": spec.n_steps} | state

    def import_runs(
        self,
        path: Path | str,
        columns: Mapping[str, str],
        *,
        constants: Mapping[str, float | str] | None = None,
        label: str | None = None,
        name: str | None = None,
        checkpoints: Checkpoints = "last",
        dialect: Dialect | None = None,
    ) -> pd.DataFrame:
        """Import runs of others from a file, see `experiments.runs.imports.import_runs`.

        Args:
            path: the file, of any format that `scaling.read_runs` reads.
            columns: our column -> the file's.
            constants: our column -> a value that all these runs share.
            label: the file's column that names a run; by default one of the usual names.
            name: name of the import; by default that of the file.
            checkpoints: which rows of a history are runs: the last of each run, or all.
            dialect: what is ambiguous in the file.

        Returns:
            A row a run, with the columns imported; `attrs["notes"]` says what was taken for what.
        """
        rows, notes = import_runs(
            self.root, Path(path), columns, constants=constants, label=label, name=name,
            checkpoints=checkpoints, dialect=dialect,
        )  # fmt: skip
        frame = frame_of(rows)
        frame.attrs["notes"] = list(notes)
        return frame

    def record(self, kind: str, identity: Any, source: str | None = None) -> Any | None:
        """See `Runs.record`."""
        return read_record(self.root, kind, identity, source)

    def compact(self, path: Path | str) -> pd.DataFrame:
        """Write all finished runs to one parquet file, which `read_compact` reads.

        Returns:
            What was written: the columns of `frame`, and `spec`, each run's settings as JSON.

        Raises:
            ValueError: pyarrow is not installed.
        """
        frame = self.frame()
        frame["spec"] = [
            json.dumps(read_json(self.root / run_id / "spec.json"), sort_keys=True)
            if source == OURS
            else None
            for run_id, source in zip(frame["run_id"], frame["source"], strict=True)
        ]
        return write_compact(Path(path), frame)


def can_train(runs: Runs) -> TypeGuard[RunStore]:
    """Return whether runs can be added: these are a `RunStore`, not an archive."""
    return not runs.read_only


def _kept_spec(path: Path) -> RunSpec | None:
    """Return the spec in a run's folder, or None if it is missing or unreadable here."""
    values = read_json(path)
    try:
        return RunSpec.from_dict(values) if isinstance(values, dict) else None
    except ValueError:
        return None


def _remove_all_but(folder: Path, names: set[str]) -> None:
    """Remove what a run no longer needs, except locks, which their owners remove."""
    for leftover in folder.iterdir():
        if leftover.name in names or leftover.name.partition(".")[0] == "lock":
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)
