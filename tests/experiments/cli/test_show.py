"""What `datawall show` prints, at the width of a small terminal."""

import dataclasses

import numpy as np
import pytest

from experiments.cli.app import main
from experiments.runs.overview import cells_table
from experiments.runs.store import RunStore
from models.config import OptimizerConfig


@pytest.fixture
def store(tmp_path, sample):
    """Two cells of two seeds, and three runs that are not done."""
    store = RunStore(tmp_path / "runs")
    for decay in (0.1, 0.8):
        optimizer = OptimizerConfig(learning_rate=0.01, weight_decay=decay)
        for seed in range(2):
            sample.train(store, sample.spec(seed=seed, optimizer=optimizer))
    failed, begun, held = (sample.spec(seed=seed) for seed in (5, 6, 7))
    for spec in (failed, begun, held):
        store.begin(spec)
    store.fail(failed, MemoryError("no room"))
    store.append(begun, sample.segment(begun, np.ones(7)))
    with store.claim(held):
        yield store


def test_cells_are_means_over_seeds_and_over_nothing_else(store, sample):
    runs = store.frame()
    table = cells_table(runs)
    assert table["decay"].tolist() == [0.1, 0.8]
    assert table["val"].tolist() == [3.5, 3.5]
    assert table["seeds"].tolist() == [2, 2]
    train = dataclasses.replace(sample.spec().train, data_order="fixed")
    sample.train(store, sample.spec(seed=3, train=train))
    table = cells_table(store.frame())
    assert table["also"].tolist() == ["", "data_order fixed", ""]
    assert table["val"].tolist() == [3.5, 6.0, 3.5]


def test_show_fits_a_small_terminal_and_tells_what_is_not_done(store, sample, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    sample.train(store, sample.spec(seed=9), diverged=True)
    assert main(["show", str(store.root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{store.root}: 4 done, 1 diverged, 1 failed, 1 running, 1 interrupted"
    assert max(map(len, lines[1:])) <= 80
    rows = [line.split()[1:] for line in lines if line.startswith(tuple("0123456789abcdef"))]
    states = [words for words in rows if "width" in words]
    assert [words[0] for words in states] == ["diverged", "failed", "running", "interrupted"]
    assert [words[-1] for words in states] == ["9", "0/64", "0/64", "7/64"]
    said = "\n".join(lines)
    assert "    the training loss stopped being a number at step 40" in said
    assert "    MemoryError: no room" in said
    assert "    process " in said


def test_words_of_texts_stay_whole_in_a_small_terminal(store, sample, capsys, monkeypatch):
    labels = ["bootstrapped, synthetic-documents-of-world", "bootstrapped, concepts"]
    for i, label in enumerate(labels):
        named = {"corpus": f"stream:{label}", "sha256": f"{i}" * 64}
        data = dataclasses.replace(sample.spec().data, **named)
        sample.train(store, sample.spec(data=data))
    monkeypatch.setenv("COLUMNS", "80")
    main(["show", str(store.root)])
    narrow = capsys.readouterr().out.splitlines()
    assert max(map(len, narrow[1:])) <= 80
    assert set(labels) < {line.rstrip() for line in narrow}
    monkeypatch.setenv("COLUMNS", "200")
    main(["show", str(store.root)])
    wide = capsys.readouterr().out.splitlines()
    rows = [line for line in wide if line.startswith("bootstrapped")]
    assert len(rows) == 2
    assert all("0.01" in row for row in rows)


def test_show_writes_what_figures_are_drawn_from(store, capsys, tmp_path):
    pytest.importorskip("pyarrow")
    from experiments.runs.rows import read_compact

    assert main(["show", str(store.root), "--parquet", str(tmp_path / "runs.parquet")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'runs.parquet'}\n"
    assert len(read_compact(tmp_path / "runs.parquet")) == 4


def test_a_run_is_not_a_store(store, sample, capsys):
    assert main(["show", str(store.folder(sample.spec(seed=6)))]) == 1
    assert f"it is one run of the store {store.root}" in capsys.readouterr().err
