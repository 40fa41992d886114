"""How a sweep is coming on: runs done, running and failed, tokens a second, time left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import TracebackType

from experiments.display.progress import Speed, WorkProgress
from experiments.runs.spec import RunSpec
from experiments.sweeps.worker import RunEvent

SHOWN = {"started": "running", "failed": "failed", "held": "elsewhere"}
"""What is said of runs in these states; of the others the bar tells."""
FINISHED = ("trained", "found")


class SweepProgress:
    """Turn the events of a sweep's runs into a bar, or into lines."""

    def __init__(self, title: str, specs: Iterable[RunSpec]) -> None:
        self._specs = {spec.run_id: spec for spec in specs}
        self._states: dict[str, str] = {}
        self._steps: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self._tokens = Speed()
        work = sum(spec.train_flops for spec in self._specs.values())
        self._shown = WorkProgress(title, n_jobs=len(self._specs), work=work)

    def __enter__(self) -> SweepProgress:
        self._shown.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._shown.__exit__(kind, error, traceback)

    def on_event(self, event: RunEvent) -> None:
        """Show what happened."""
        if event.text:
            self._shown.say(event.text)
        spec = self._specs.get(event.run_id)
        if spec is None or self._states.get(spec.run_id) in FINISHED:
            return
        if event.kind == "advanced":
            self._move(spec, event.step)
        else:
            self._states[event.run_id] = event.kind
        if event.kind == "started":
            self._start(spec, event.step)
        elif event.kind in FINISHED:
            self._leave(spec)
            self._shown.finish_job()
        elif event.kind == "failed":
            self._leave(spec)
        self._shown.note = self._note()
        self._shown.show()

    def _start(self, spec: RunSpec, step: int) -> None:
        self._shown.skip(-_work(spec, self._left.pop(spec.run_id, 0)))
        if spec.run_id in self._steps:
            self._move(spec, step)
        else:
            self._steps[spec.run_id] = step
            self._shown.skip(_work(spec, step))

    def _leave(self, spec: RunSpec) -> None:
        """Expect no more work of a run that has ended, wherever it has got to."""
        n_left = spec.n_steps - self._steps.get(spec.run_id, 0) - self._left.get(spec.run_id, 0)
        self._left[spec.run_id] = self._left.get(spec.run_id, 0) + n_left
        self._shown.skip(_work(spec, n_left))

    def _move(self, spec: RunSpec, step: int) -> None:
        n_steps = step - self._steps.get(spec.run_id, 0)
        self._steps[spec.run_id] = step
        self._tokens.add(max(n_steps, 0) * spec.tokens_per_step)
        self._shown.advance(_work(spec, n_steps))

    def _note(self) -> str:
        counts = Counter(SHOWN.get(state) for state in self._states.values())
        parts = [f"{counts[what]} {what}" for what in SHOWN.values() if counts[what]]
        if speed := self._tokens.value():
            parts.append(f"{speed / 1000:.0f}k tokens/s")
        return ", ".join(parts)


def _work(spec: RunSpec, n_steps: int) -> float:
    return spec.train_flops * n_steps / spec.n_steps
