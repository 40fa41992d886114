"""Progress as a bar or as lines on stderr, and notices about single texts."""

from __future__ import annotations

import html
import sys
import time
from collections import Counter
from datetime import timedelta
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_CELLS = 0.25
"""How often a notebook's bar is redrawn: each time is a message to the browser."""
SECONDS_OF_SPEED = 60.0
"""Time over which speeds are averaged; the time left follows from them."""


class WorkProgress:
    """Show how much of a list of jobs is done, and how long the rest will take.

    The work is counted in any unit (floating-point operations for training), the jobs one by one;
    so the bar is right though jobs differ in cost.

    Attributes:
        note: text to show beside the count of jobs.
    """

    def __init__(self, title: str, *, n_jobs: int, work: float) -> None:
        self.title, self.n_jobs = title, n_jobs
        self.console = Console(stderr=True)
        self.note = ""
        self.jobs_done = 0
        self._last_line = time.monotonic()
        self._cell = _Cell() if self.console.is_jupyter else None
        self._has_bar = self.console.is_terminal and not self.console.is_jupyter
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self.console,
            transient=True,
            expand=True,
            speed_estimate_period=SECONDS_OF_SPEED,
            disable=not self._has_bar,
        )
        self._work = self._bars.add_task(title, total=work, said="")
        self._other = self._bars.add_task("", total=None, visible=False)

    def __enter__(self) -> WorkProgress:
        if self._has_bar:
            self._bars.start()
        self.show()
        return self

    def advance(self, work: float, *, other: float = 0.0) -> None:
        """Count work done on unfinished jobs; less than none where some has to be done again.

        Args:
            work: in the unit of all the work.
            other: in a second unit, of which only the `speed` is wanted.
        """
        self._bars.update(self._work, advance=work)
        self._bars.update(self._other, advance=other)
        self.show()

    def skip(self, work: float) -> None:
        """Take off work that turns out to have been done before."""
        if work:
            self._bars.update(self._work, total=(self._bars.tasks[0].total or 0.0) - work)
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
        return self._bars.tasks[0].completed

    @property
    def speed(self) -> float:
        """Recent speed in the second unit of `advance`, per second."""
        return self._bars.tasks[1].speed or 0.0

    def show(self) -> None:
        """Update the bar, or print a line if enough time has passed since the last."""
        now, task = time.monotonic(), self._bars.tasks[0]
        seconds = task.time_remaining
        left = "" if seconds is None else f"{timedelta(seconds=seconds)} left"
        said = ", ".join(filter(None, (f"{self.jobs_done}/{self.n_jobs}", self.note)))
        if self._has_bar:
            self._bars.update(self._work, said=said)
        elif self._cell is not None:
            if now - self._last_line > SECONDS_BETWEEN_CELLS or not self._cell.is_shown:
                self._last_line = now
                sentence = ", ".join(filter(None, (said, left)))
                self._cell.show(f"{self.title}: {sentence}", task.percentage / 100)
        elif now - self._last_line > SECONDS_BETWEEN_LINES and (task.completed or self.note):
            self._last_line = now
            share = f"{task.percentage:.0f}% of the work"
            parts = [f"{self.jobs_done}/{self.n_jobs} done", share, self.note, left]
            self.say(f"{self.title}: {', '.join(filter(None, parts))}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._has_bar:
            self._bars.stop()
        done = f"{self.title}: {self.jobs_done} done in {self._bars.tasks[0].elapsed:.0f} s"
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
