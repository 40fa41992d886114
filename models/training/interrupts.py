"""Ctrl-C deferred until a safe point."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interrupt_sets(stop: threading.Event, *, patient: bool = True) -> Iterator[None]:
    """Make Ctrl-C set an event instead of interrupting; raise KeyboardInterrupt on exit.

    An event taken off a queue is thus always handled completely. Outside the main thread, where
    Python delivers no signals, this has no effect.

    Args:
        stop: the event that is set.
        patient: defer every Ctrl-C; otherwise the second one interrupts immediately.

    Raises:
        KeyboardInterrupt: on exit, if Ctrl-C was pressed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts: list[int] = []

    def on_interrupt(number: int, frame: object) -> None:
        interrupts.append(number)
        stop.set()
        if len(interrupts) > 1 and not patient:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt
