"""Sweeps on real text: skipping, resuming, interrupting, failing."""

import dataclasses

import numpy as np
import pytest

from experiments.lab.lab import Lab
from experiments.runs.store import CHECKPOINT, RunStore
from experiments.sweeps.sweep import SweepError, run_sweep
from experiments.worlds.registry import WORLDS, get_world
from models.training.train import SEGMENT_STEPS
from tests.sweep_faults import SMALL_STEPS


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    world = dataclasses.replace(get_world("tiny"), **SMALL_STEPS)
    return Lab(world, RunStore(tmp_path_factory.mktemp("runs")))


def specs_of(lab, n=3, n_epochs=4):
    return [lab.spec(width=8, weight_decay=0.1, n_epochs=n_epochs, seed=seed) for seed in range(n)]


def scores(store, specs):
    return store.frame(specs)[["validation_loss", "test_loss", "train_loss"]].to_numpy()


def test_finished_runs_are_not_trained_again(lab, tmp_path):
    store, specs = RunStore(tmp_path), specs_of(lab)
    assert run_sweep(specs[:2], store) == 2
    stamps = [(store.folder(s) / "result.json").stat().st_mtime_ns for s in specs[:2]]
    assert run_sweep([*specs, specs[0]], store) == 1
    assert stamps == [(store.folder(s) / "result.json").stat().st_mtime_ns for s in specs[:2]]
    assert sorted(p.name for p in store.folder(specs[0]).iterdir()) == [
        "metrics.jsonl",
        "params.safetensors",
        "result.json",
        "spec.json",
    ]


@pytest.mark.long
def test_an_interrupted_sweep_resumed_equals_an_undisturbed_one(lab, tmp_path, hold, monkeypatch):
    undisturbed, disturbed = RunStore(tmp_path / "a"), RunStore(tmp_path / "b")
    specs = specs_of(lab, n=3, n_epochs=64)
    run_sweep(specs, undisturbed)
    append, n_calls = disturbed.append, []

    def interrupt_at_second(spec, segment):
        append(spec, segment)
        n_calls.append(spec)
        if len(n_calls) == 2:
            raise KeyboardInterrupt

    hold.touch()
    monkeypatch.setattr(disturbed, "append", interrupt_at_second)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(specs, disturbed)
    kept = [s for s in specs if (disturbed.folder(s) / CHECKPOINT).is_file()]
    assert len(kept) == 2
    assert not any(disturbed.is_done(s) for s in specs)
    monkeypatch.undo()
    run_sweep(specs, disturbed)
    np.testing.assert_array_equal(scores(disturbed, specs), scores(undisturbed, specs))
    for spec in specs:
        np.testing.assert_array_equal(disturbed.losses(spec), undisturbed.losses(spec))
        recorded = (disturbed.folder(spec) / "metrics.jsonl").read_text().count('"first_step"')
        n_steps = len(undisturbed.losses(spec))
        assert recorded == -(-n_steps // SEGMENT_STEPS)
        assert not (disturbed.folder(spec) / CHECKPOINT).exists()


def test_a_checkpoint_that_cannot_be_read_starts_the_run_afresh(lab, tmp_path):
    store, spec = RunStore(tmp_path), specs_of(lab, n=1)[0]
    store.folder(spec).mkdir(parents=True)
    (store.folder(spec) / CHECKPOINT).write_bytes(b"\x00")
    run_sweep([spec], store)
    assert store.is_done(spec)


def test_a_failed_run_is_named_and_the_others_finish(lab, tmp_path, monkeypatch):
    store, specs = RunStore(tmp_path), specs_of(lab)

    def broken(spec):
        if spec.seed == 1:
            raise OSError("disk on fire")

    monkeypatch.setattr(store, "kept_state", broken)
    with pytest.raises(SweepError, match=rf"1 of 3 runs failed twice \({specs[1].run_id}\)"):
        run_sweep(specs, store)
    assert [store.is_done(spec) for spec in specs] == [True, False, True]
    failure = store.failure(specs[1])
    assert failure["attempts"] == 2
    assert "in broken" in failure["traceback"]
    assert failure["error"] == "OSError: disk on fire"
    monkeypatch.undo()
    assert run_sweep(specs, store) == 1
    assert store.failure(specs[1]) is None


def test_ensemble_scores_are_kept_and_agree_with_the_single_losses(lab):
    specs = specs_of(lab)
    runs = lab.train(specs, title="members")
    table = lab.ensemble(specs)
    assert table.groupby("average").size().tolist() == [7, 7]
    alone = table[(table["n_members"] == 1) & (table["average"] == "logit")]
    np.testing.assert_allclose(alone["test_loss"], runs["test_loss"], atol=1e-5)
    assert len(list(lab.store.root.glob("ensembles/*.json"))) >= 1
    assert lab.ensembles([specs])[0].equals(table)


def test_worlds_say_what_they_need(monkeypatch):
    with pytest.raises(ValueError, match=r"world must be one of .*; not 'huge'"):
        get_world("huge")
    vast = dataclasses.replace(WORLDS["quick"], name="vast", widths=(16, 64 * 4000))
    monkeypatch.setitem(WORLDS, "vast", vast)
    with pytest.raises(ValueError, match=r"needs about [\d.]+ GiB of memory; [\d.]+ GiB are free"):
        get_world("vast")


def test_a_text_too_short_says_how_much_is_there_and_needed(tmp_path):
    for i in range(12):
        (tmp_path / f"{i}.txt").write_text(f"document {i}: " + " ".join(map(str, range(i, 300))))
    with pytest.raises(ValueError, match=r"needs 4,096 tokens in the train part .* there are \d"):
        Lab(get_world("tiny", corpus=f"files:{tmp_path}"), RunStore(tmp_path / "runs"))
