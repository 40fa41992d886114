import dataclasses
import json

import numpy as np
import pytest

from experiments.spec import DataConfig, RunSpec
from experiments.store import RunStore
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.job_list import Finished, Job, Segment
from models.train import init_state


def make_spec(seed=0, **changes) -> RunSpec:
    spec = RunSpec(
        model=ModelConfig.from_width(16, vocab_size=30, context=8),
        data=DataConfig(corpus="stdlib", sha256="ab" * 32, n_unique_tokens=1024, n_eval_tokens=64),
        optimizer=OptimizerConfig(learning_rate=0.01, weight_decay=0.8),
        train=TrainConfig(n_epochs=2, batch_size=4),
        seed=seed,
    )
    return dataclasses.replace(spec, **changes)


def finished(spec: RunSpec, *, diverged=False) -> Finished:
    job = Job(
        id=spec.run_id, model=spec.model, optimizer=spec.optimizer, train=spec.train,
        seed=spec.seed, tokens=np.zeros(spec.data.n_unique_tokens, int), held_out={},
    )  # fmt: skip
    scores = {} if diverged else {"validation": 3.0 + spec.seed, "test": 3.5}
    return Finished(
        job=job, params=init_state(spec.model, spec.seed).params, scores=scores,
        diverged=diverged, seconds=1.5, device="cpu",
    )  # fmt: skip


def test_run_id_changes_with_every_setting_that_changes_the_result():
    base = make_spec()
    changed = [
        make_spec(seed=1),
        make_spec(model=dataclasses.replace(base.model, tied_embeddings=True)),
        make_spec(data=dataclasses.replace(base.data, draw_seed=1)),
        make_spec(data=dataclasses.replace(base.data, sha256="cd" * 32)),
        make_spec(optimizer=dataclasses.replace(base.optimizer, weight_decay=0.4)),
        make_spec(train=dataclasses.replace(base.train, window_jitter=False)),
    ]
    assert len({spec.run_id for spec in (base, *changed)}) == len(changed) + 1


def test_run_id_does_not_depend_on_what_the_text_is_called():
    renamed = dataclasses.replace(make_spec().data, corpus="files:elsewhere")
    assert make_spec(data=renamed).run_id == make_spec().run_id


def test_spec_round_trips_and_other_schemas_are_refused():
    spec = make_spec()
    values = json.loads(json.dumps(spec.to_dict()))
    assert RunSpec.from_dict(values) == spec
    assert RunSpec.from_dict(values).run_id == spec.run_id
    with pytest.raises(ValueError, match="schema 99; readable are 1 to 2"):
        RunSpec.from_dict({**values, "schema": 99})


def test_a_run_is_done_only_with_its_whole_result(tmp_path):
    store, spec = RunStore(tmp_path), make_spec()
    assert not store.is_done(spec)
    store.begin(spec)
    store.append(spec, Segment(job=finished(spec).job, first_step=0, losses=np.ones(64)))
    assert not store.is_done(spec)
    assert store.frame().empty
    store.finish(spec, finished(spec))
    assert store.is_done(spec)
    result = store.folder(spec) / "result.json"
    whole = result.read_text()
    result.write_text(whole[: len(whole) // 2])
    assert not store.is_done(spec)
    result.write_text(whole.replace(spec.run_id, "0" * 16))
    assert not store.is_done(spec)


def test_torn_and_repeated_metrics_are_read_for_what_they_hold(tmp_path):
    store, spec = RunStore(tmp_path), make_spec()
    store.begin(spec)
    job = finished(spec).job
    store.append(spec, Segment(job=job, first_step=0, losses=np.array([5.0, 4.0])))
    with (store.folder(spec) / "metrics.jsonl").open("a") as file:
        file.write('\n{"first_step": 2, "loss": [3.')
    store.append(spec, Segment(job=job, first_step=4, losses=np.array([2.0])))
    np.testing.assert_array_equal(store.losses(spec), [5, 4, np.nan, np.nan, 2])
    store.append(spec, Segment(job=job, first_step=1, losses=np.array([4.5, 3.0, 2.5])))
    np.testing.assert_array_equal(store.losses(spec), [5, 4.5, 3, 2.5, 2])


def test_frame_holds_settings_and_scores_and_shows_what_diverged(tmp_path):
    store = RunStore(tmp_path)
    specs = [make_spec(seed=seed) for seed in range(3)]
    for spec in specs:
        store.begin(spec)
        store.append(spec, Segment(job=finished(spec).job, first_step=0, losses=np.ones(64)))
        store.finish(spec, finished(spec, diverged=spec.seed == 2))
    frame = store.frame(specs).set_index("seed")
    assert frame["validation_loss"].tolist()[:2] == [3.0, 4.0]
    assert np.isnan(frame.loc[2, "validation_loss"])
    assert frame["status"].tolist() == ["done", "done", "diverged"]
    assert (frame["train_loss"].iloc[:2] == 1.0).all()
    assert sorted(store.frame()["run_id"]) == sorted(spec.run_id for spec in specs)
    with pytest.raises(KeyError, match="is not finished"):
        store.frame([make_spec(seed=9)])


def test_runs_of_other_settings_in_the_same_folder_are_not_mixed_in(tmp_path):
    store = RunStore(tmp_path)
    ours, theirs = (
        make_spec(),
        make_spec(optimizer=OptimizerConfig(learning_rate=1, weight_decay=0)),
    )
    for spec in (ours, theirs):
        store.begin(spec)
        store.finish(spec, finished(spec))
    assert store.frame([ours])["run_id"].tolist() == [ours.run_id]
