"""Checkpoints and repeats of one run are recognised, and grids of independent runs are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scaling import LAWS, fit_law
from scaling.fitting.dependence import dependence_sentence, run_column
from tests.scaling import designs

CHINCHILLA = LAWS["chinchilla"]


def sentence(frame: pd.DataFrame, **options) -> str:
    fit = fit_law(frame, "chinchilla", n_boot=0, **options)
    return dependence_sentence(frame, fit.problem.table, fit.law, fit.residuals)


def test_a_column_of_runs_groups_their_checkpoints():
    frame = designs.checkpoints(0)
    assert run_column(frame, CHINCHILLA) == "run"
    assert run_column(frame.rename(columns={"run": "run_id"}), CHINCHILLA) == "run_id"
    assert run_column({name: frame[name].to_numpy() for name in frame}, CHINCHILLA) == "run"
    one = frame.rename(columns={"n_tokens": "step"})
    assert run_column(one, LAWS["power"], x="step") == "run"


def test_names_of_runs_that_do_not_repeat_or_of_sweeps_group_nothing():
    frame = designs.checkpoints(0)
    assert run_column(frame.drop(columns="run"), CHINCHILLA) is None
    assert run_column(frame.assign(run=np.arange(len(frame))), CHINCHILLA) is None
    assert run_column(frame.assign(run="baseline"), CHINCHILLA) is None
    assert run_column(frame.assign(run=frame.n_tokens.rank() > 70), CHINCHILLA) is None
    assert run_column(None, CHINCHILLA, x=[frame.n_params, frame.n_tokens]) is None
    diverged = frame.assign(loss=frame.loss.where(frame.n_tokens == frame.n_tokens.max()))
    assert run_column(diverged, CHINCHILLA) is None  # one row a run has a loss


@pytest.mark.parametrize("seed", range(3))
def test_checkpoints_without_a_column_of_runs_are_reported(seed):
    frame = designs.checkpoints(seed)
    said = sentence(frame.drop(columns="run"))
    assert "rows with the same n_params are alike" in said
    assert "`groups`" in said
    assert sentence(frame, groups="run") == ""


@pytest.mark.parametrize("seed", range(5))
def test_a_grid_of_independent_runs_is_not_reported(seed):
    assert sentence(designs.grid(seed)) == ""


def test_rows_with_equal_sizes_and_seeds_are_reported():
    frame = pd.concat([designs.grid(0).assign(seed=0), designs.grid(1).assign(seed=1)])
    assert sentence(frame) == ""
    again = pd.concat([frame, frame.iloc[:4].assign(loss=frame.loss.iloc[:4] + 0.001)])
    assert sentence(again).startswith(
        "4 row(s) have the n_params, n_tokens and the seed of another"
    )
