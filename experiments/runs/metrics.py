"""The losses of a run in a file of JSON lines, one appended for each segment of training.

A line is {"schema", "session", "first_step", "seconds", "loss": [...]}, with "validation_loss" if
the weights after its last step were scored; a loss that is not finite is null. Truncated and other
lines are skipped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from experiments.runs.spec import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True)
class Line:
    """One segment: losses in nats per token from `first_step` on, and its wall time.

    `validation_loss` is that of the weights after its last step, None if they were not scored.
    """

    session: str
    first_step: int
    seconds: float
    losses: tuple[float, ...]
    validation_loss: float | None = None


def append_line(path: Path, line: Line) -> None:
    """Append a line to a file, whose last line may be truncated."""
    values = {
        "schema": SCHEMA_VERSION,
        "session": line.session,
        "first_step": line.first_step,
        "seconds": line.seconds,
        "loss": [loss if math.isfinite(loss) else None for loss in line.losses],
    }
    if line.validation_loss is not None and math.isfinite(line.validation_loss):
        values["validation_loss"] = line.validation_loss
    with path.open("ab") as file:
        # The leading newline ends a line that a killed writer has left unfinished.
        file.write(b"\n" + json.dumps(values).encode())


def read_lines(path: Path, *, n_steps: int) -> Iterator[Line]:
    """Yield every valid line whose steps are below `n_steps`."""
    if not path.exists():
        return
    for text in path.read_bytes().split(b"\n"):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            continue
        line = _line(values, n_steps) if isinstance(values, dict) else None
        if line is not None:
            yield line


def _line(values: dict[str, Any], n_steps: int) -> Line | None:
    first, losses = values.get("first_step"), values.get("loss")
    if not _is_whole(first) or not isinstance(losses, list):
        return None
    if first < 0 or first + len(losses) > n_steps:
        return None
    if not all(loss is None or _is_real(loss) for loss in losses):
        return None
    seconds, held_out = values.get("seconds"), values.get("validation_loss")
    return Line(
        session=str(values.get("session", "")),
        first_step=first,
        seconds=float(seconds) if _is_real(seconds) and 0 <= seconds < math.inf else 0.0,
        losses=tuple(math.nan if loss is None else float(loss) for loss in losses),
        validation_loss=float(held_out) if _is_real(held_out) else None,
    )


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_real(value: Any) -> TypeGuard[float]:
    """Return whether a value is a number that a float can represent."""
    return isinstance(value, float) or (_is_whole(value) and abs(value) < 2**1000)


def losses_by_step(lines: Iterable[Line]) -> dict[int, float]:
    """Return the loss of every recorded step; of repeated steps the later record counts."""
    losses: dict[int, float] = {}
    for line in lines:
        losses.update(enumerate(line.losses, line.first_step))
    return losses


def held_out_by_step(lines: Iterable[Line]) -> dict[int, float]:
    """Return the validation loss after each number of steps at which it was scored."""
    return {
        line.first_step + len(line.losses): line.validation_loss
        for line in lines
        if line.validation_loss is not None
    }
