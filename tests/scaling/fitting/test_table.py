"""Rows of a fit: their names in errors, their labels and what counts as no loss."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scaling import fit_law, read_runs

ROWS = [(1e6, "4.31"), (3e6, "3.905"), (1e7, "3.56"), (3e7, "broken"), (1e8, "3.105")]
CSV = "n_params,loss\n" + "".join(f"{size},{loss}\n" for size, loss in ROWS)


def written(tmp_path, text: str, name: str = "runs.csv") -> pd.DataFrame:
    (tmp_path / name).write_text(text)
    return read_runs(tmp_path / name)


def test_errors_name_the_line_of_the_file(tmp_path):
    frame = written(tmp_path, CSV)
    with pytest.raises(ValueError, match="column 'loss', line 5: 'broken'"):
        fit_law(frame)
    with pytest.raises(ValueError, match="column 'loss', line 5: 'broken'"):
        fit_law(frame[frame.n_params > 1e6])  # rows that are left keep their lines
    gaps = written(tmp_path, CSV.replace("1000000.0", "\n\n1000000.0", 1))
    with pytest.raises(ValueError, match="column 'loss', line 7: 'broken'"):
        fit_law(gaps)
    objects = "".join(f'{{"n_params": {size}, "loss": "{loss}"}}\n\n' for size, loss in ROWS)
    with pytest.raises(ValueError, match="column 'loss', line 7: 'broken'"):
        fit_law(written(tmp_path, objects, "runs.jsonl"))


def test_a_table_with_new_labels_or_no_file_has_rows_and_no_lines(tmp_path):
    frame = written(tmp_path, CSV)
    with pytest.raises(ValueError, match="column 'loss', row 2: 'broken'"):
        fit_law(frame[1:].reset_index(drop=True))
    with pytest.raises(ValueError, match="column 'loss', row 3: 'broken'"):
        fit_law({"n_params": frame.n_params.to_numpy(), "loss": frame.loss.to_numpy()})
    quoted = written(tmp_path, 'n_params,loss,note\n1,3.6,"two\nlines"\n2,broken,\n4,3.3,\n')
    with pytest.raises(ValueError, match="column 'loss', line 4: 'broken'"):
        fit_law(quoted)


def test_labels_that_other_tables_use_for_missing_are_labels(tmp_path):
    text = "n_params,loss,region\n1e6,4.31,NA\n3e6,3.905,NA\n1e7,3.56,EU\n3e7,3.31,EU\n"
    frame = written(tmp_path, text + "1e8,3.105,None\n3e8,2.96,None\n")
    assert frame["region"].tolist() == ["NA", "NA", "EU", "EU", "None", "None"]
    fit = fit_law(frame, groups="region", n_boot=0)
    assert fit.problem.table.groups.tolist() == [0, 0, 1, 1, 2, 2]
    empty = written(tmp_path, text + "1e8,3.105,\n")
    with pytest.raises(ValueError, match="column 'region', line 6: the group is missing"):
        fit_law(empty, groups="region")


@pytest.mark.parametrize("word", ["NaN", "nan", "Infinity", "-inf", "None"])
def test_a_loss_that_is_not_a_number_in_words_is_no_loss(tmp_path, word):
    rows = [f'{{"n_params": {size}, "loss": {loss}}}' for size, loss in ROWS if loss != "broken"]
    frame = written(tmp_path, "\n".join([*rows, f'{{"n_params": 9, "loss": "{word}"}}']), "a.jsonl")
    fit = fit_law(frame)
    assert fit.n_rows == 4
    assert fit.excluded == {"no reason given": 1}
    assert fit.params == fit_law(frame[:4].assign(loss=frame.loss[:4].astype(float))).params


def test_weights_are_precisions_as_in_weighted_least_squares():
    """A weight of 2 halves the variance of a row and is not a second row, as in curve_fit or lm."""
    from scipy.optimize import curve_fit

    rng = np.random.default_rng(0)
    size, weight = np.geomspace(1, 100, 12), rng.integers(1, 4, 12).astype(float)
    loss = 2.0 + 1.5 * size**-0.5 + rng.normal(0, 0.01, 12) / np.sqrt(weight)
    fit = fit_law(x=size, y=loss, weights=weight, loss="squared")
    oracle, spread = curve_fit(
        lambda n, e, a, alpha: e + a * n**-alpha, size, loss, p0=[2, 1.5, 0.5],
        sigma=weight**-0.5,
    )  # fmt: skip
    assert list(fit.params.values()) == pytest.approx(oracle, rel=1e-5)
    # curve_fit has the Gauss-Newton Hessian, fit_law the exact one
    assert list(fit.stderr.values()) == pytest.approx(np.sqrt(np.diag(spread)), rel=0.05)
    doubled = fit_law(x=size, y=loss, weights=2 * weight, loss="squared")
    assert doubled.stderr == pytest.approx(fit.stderr, rel=1e-6)
