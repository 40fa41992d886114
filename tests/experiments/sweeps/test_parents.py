"""Runs that start from others' weights or read what others write."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.lab.lab import Lab
from experiments.runs.spec import RunSpec, SyntheticConfig
from experiments.runs.store import RunStore
from experiments.runs.texts import unique_tokens
from experiments.sweeps.executors.local import LocalExecutor
from experiments.sweeps.parents import synthetic_windows
from experiments.sweeps.sweep import SweepError, run_sweep
from experiments.worlds.registry import get_world
from models.text.mixing import mixed_steps_per_epoch

pytestmark = pytest.mark.long

STALE = "0123456789abcdef"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    world = dataclasses.replace(get_world("tiny"), n_unique_tokens=8_192)
    return Lab(world, RunStore(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def family(lab):
    """Two teachers, a run that goes on from one, a student of both, and the student's student."""

    def spec(seed, **options):
        return lab.spec(width=8, weight_decay=0.4, n_epochs=2, seed=seed, **options)

    teachers = [spec(0), spec(1)]
    ids = tuple(teacher.run_id for teacher in teachers)
    text = SyntheticConfig(teachers=ids, n_tokens=2000, share=0.75)
    student = spec(0, synthetic=text)
    grandchild = spec(0, synthetic=dataclasses.replace(text, teachers=(student.run_id,)))
    heir = spec(0, init_from=ids[0])
    # Children first: the sweep has to find the order.
    family = {"grandchild": grandchild, "student": student, "heir": heir, "teacher": teachers[0]}
    lab.train([*family.values(), teachers[1]], title="family")
    return family


def test_children_are_trained_after_their_parents_in_one_sweep(lab, family):
    assert all(lab.store.is_done(spec) for spec in family.values())
    runs = lab.store.frame(family.values())
    assert runs["test_loss"].nunique() == len(family)
    assert runs["init_from"].dropna().to_dict() == {2: family["teacher"].run_id}
    assert json.loads(runs["synthetic"][1])["share"] == 0.75


def test_weights_go_on_from_those_of_the_parent(lab, family):
    first = lab.store.losses(family["heir"])[0]
    last = lab.store.losses(family["teacher"])
    assert first < last[0] - 1
    assert abs(first - last[-1]) < 0.5


def test_an_epoch_is_a_pass_over_the_real_text(lab, family):
    student = family["student"]
    n_tokens = lab.world.n_unique_tokens
    per_epoch = mixed_steps_per_epoch(n_tokens, context=64, train=student.train, share=0.75)
    assert student.n_steps == 2 * per_epoch == len(lab.store.losses(student))
    assert per_epoch == 4 * family["teacher"].n_steps // 2
    alone = dataclasses.replace(student.synthetic, share=1.0)
    only = dataclasses.replace(student, synthetic=alone)
    assert only.n_steps == family["teacher"].n_steps


def test_the_synthetic_text_is_sampled_once_and_shared_by_every_share(lab, family):
    windows = synthetic_windows(family["student"], lab.store)
    assert windows.shape == (32, 65)
    assert windows[:, 0].tolist() == [0] * 32
    other = dataclasses.replace(family["student"].synthetic, share=0.5)
    assert other.text_id == family["student"].synthetic.text_id
    pooled = dataclasses.replace(family["student"].synthetic, pooled=True)
    assert pooled.text_id != other.text_id
    assert len(list(lab.store.root.glob("synthetic/*.npy"))) == 2


@pytest.mark.long
@pytest.mark.exhaustive  # as the executors do
def test_another_store_and_processes_give_the_same_losses(lab, family, tmp_path):
    other = RunStore(tmp_path)
    with LocalExecutor(1) as executor:
        run_sweep([*family.values(), *teachers_of(lab, family)], other, executor=executor)
    for name, spec in family.items():
        np.testing.assert_allclose(
            other.losses(spec), lab.store.losses(spec), atol=1e-5, err_msg=name
        )


def teachers_of(lab, family):
    return [lab.store.spec(run_id) for run_id in family["student"].synthetic.teachers]


def test_sampled_windows_begin_with_tokens_that_the_teachers_have_read(lab, family):
    """The stock of one long document holds no end of text, with which windows began."""
    student = family["student"]
    text = dataclasses.replace(student.synthetic, prompt="stock")
    assert text.text_id != student.synthetic.text_id
    windows = synthetic_windows(dataclasses.replace(student, synthetic=text), lab.store)
    assert windows.shape == synthetic_windows(student, lab.store).shape
    assert set(windows[:, 0]) <= set(unique_tokens(student.data, student.model.vocab_size))
    assert len(set(windows[:, 0])) > 5


