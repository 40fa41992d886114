"""Progress on stderr: bars on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 10.0


class WorkProgress:
    """Show how much of a list of jobs is done, and how long the rest will take.

    The work is counted in any unit (floating-point operations for training), the jobs one by one.
    """

    def __init__(self, title: str, *, n_jobs: int, work: float) -> None:
        self.title, self.n_jobs, self.work = title, n_jobs, work
        self.console = Console(stderr=True)
        self.jobs_done = 0
        self.work_done = 0.0
        self.n_tokens = 0
        self.started = self.last_line = time.monotonic()
        self._bars: Progress | None = None

    def __enter__(self) -> WorkProgress:
        if self.console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=False),
                console=self.console,
                transient=True,
            )
            self._bars.start()
            self._task = self._bars.add_task(self.title, total=self.n_jobs, rate="")
        return self

    def advance(self, work: float, *, n_tokens: int = 0) -> None:
        """Count work done on unfinished jobs."""
        self.work_done += work
        self.n_tokens += n_tokens
        self._show()

    def finish_job(self) -> None:
        """Count a job as done."""
        self.jobs_done += 1
        self._show()

    def _show(self) -> None:
        now = time.monotonic()
        seconds = max(now - self.started, 1e-9)
        share = min(self.work_done / self.work, 1.0) if self.work else 1.0
        rate = f"{self.n_tokens / seconds / 1000:.0f}k tokens/s" if self.n_tokens else ""
        if self._bars is not None:
            # Bars advance by work, so that time left is right though jobs differ in cost.
            self._bars.update(self._task, completed=round(share * self.n_jobs, 2), rate=rate)
        elif now - self.last_line > SECONDS_BETWEEN_LINES and share:
            self.last_line = now
            left = seconds * (1 - share) / share
            self.console.print(
                f"{self.title}: {self.jobs_done}/{self.n_jobs} done, {share:.0%} of the work"
                f"{', ' + rate if rate else ''}, {left:.0f} s left",
                highlight=False,
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
        if kind is None:
            seconds = time.monotonic() - self.started
            self.console.print(
                f"{self.title}: {self.jobs_done} done in {seconds:.0f} s", highlight=False
            )
