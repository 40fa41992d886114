"""How many workers this machine has room for."""

from __future__ import annotations

import os
from collections.abc import Sequence

import psutil

from experiments.runs.spec import RunSpec
from models.training.devices import accelerators, available_cores
from models.training.memory import RUNTIME_BYTES, training_bytes


class Slots:
    """Room for workers on this machine: one a GPU, else one a core, as far as memory goes.

    Args:
        n_wanted: how many the user wants, whatever fits.

    Attributes:
        n_accelerators: GPUs among which the workers are shared out; 0 where each worker sees all
            devices there are.
    """

    def __init__(self, n_wanted: int | None = None) -> None:
        self._n_wanted = n_wanted
        self._platform, n_found = accelerators()
        # The cores of a TPU belong to one process.
        self.n_accelerators = n_found if self._platform == "gpu" else 0
        self._n_most = available_cores() if self._platform == "cpu" else max(1, self.n_accelerators)
        self._n_given = 0
        if n_found:
            # Several processes share a device's memory: none may take it all at its start.
            os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    def useful_for(self, specs: Sequence[RunSpec]) -> int:
        """Return how many workers there should be for these runs, those running included."""
        n_slots = self._n_wanted or self._n_fitting(specs)
        self._n_given = max(self._n_given, min(n_slots, len(specs)))
        return min(n_slots, len(specs))

    def _n_fitting(self, specs: Sequence[RunSpec]) -> int:
        if self._platform != "cpu":
            return self._n_most
        largest = max(training_bytes(s.model, batch_size=s.train.batch_size) for s in specs)
        n_more = psutil.virtual_memory().available // (RUNTIME_BYTES + largest)
        return max(1, min(self._n_most, self._n_given + n_more))