def test_teachers_of_different_stocks_cannot_begin_windows_with_them(lab, family):
    other = lab.spec(width=8, weight_decay=0.4, n_epochs=2, seed=0, draw_seed=1)
    lab.train([other], title="another draw")
    ids = (family["teacher"].run_id, other.run_id)
    text = SyntheticConfig(teachers=ids, n_tokens=100, share=0.5, prompt="stock")
    with pytest.raises(ValueError, match="trained on different tokens"):
        synthetic_windows(dataclasses.replace(other, synthetic=text), lab.store)


@pytest.mark.long
def test_an_interrupted_child_is_resumed_exactly(lab, family, tmp_path, hold, monkeypatch):
    store = RunStore(tmp_path / "runs")
    long = {
        name: dataclasses.replace(
            family[name], train=dataclasses.replace(family[name].train, n_epochs=n_epochs)
        )
        for name, n_epochs in {"student": 4, "heir": 16}.items()  # two segments each
    }
    run_sweep([*long.values()], lab.store)
    run_sweep(teachers_of(lab, family), store)
    append, n_calls = store.append, []

    def interrupt(spec, segment):
        append(spec, segment)
        n_calls.append(spec)
        if len(n_calls) == 2:
            raise KeyboardInterrupt

    hold.touch()
    monkeypatch.setattr(store, "append", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_sweep([*long.values()], store)
    monkeypatch.undo()
    run_sweep([*long.values()], store)
    for spec in long.values():
        np.testing.assert_array_equal(store.losses(spec), lab.store.losses(spec))


def test_an_orphan_is_refused_before_anything_is_trained(lab, family, tmp_path):
    store = RunStore(tmp_path)
    with pytest.raises(
        ValueError, match=r"builds on run .* neither finished .* nor among the runs"
    ):
        run_sweep([family["heir"]], store)
    assert not any(tmp_path.iterdir())


def test_children_of_a_run_that_fails_are_not_begun(lab, family, tmp_path, monkeypatch):
    store, teacher = RunStore(tmp_path), family["teacher"]

    def broken(spec):
        if spec == teacher:
            raise OSError("disk on fire")

    monkeypatch.setattr(store, "kept_state", broken)
    with pytest.raises(SweepError, match=r"1 of 2 .*; 1 that build on them were not started.*fire"):
        run_sweep([family["heir"], teacher], store)
    assert not store.folder(family["heir"]).exists()


def test_weights_of_another_shape_are_refused(lab, family):
    other = lab.spec(
        width=16, weight_decay=0.4, n_epochs=2, seed=0, init_from=family["teacher"].run_id
    )
    with pytest.raises(SweepError, match="another architecture"):
        run_sweep([other], lab.store)


def test_what_a_run_builds_on_is_part_of_its_name(lab, family):
    plain = lab.spec(width=8, weight_decay=0.4, n_epochs=2, seed=0)
    ids = {plain.run_id, *(spec.run_id for spec in family.values())}
    assert len(ids) == 4
    assert plain.run_id == family["teacher"].run_id
    for spec in family.values():
        again = RunSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
        assert again == spec
        assert again.run_id == spec.run_id
    assert family["grandchild"].parents == (family["student"].run_id,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"teachers": ()}, "one or more distinct runs"),
        ({"teachers": (STALE, STALE)}, "distinct runs"),
        ({"n_tokens": 0}, "n_tokens must be a whole number >= 1; not 0"),
        ({"share": 0.0}, r"share must lie in \(0, 1\]; not 0.0"),
        ({"share": 1.1}, "share must lie"),
        ({"temperature": -1.0}, "temperature must be >= 0"),
        ({"prompt": "title"}, "prompt must be one of .*; not 'title'"),
    ],
)
def test_settings_out_of_range_are_named(change, said):
    good = {"teachers": (STALE,), "n_tokens": 10, "share": 0.5}
    with pytest.raises(ValueError, match=said):
        SyntheticConfig(**{**good, **change})


def test_a_share_of_no_window_is_refused(sample):
    text = SyntheticConfig(teachers=(STALE,), n_tokens=10, share=0.1)
    with pytest.raises(
        ValueError,
        match=r"synthetic share 0.1 rounds to 0 of the 4 windows in a batch; use more than 0.125",
    ):
        sample.spec(synthetic=text)
