"""What several tests of `scaling` share."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scaling import DATASETS, LAWS, load_dataset
from scaling.fitting.evaluation import build_model
from tests.data import LACKING, needed
from tests.published_numbers import MARK

TRUTHS: dict[str, dict[str, float]] = {
    "power": {"E": 1.9, "A": 300.0, "alpha": 0.4},
    "chinchilla": {"E": 1.8, "A": 480.0, "B": 2000.0, "alpha": 0.35, "beta": 0.37},
    "tied_chinchilla": {"E": 1.8, "A": 170.0, "B": 290.0, "alpha": 0.27},
    "ensemble": {"E": 3.17, "A": 2e6, "B": 60.0, "alpha": 0.9, "beta": 0.35, "gamma": 1.0},
    "skaling": {"E": 1.7, "A": 2000.0, "B": 2e4, "alpha": 0.5, "beta": 0.55, "k": 0.6},
    "lovelace": {
        "E": 1.8, "A": 480.0, "B": 2000.0, "P": 0.02,
        "alpha": 0.35, "beta": 0.37, "delta": 0.7, "kappa": 0.5,
    },
    "learning_curves": {"E": 0.5, "B": 2.0, "C": 1.5, "alpha": 0.5, "beta": 0.6},
    "shifted_power": {"E": 1.9, "A": 300.0, "N0": 2e7, "alpha": 0.4},
    "saturating_power": {"A": 300.0, "N0": 2e8, "alpha": 0.4},
    "bounded": {"E": 0.5, "E0": 3.0, "N0": 3e7, "c": 0.6, "alpha": 1.5},
    "sigmoid": {"b": 0.25, "a": 0.7, "L0": 1.0, "s": 0.15},
    "broken_power": {"E": 0.5, "A": 1.0, "c0": 0.1, "c1": 0.4, "d": 3e7, "f": 0.3},
    "data_constrained": {
        "E": 1.87, "A": 521.0, "B": 1488.0, "alpha": 0.35, "beta": 0.35, "R_N": 5.3, "R_D": 15.4,
    },
    "overfitting": {
        "E": 1.8, "L0": 11.0, "a": 3.0, "b": 20.0, "c": 1e-2,
        "alpha": 0.25, "beta": 0.3, "gamma": 0.9, "delta": 0.8,
    },
    "mixture_of_exponentials": {
        "E": 0.3, **{f"c{j:02d}": 0.0 for j in range(1, 62)}, "c22": 0.2, "c38": 0.3, "t0": 100.0,
    },
}  # fmt: skip
"""Parameters of each law from which tests generate tables."""


def _grid(*axes: np.ndarray) -> list[np.ndarray]:
    return [axis.ravel() for axis in np.meshgrid(*axes)]


_SIZES = np.geomspace(1e6, 1e9, 5)
_EPOCHS = np.array([1.0, 2.0, 4.0, 16.0, 64.0])
_REPEATED = _grid(_SIZES, np.geomspace(1e8, 1e10, 3), _EPOCHS)
DESIGNS = {
    ("n_params",): [np.geomspace(1e6, 1e9, 30)],
    ("n_params", "n_tokens"): _grid(_SIZES, np.geomspace(1e8, 1e11, 5)),
    ("n_params", "n_members"): _grid(_SIZES, np.arange(1.0, 6.0)),
    ("n_params", "n_tokens", "n_unique_tokens"): [
        _REPEATED[0], _REPEATED[1] * _REPEATED[2], _REPEATED[1],
    ],
    ("n_examples", "is_train"): _grid(np.geomspace(100, 1e5, 10), np.array([0.0, 1.0])),
    ("task_loss",): [np.linspace(0.3, 2.5, 30)],
    ("time",): [np.geomspace(1, 1e4, 30)],
}  # fmt: skip
"""Columns of a law -> values that identify all parameters of the laws with these columns."""


def _design(law: str) -> dict[str, np.ndarray]:
    names = LAWS[law].columns
    return dict(zip(names, DESIGNS[names], strict=True))


def _law_values(law: str, columns: dict[str, np.ndarray], truth: dict[str, float]) -> np.ndarray:
    """The law at known parameters."""
    chosen = LAWS[law]
    model = build_model(chosen, columns, [c.name for c in chosen.linear])
    printed = np.array([truth[name] for name in chosen.parameters])[:, None]
    return model.value(model.internal(printed), slice(None))[0]


@pytest.fixture
def truths():
    """Law name -> known parameters."""
    return TRUTHS


@pytest.fixture
def design():
    """Law name -> columns that identify all its parameters."""
    return _design


@pytest.fixture
def law_values():
    """(law name, columns, parameters) -> the law there."""
    return _law_values


@pytest.fixture
def published(request):
    """Dataset name -> its table; skips with the reason where it is not to be had.

    Only `make numbers` downloads tables.
    """
    may_download = request.config.option.markexpr == MARK

    def load(name: str) -> pd.DataFrame:
        table = DATASETS[name]
        if not (may_download and table.url):
            needed(table.path)
        try:
            return load_dataset(name)
        except OSError:
            pytest.skip(LACKING + table.path)

    return load
