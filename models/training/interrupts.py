"""Ctrl-C that waits for a good moment."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interrupt_sets(stop: threading.Event, *, patient: bool = True) -> Iterator[None]:
    """Let Ctrl-C set `stop` instead of breaking in anywhere; raise KeyboardInterrupt at the end.

    So an event that has been taken off a queue is always seen to its end. Outside the main
    thread, where Python delivers no signals, nothing changes.

    Args:
        stop: what is set.
        patient: wait for the end however often the user asks; else the second time breaks in.
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
