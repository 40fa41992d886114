"""Ctrl-C and SIGTERM deferred until a safe point."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interrupt_sets(stop: threading.Event, *, patient: bool = True) -> Iterator[None]:
    """Make Ctrl-C and SIGTERM set an event; raise KeyboardInterrupt on exit.

    An event taken off a queue is thus always handled completely. Outside the main thread, where
    Python delivers no signals, this has no effect.

    Schedulers of clusters send SIGTERM before they kill. `jax.distributed.initialize` has it
    logged and ignored; the handler installed here takes precedence. Python does not know that one
    and cannot restore it: on exit, SIGTERM ends the process again.

    Args:
        stop: the event that is set.
        patient: defer every signal; otherwise the second one interrupts immediately.

    Raises:
        KeyboardInterrupt: on exit, if a signal came.
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

    before = {one: signal.signal(one, on_interrupt) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            # None: a handler that was there before Python, which cannot be restored.
            signal.signal(one, signal.SIG_DFL if handler is None else handler)
    if interrupts:
        raise KeyboardInterrupt
