"""Progress as a bar or as lines on stderr, and notices about single texts."""

from __future__ import annotations

import html
import sys
import time
from collections import Counter, deque
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_CELLS = 0.25
"""How often a notebook's bar is drawn anew: each time is a message to the browser."""
SECONDS_OF_SPEED = 60.0
"""How far back the speed looks that time left is reckoned by."""


class Speed:
    """How much comes in a second, of late."""

    def __init__(self) -> None:
        self.total = 0.0
        self._seen = deque([(time.monotonic(), 0.0)])

    def add(self, amount: float) -> None:
        """Count what has come."""
        self.total += amount
        self._seen.append((time.monotonic(), self.total))

    def value(self) -> float:
        """Amount a second."""
        now = time.monotonic()
        while len(self._seen) > 1 and now - self._seen[0][0] > SECONDS_OF_SPEED:
            self._seen.popleft()
        since, before = self._seen[0]
        return max(self.total - before, 0.0) / max(now - since, 1e-9)


class WorkProgress:
    """Show how much of a list of jobs is done, and how long the rest will take.

    The work is counted in any unit (floating-point operations for training), the jobs one by one.

    Attributes:
        note: what else to say, beside the count of jobs.
    """

    def __init__(self, title: str, *, n_jobs: int, work: float) -> None:
        self.title, self.n_jobs, self.work = title, n_jobs, work
        self.console = Console(stderr=True)
        self.note = ""
        self.jobs_done = 0
        self.started = self.last_line = time.monotonic()
        self._done = Speed()
        self._bars: Progress | None = None
        self._cell: _Cell | None = None

    def __enter__(self) -> WorkProgress:
        if self.console.is_jupyter:
            self._cell = _Cell()
            self.show()
        elif self.console.is_terminal:
            self._bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=self.console,
                transient=True,
                expand=True,
            )
            self._bars.start()
            self._task = self._bars.add_task(self.title, total=self.n_jobs, note="", left="")
        return self

    def advance(self, work: float) -> None:
        """Count work done on unfinished jobs; less than none where some has to be done again."""
        self._done.add(work)
        self.show()

    def skip(self, work: float) -> None:
        """Take off work that turns out to have been done before."""
        self.work -= work
        self.show()

    def finish_job(self) -> None:
        """Count a job as done."""
        self.jobs_done += 1
        self.show()

    def say(self, sentence: str) -> None:
        """Print a sentence that stays, above the bar where there is one."""
        if self._cell is not None:
            print(sentence)  # rich would send HTML, which prints with a space around each line
        else:
            self.console.print(sentence, highlight=False, markup=False, soft_wrap=True)

    @property
    def work_done(self) -> float:
        """Work counted so far."""
        return self._done.total

    @property
    def share(self) -> float:
        """Part of the work that is done, from 0 to 1."""
        return min(max(self.work_done / self.work, 0.0), 1.0) if self.work > 0 else 1.0

    def show(self) -> None:
        """Draw the bar anew, or print a line if it is time for one."""
        now = time.monotonic()
        speed = self._done.value()
        left = _clock((self.work - self.work_done) / speed) + " left" if speed else ""
        if self._cell is not None:
            if now - self.last_line > SECONDS_BETWEEN_CELLS or not self._cell.is_shown:
                self.last_line = now
                said = [f"{self.jobs_done}/{self.n_jobs}", *filter(None, (self.note, left))]
                self._cell.show(f"{self.title}: {', '.join(said)}", self.share)
        elif self._bars is not None:
            # The bar advances by work, so that it is right though jobs differ in cost.
            self._bars.update(
                self._task,
                completed=round(self.share * self.n_jobs, 2),
                note=self.note,
                left=left,
            )
        elif now - self.last_line > SECONDS_BETWEEN_LINES and (self.share or self.note):
            self.last_line = now
            parts = [f"{self.jobs_done}/{self.n_jobs} done", f"{self.share:.0%} of the work"]
            self.say(f"{self.title}: {', '.join([*parts, *filter(None, (self.note, left))])}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
        seconds = time.monotonic() - self.started
        done = f"{self.title}: {self.jobs_done} done in {seconds:.0f} s"
        if self._cell is not None:
            stopped = f"{self.title}: stopped at {self.jobs_done}/{self.n_jobs}"
            self._cell.show(done if kind is None else stopped, None)
        elif kind is None:
            self.say(done)


class _Cell:
    """A bar in the output of a notebook's cell, drawn by the browser in the theme of the page.

    IPython's display handles need no widgets, so that the bar is there in every notebook program
    and its last state is kept with the notebook.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    @property
    def is_shown(self) -> bool:
        """Whether there is a bar yet."""
        return self._handle is not None

    def show(self, sentence: str, share: float | None) -> None:
        """Show a sentence, with a bar unless there is no share."""
        from IPython.display import HTML, display

        bar = "" if share is None else f'<progress value="{share:.4f}" max="1"></progress> '
        shown = HTML(f"<div>{bar}{html.escape(sentence)}</div>")
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)


def _clock(seconds: float) -> str:
    """Write a duration as m:ss or h:mm:ss."""
    minutes, second = divmod(round(max(seconds, 0.0)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


MOST_LINES = 5
"""Notices of a kind that are printed one by one."""


class Notices:
    """Prints the first few notices of each kind on stderr and, at its end, how many more came.

    Use it as a context manager.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def say(self, kind: str, detail: str) -> None:
        """Print "kind: detail", or count it."""
        self._counts[kind] += 1
        if self._counts[kind] <= MOST_LINES:
            print(f"{kind}: {detail}", file=sys.stderr)

    def __enter__(self) -> Notices:
        return self

    def __exit__(self, *error: object) -> None:
        for kind, count in self._counts.items():
            if count > MOST_LINES:
                print(f"{kind}: {count - MOST_LINES:,} more", file=sys.stderr)
