"""Interrupts wait for a safe point."""

import os
import signal
import threading

import pytest

from models.training.interrupts import interrupt_sets


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_sets_the_event_and_interrupts_on_exit(number):
    before, stop, done = signal.getsignal(number), threading.Event(), []

    def work():
        with interrupt_sets(stop):
            os.kill(os.getpid(), number)
            assert stop.wait(60)
            done.append(number)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [number]
    assert signal.getsignal(number) == before
