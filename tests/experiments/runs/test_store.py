"""What a run leaves in its folder, and how it is read back."""

import dataclasses
import json
import logging
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.runs import locks
from experiments.runs.locks import LockLost, RunLocked
from experiments.runs.metrics import Line, append_line, losses_by_step, read_lines
from experiments.runs.spec import SCHEMA_VERSION
from experiments.runs.store import CHECKPOINT, RunStore
from models.config import OptimizerConfig
from models.training.train import Program, init_state
from scaling import read_runs


def files_of(store, spec):
    return {path.name for path in store.folder(spec).iterdir()}


def test_a_run_is_done_only_with_its_whole_result(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec()
    assert not store.is_done(spec)
    store.begin(spec)
    store.append(spec, sample.segment(spec, np.ones(64)))
    assert not store.is_done(spec)
    assert store.frame().empty
    store.finish(spec, sample.finished(spec))
    assert store.is_done(spec)
    assert files_of(store, spec) == {
        *("spec.json", "metrics.jsonl", "params.safetensors", "result.json")
    }
    result = store.folder(spec) / "result.json"
    whole = result.read_text()
    for end in range(0, len(whole.rstrip()), 7):
        result.write_text(whole[:end])
        assert not store.is_done(spec)
        assert store.frame().empty
    values = json.loads(whole)
    for lost in ("scores", "status", "provenance", "n_params"):
        result.write_text(json.dumps({k: v for k, v in values.items() if k != lost}))
        assert not store.is_done(spec)
    result.write_text(whole.replace(spec.run_id, "0" * 16))
    assert not store.is_done(spec)
    result.write_text(json.dumps({**values, "schema": 99}))
    with pytest.raises(ValueError, match="schema 99; readable are 1 to 6"):
        store.is_done(spec)
    result.write_text(whole)
    assert len(store.frame()) == 1


def test_every_file_says_its_schema(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec()
    sample.train(store, spec)
    store.fail(spec, "gone")
    for name in ("spec.json", "metrics.jsonl", "result.json", "failure.json"):
        assert json.loads((store.folder(spec) / name).read_text())["schema"] == SCHEMA_VERSION


def test_torn_and_repeated_metrics_are_read_for_what_they_hold(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec()
    store.begin(spec)
    store.append(spec, sample.segment(spec, [5.0, 4.0]))
    with (store.folder(spec) / "metrics.jsonl").open("a") as file:
        file.write('\n{"first_step": 2, "loss": [3.')
    store.append(spec, sample.segment(spec, [2.0], first_step=4))
    np.testing.assert_array_equal(store.losses(spec), [5, 4, np.nan, np.nan, 2])
    store.append(spec, sample.segment(spec, [4.5, 3.0, 2.5], first_step=1))
    np.testing.assert_array_equal(store.losses(spec), [5, 4.5, 3, 2.5, 2])


def test_validation_losses_along_a_run_are_read_by_the_store_and_as_a_run_table(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec(score_every=0.5)
    assert spec == sample.spec()  # no result depends on them
    assert spec.run_id == sample.spec().run_id
    store.begin(spec)
    assert store.spec(spec.run_id).score_every == 0.5
    for first, held_out in ((0, 3.5), (2, None), (2, 3.25)):  # the second session repeats steps
        segment = sample.segment(spec, [4.0 - first, np.nan], first_step=first)
        store.append(spec, dataclasses.replace(segment, validation_loss=held_out))
    curve = store.curve(spec)
    assert curve["step"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(curve["epoch"], np.arange(1, 5) * 2 / 64)
    np.testing.assert_array_equal(curve["n_tokens_seen"], np.arange(1, 5) * 32)
    np.testing.assert_array_equal(curve["loss"], [4, np.nan, 2, np.nan])
    np.testing.assert_array_equal(curve["validation_loss"], [np.nan, 3.5, np.nan, 3.25])
    table = read_runs(store.folder(spec) / "metrics.jsonl")
    shared = ["step", "loss", "validation_loss"]
    scored = curve.loc[curve["validation_loss"].notna(), shared]
    np.testing.assert_array_equal(table[shared].astype(float), scored)
    silent = sample.spec(seed=1)
    store.begin(silent)
    store.append(silent, sample.segment(silent, [4.0, 3.0]))
    table = read_runs(store.folder(silent) / "metrics.jsonl")
    np.testing.assert_array_equal(table[["step", "loss"]], store.curve(silent)[["step", "loss"]])


def test_a_score_may_not_be_asked_for_at_no_interval(sample):
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="score_every must be a number of epochs >= 0; not"):
            sample.spec(score_every=wrong)


LOSSES = st.lists(st.floats(0, 20) | st.just(float("nan")), min_size=1, max_size=8)
LINES = st.builds(
    Line,
    session=st.sampled_from(["a", "b"]),
    first_step=st.integers(0, 50),
    seconds=st.floats(0, 1e6),
    losses=LOSSES.map(tuple),
    validation_loss=st.none() | st.floats(0, 20),
)
NONSENSE = st.one_of(
    st.binary(max_size=60),
    st.fixed_dictionaries(
        {
            "first_step": st.sampled_from([-1, 10**12, 2**70, 0.5, True, "0", None]),
            "loss": st.lists(st.floats(), max_size=2),
        }
    ).map(lambda values: json.dumps(values).encode()),
    st.sampled_from(["x", [[1.0]], {}, None, 1, ["1"], [True], [10**400]]).map(
        lambda loss: json.dumps({"first_step": 0, "loss": loss}).encode()
    ),
    st.sampled_from([b"[" * 100_000, b'{"first_step": 0, "loss": [1.5', b"\xff\xfe", b"{}", b"[]"]),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(LINES | NONSENSE, max_size=12), st.integers(1, 40))
def test_no_line_of_nonsense_costs_a_line_that_is_ours(tmp_path, lines, cut):
    """Whatever stands between the lines, and wherever the file ends."""
    path = tmp_path / "metrics.jsonl"
    path.unlink(missing_ok=True)
    ours = []
    for line in lines:
        if isinstance(line, Line):
            append_line(path, line)
            ours.append(line)
        else:
            with path.open("ab") as file:
                file.write(b"\n" + line.replace(b"\n", b" "))
    read = list(read_lines(path, n_steps=64))
    assert str(read) == str(ours)  # as text: a NaN is not equal to itself
    losses = losses_by_step(read)
    for step in range(64):
        last = [
            x.losses[step - x.first_step] for x in ours if 0 <= step - x.first_step < len(x.losses)
        ]
        np.testing.assert_equal(losses.get(step), last[-1] if last else None)
    if lines and isinstance(lines[-1], Line):
        path.write_bytes(path.read_bytes()[:-cut])
        torn = list(read_lines(path, n_steps=64))
        assert str(torn[: len(ours) - 1]) == str(ours[:-1])
        append_line(path, ours[-1])
        assert str(list(read_lines(path, n_steps=64))[-1]) == str(ours[-1])


def test_frame_holds_settings_and_scores_and_shows_what_diverged(tmp_path, sample):
    store = RunStore(tmp_path)
    specs = [sample.train(store, sample.spec(seed=s), diverged=s == 2) for s in range(3)]
    frame = store.frame(specs).set_index("seed")
    assert frame["validation_loss"].tolist()[:2] == [3.0, 4.0]
    assert np.isnan(frame.loc[2, "validation_loss"])
    assert frame["status"].tolist() == ["done", "done", "diverged"]
    assert frame.loc[2, "reason"] == "the training loss stopped being a number at step 40"
    assert frame["reason"].isna().tolist() == [True, True, False]
    assert (frame["train_loss"].iloc[:2] == 1.0).all()
    assert (frame["source"] == "datawall").all()
    assert frame["data_sha256"].tolist() == ["ab" * 32] * 3
    assert json.loads(frame["packages"].iloc[0])["jax"]
    assert sorted(store.frame()["run_id"]) == sorted(spec.run_id for spec in specs)
    with pytest.raises(KeyError, match="is not finished"):
        store.frame([sample.spec(seed=9)])


def test_results_of_the_version_before_are_read(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec()
    sample.train(store, spec, diverged=True)
    path = store.folder(spec) / "result.json"
    result = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            {k: v for k, v in result.items() if k not in ("reason", "n_sessions")} | {"schema": 1}
        )
    )
    assert store.frame()["reason"].tolist() == ["diverged"]


def test_runs_of_other_settings_in_the_same_folder_are_not_mixed_in(tmp_path, sample):
    store = RunStore(tmp_path)
    ours = sample.train(store, sample.spec())
    sample.train(store, sample.spec(optimizer=OptimizerConfig(learning_rate=1, weight_decay=0)))
    assert store.frame([ours])["run_id"].tolist() == [ours.run_id]


def test_a_run_that_two_recipes_need_carries_both_labels(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec()
    store.begin(spec.labeled(["standard"]))
    sample.train(store, spec.labeled(["ensembles"]))
    store.begin(spec)
    assert store.frame()["recipes"].tolist() == ["ensembles,standard"]
    stamp = (store.folder(spec) / "spec.json").stat().st_mtime_ns
    store.begin(spec.labeled(["standard"]))
    assert (store.folder(spec) / "spec.json").stat().st_mtime_ns == stamp


def test_seconds_of_a_resumed_run_add_up_over_its_sessions(tmp_path, sample):
    spec = sample.spec()
    for session, first_step in enumerate((0, 16, 32)):
        store = RunStore(tmp_path)
        store.begin(spec)
        losses = np.ones(24)
        store.append(spec, sample.segment(spec, losses, first_step=first_step, seconds=10**session))
    store.append(spec, sample.segment(spec, np.ones(8), first_step=56, seconds=100))
    # The last session reports its own seconds with its scores.
    store.finish(spec, sample.finished(spec, seconds=250.0))
    result = store.result(spec)
    assert result["seconds"] == 1 + 10 + 250
    assert result["n_sessions"] == 3
    assert result["tokens_per_second"] == 64 * 4 * 8 / 261


def test_failures_are_recorded_counted_and_gone_when_the_run_is_done(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec()
    store.begin(spec)
    assert store.failure(spec) is None
    for _ in range(2):
        try:
            raise MemoryError("no room")
        except MemoryError as error:
            store.fail(spec, error)
    failure = store.failure(spec)
    assert failure["error"] == "MemoryError: no room"
    assert "test_store.py" in failure["traceback"]
    assert failure["attempts"] == 2
    overview = store.overview().iloc[0]
    assert overview["status"] == "failed"
    assert overview["reason"] == "MemoryError: no room (2 attempts)"
    store.fail(spec, "Traceback of another process\nValueError: bad")
    assert store.failure(spec)["error"] == "ValueError: bad"
    sample.train(store, spec)
    assert store.failure(spec) is None
    assert store.overview()["status"].tolist() == ["done"]


def test_a_run_whose_lock_was_lost_is_not_finished(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec()
    store.begin(spec)
    with store.claim(spec) as lock:
        owner = json.loads((store.folder(spec) / "lock").read_text())
        successor = store.folder(spec) / f"lock.{owner['token']}"
        successor.write_text(json.dumps({**owner, "token": "another"}))
        assert not lock.still_held()
        for lost in (
            lambda: store.finish(spec, sample.finished(spec)),
            lambda: store.fail(spec, "x"),
        ):
            with pytest.raises(LockLost, match=f"lock of run {spec.run_id} was taken over"):
                lost()
    assert not store.is_done(spec)
    assert files_of(store, spec) == {"spec.json", "lock", successor.name}


def test_whoever_waited_frees_the_run_for_everybody(tmp_path, sample, monkeypatch, clock):
    """The owner is on another machine and dead; a fresh process has not seen that it is."""
    spec, watcher = sample.spec(), RunStore(tmp_path)
    here = locks.this_machine
    monkeypatch.setattr(locks, "this_machine", lambda: "elsewhere")
    lock = RunStore(tmp_path).claim(spec)
    monkeypatch.setattr(locks, "this_machine", here)
    assert not watcher.set_free(spec)
    clock.run_out_of_patience()
    with pytest.raises(RunLocked):
        RunStore(tmp_path).claim(spec)
    assert watcher.set_free(spec)
    with RunStore(tmp_path).claim(spec):
        assert not watcher.set_free(spec)
    assert not lock.still_held()


def test_a_finished_run_of_schema_1_is_not_written_again(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec()
    sample.train(store, spec)
    path = store.folder(spec) / "spec.json"
    values = {k: v for k, v in json.loads(path.read_text()).items() if k != "recipes"}
    path.write_text(old := json.dumps({**values, "schema": 1}))
    store.begin(spec)
    assert path.read_text() == old
    assert store.frame()["recipes"].tolist() == [""]
    store.begin(spec.labeled(["standard"]))
    assert store.frame()["recipes"].tolist() == ["standard"]


def test_a_store_sent_to_another_process_takes_locks_of_its_own(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec()
    with store.claim(spec):
        copy = pickle.loads(pickle.dumps(store))
        assert copy.root == store.root
        assert copy.owner(spec) == store.owner(spec)
        copy.begin(spec)
        assert store.overview()["status"].tolist() == ["running"]
    assert store.owner(spec) is None


def test_what_a_killed_process_left_with_a_finished_run_is_tidied_away(tmp_path, sample):
    store, spec = RunStore(tmp_path), sample.spec()
    sample.train(store, spec)
    whole = files_of(store, spec)
    store.tidy(spec)
    assert files_of(store, spec) == whole
    (store.folder(spec) / "checkpoint.9.tmp").mkdir()
    for name in (".x.json", "failure.json", "params.9.tmp", "lock.orphan"):
        (store.folder(spec) / name).touch()
    store.tidy(spec)
    assert files_of(store, spec) == whole
    assert store.is_done(spec)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "had trained 3 steps, but it has no checkpoint"),
        (
            lambda path: path.write_bytes(b"\0"),
            "had trained 3 steps, but its checkpoint cannot be read",
        ),
    ],
)
def test_a_lost_checkpoint_starts_the_run_afresh_and_says_so(
    tmp_path, sample, caplog, damage, said
):
    store, spec = RunStore(tmp_path), sample.spec()
    store.begin(spec)
    with caplog.at_level(logging.WARNING, logger="datawall"):
        assert store.kept_state(spec) is None
        store.append(spec, sample.segment(spec, np.ones(3)))
        store.keep_state(spec, init_state(Program(model=spec.model), 0))
        assert store.kept_state(spec) is not None
        assert not caplog.messages
        damage(store.folder(spec) / CHECKPOINT)
        assert store.kept_state(spec) is None
    assert caplog.messages == [f"run {spec.run_id} starts again: it {said}"]


def test_a_run_reports_how_its_loss_differs_between_documents(tmp_path, sample):
    """Two documents or more have a spread, one has none; earlier results have no such losses."""
    store, spec = RunStore(tmp_path), sample.spec()
    losses = {"validation": np.array([3.0]), "test": np.array([3.0, 3.5, 4.0])}
    event = dataclasses.replace(sample.finished(spec), document_losses=losses)
    store.begin(spec)
    store.append(spec, sample.segment(spec, np.ones(64)))
    store.finish(spec, event)
    assert store.result(spec)["document_losses"] == {k: v.tolist() for k, v in losses.items()}
    (row,) = store.frame([spec]).to_dict("records")
    assert row["test_document_sd"] == 0.5
    assert "validation_document_sd" not in row
    result = store.folder(spec) / "result.json"
    values = json.loads(result.read_text())
    del values["document_losses"]
    result.write_text(json.dumps(values))
    assert store.is_done(spec)
    assert "test_document_sd" not in store.frame([spec])
