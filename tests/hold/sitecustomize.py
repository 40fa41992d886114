"""Holds training at a known step, in the processes whose PYTHONPATH names this folder.

Python imports it as it starts. While the file that DATAWALL_TEST_HOLD names exists, every run is
held before its second segment, and before its first when it is resumed; the first
DATAWALL_TEST_HOLD_AFTER runs of a process are left alone. A process that is asked to stop trains
one segment more, after which its caller is notified of the request, and goes on once it has
stopped itself. So a fault meets a run that has some steps behind it and some before it, on any
machine.
"""

import importlib.abc
import importlib.util
import os
import sys
import threading
import time
from pathlib import Path

HELD = ("models.training.job_list", "experiments.sweeps.worker")


class Hold:
    """What is known of the training in this process."""

    def __init__(self, path, n_free):
        self.path, self.n_free = Path(path), n_free
        self.stop, self.was_asked = threading.Event(), lambda: False
        self.n_begun, self.has_passed = 0, False

    def before_segment(self, step):
        if step == 0:
            self.n_begun += 1
            return
        while self.n_begun > self.n_free and self.path.exists() and not self.stop.is_set():
            if self.was_asked() and not self.has_passed:
                self.has_passed = True
                return
            time.sleep(0.01)

    def patch(self, module):
        getattr(self, "patch_" + module.__name__.rpartition(".")[2])(module)

    def patch_job_list(self, module):
        train_segment, interrupt_sets = module.train_segment, module.interrupt_sets

        def held(program, state, *arguments):
            self.before_segment(int(state.step))
            return train_segment(program, state, *arguments)

        def noticed(stop, **options):
            self.stop = stop
            return interrupt_sets(stop, **options)

        module.train_segment, module.interrupt_sets = held, noticed

    def patch_worker(self, module):
        train_runs = module.train_runs

        def noticed(*arguments, should_stop=lambda: False, **options):
            self.was_asked, self.has_passed = should_stop, False
            return train_runs(*arguments, should_stop=should_stop, **options)

        module.train_runs = noticed


class Finder(importlib.abc.MetaPathFinder):
    """Patches the modules that train as they are imported: most processes import neither."""

    def __init__(self, hold):
        self.hold, self.waiting = hold, set(HELD)

    def find_spec(self, name, path=None, target=None):
        if name not in self.waiting:
            return None
        self.waiting.discard(name)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def run_and_patch(module):
            run(module)
            self.hold.patch(module)

        spec.loader.exec_module = run_and_patch
        return spec


if "DATAWALL_TEST_HOLD" in os.environ:
    n_free = int(os.environ.get("DATAWALL_TEST_HOLD_AFTER", "0"))
    sys.meta_path.insert(0, Finder(Hold(os.environ["DATAWALL_TEST_HOLD"], n_free)))
