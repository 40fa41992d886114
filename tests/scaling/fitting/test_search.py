"""The cells from which the global search starts."""

import numpy as np

from scaling.fitting.search import GRID_SIZES, _promising


def test_the_first_cells_are_the_best():
    """Of 32 minima, those with the highest numbers are the lowest."""
    cells = np.linspace(0.0, 1.0, GRID_SIZES[1])[None]
    values = np.where(np.arange(cells.size) % 2, -np.arange(cells.size), 1.0)
    chosen = _promising(cells, values)
    assert chosen[:12].tolist() == [*range(63, 39, -2)]
