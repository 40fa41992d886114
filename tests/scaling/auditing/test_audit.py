"""Each problem of a table is found where it is, with its rows, and not where it is absent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scaling import audit
from scaling.auditing.checks import CHECKS
from tests.scaling.designs import checkpoints, chinchilla, grid


def sound():
    """A grid of sizes and tokens with repeats, in nats, tuned at each size."""
    frame = pd.concat([grid(0), grid(1)], ignore_index=True)
    return frame.assign(learning_rate=frame["n_params"] ** -0.5, n_unique_tokens=1e12)


def found(frame, kind, **options):
    return [one for one in audit(frame, **options).findings if one.kind == kind]


def test_a_sound_table_has_no_problem():
    result = audit(sound().drop(columns="n_unique_tokens"), unique_tokens=1e12)
    assert not result.findings
    assert set(result.checked) == CHECKS.keys() - {"best before last", "shared runs"}
    assert "searched settings" in result.checked
    assert set(result.not_checked) == {"best before last", "shared runs"}


def test_tokens_beyond_the_text_as_in_a_public_sweep():
    # 163M parameters by 20 tokens each on the 117M tokens of WikiText-103: 2.70 was predicted and
    # 3.31 reached (a public sweep of eight sizes)
    n = np.geomspace(1e6, 163e6, 8)
    frame = pd.DataFrame({"n_params": n, "n_tokens": 20 * n, "loss": chinchilla(n, 20 * n)})
    (one,) = found(frame, "repetitions", unique_tokens=117e6)
    assert "read up to 28 times" in one.sentence
    assert one.rows == tuple(np.flatnonzero(20 * n > 117e6))
    (design,) = found(frame, "collinear design")
    assert "n_tokens = 20 n_params in every row" in design.sentence
    assert "unique tokens" in audit(frame).not_checked["repetitions"]
    frame.loc[0, "n_tokens"] = np.nan
    assert "read up to 28 times" in found(frame, "repetitions", unique_tokens=117e6)[0].sentence


def test_runs_whose_best_loss_comes_early_and_rows_that_share_a_run():
    frame = checkpoints(0, shared=0.0, own=0.0)
    assert not found(frame, "best before last")
    frame.loc[5, "loss"] = frame.loc[:5, "loss"].min() + 0.3  # the last row of run 0
    (one,) = found(frame.sample(frac=1, random_state=0).sort_values("n_tokens"), "best before last")
    assert "In 1 of 24 runs" in one.sentence
    assert len(one.rows) == 1
    (shared,) = found(frame, "shared runs")
    assert "144 rows belong to 24 runs" in shared.sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda f: f.assign(loss=np.exp(f["loss"])).assign(loss=lambda g: 3 * g["loss"]),
            "perplexity",
        ),
        (lambda f: f.assign(loss=0.3 * f["loss"]), "bits per byte"),
        (lambda f: f.assign(n_params=f["n_params"] / 1e9), "n_params is at most 1"),
    ],
)
def test_units_that_look_wrong(change, said):
    assert not found(sound(), "units")
    (one,) = found(change(sound()), "units")
    assert said in one.sentence


def test_units_by_the_name_of_the_column():
    (one,) = found(sound().rename(columns={"loss": "val_bpb_bits"}), "units", y="val_bpb_bits")
    assert "bits" in one.sentence


def test_copies_lost_runs_one_rate_and_no_repeats():
    frame = pd.concat([sound(), sound().iloc[[3]]], ignore_index=True)
    assert found(frame, "duplicate rows")[0].rows == (len(frame) - 1,)
    frame = sound()
    frame.loc[2, "loss"] = np.nan
    frame.loc[4, "n_tokens"] = -1.0
    assert [one.rows for one in found(frame, "missing values")] == [(2,), (4,)]
    assert found(sound().assign(learning_rate=3e-4), "one learning rate")
    assert found(grid(0), "no replicates")
    assert not found(sound(), "no replicates")


def test_a_grid_of_settings_and_several_corpora_at_the_same_sizes():
    """A tuned run a size is no grid, nor are seeds or corpora of other sizes."""
    frame = sound()
    assert not found(frame.assign(seed=[0] * 36 + [1] * 36), "mixed experiments")
    searched = pd.concat([frame.assign(batch_size=8), frame[:36].assign(batch_size=16, loss=6.0)])
    searched["time"] = np.arange(len(searched))
    (one,) = found(searched, "searched settings")
    assert len(one.rows) == len(searched)
    assert "differ in batch_size" in one.sentence
    assert "--best-of-size" in one.remedy
    (one,) = found(frame.assign(corpus=["web text"] * 36 + ["code"] * 36), "mixed experiments")
    assert "corpus has 2 values (web text, code)" in one.sentence
    assert "--where 'corpus=web text'" in one.remedy
    labels = ["a"] * 36 + ["b"] * 36
    for name in ("validated_on", "hidden", "dataset_name"):  # parts of words are no words
        assert found(frame.assign(**{name: labels}), "mixed experiments")
    for name in ("run_id", "n_epochs", "train-date", "losses"):
        assert not found(frame.assign(**{name: labels}), "mixed experiments")
    apart = grid(0).assign(corpus=["web"] * 18 + ["code"] * 18)
    assert not found(apart, "mixed experiments")


def test_the_report_names_rows_and_remedies():
    frame = sound().assign(n_unique_tokens=5e9)
    text = str(audit(frame))
    assert "repetitions: n_tokens exceeds the unique tokens in 36 of 72 rows" in text
    assert "(row 18, row 19, row 20, row 21, row 22 and 31 more)" in text
    assert "fit data_constrained" in text
    found_ = audit(frame).to_dict()["findings"]
    assert {"kind", "sentence", "remedy", "rows"} <= found_[0].keys()


def test_lists_and_words_in_other_columns_are_no_obstacle():
    frame = sound().assign(tags=[["sweep"]] * 72, config=[{"a": 1}] * 72, lr="cosine")
    assert not found(frame, "duplicate rows")
    assert not found(frame.drop(columns="learning_rate"), "one learning rate")
    copied = pd.concat([frame, frame.iloc[[3]]], ignore_index=True)
    assert found(copied, "duplicate rows")[0].rows == (72,)
    runs = frame.assign(run=[["a"], ["b"]] * 36)
    assert "72 rows belong to 2 runs" in found(runs, "shared runs")[0].sentence


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"y": "val"}, "column 'val' is missing"),
        ({"groups": "seed"}, "column 'seed' is missing"),
        ({"unique_tokens": -1.0}, "`unique_tokens` must be a finite number above 0"),
        ({"x": ["M"]}, "column 'M' is missing"),
    ],
)
def test_bad_input_says_what_is_allowed(options, said):
    with pytest.raises(ValueError, match=said):
        audit(sound(), **options)
