"""Levers of a world: from the shell or a file into the settings of its runs."""

import dataclasses

import pytest

from experiments.lab.lab import Lab
from experiments.runs.rows import SETTINGS
from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore
from experiments.story.story import open_lab
from experiments.worlds.files import read_world, world_toml
from experiments.worlds.levers import KINDS, OTHERWISE, _levers, read_levers
from experiments.worlds.registry import WORLDS, get_world

TINY = WORLDS["tiny"]
GIVEN = (
    *("clip_norm=1", "qk_norm=true", "schedule=wsd", "optimizer=muon", "replaced_share=0.1"),
    *("window_jitter=false", "order_seed=3"),
)


def spec_of(world, folder="runs"):
    lab = Lab(world, RunStore(folder))
    return lab.spec(width=8, weight_decay=0.4, n_epochs=2, seed=0)


def test_levers_reach_every_run_on_the_text_and_name_the_folder_of_the_store(tmp_path):
    lab = open_lab("tiny", corpus=None, runs=tmp_path, levers=GIVEN, score_every=0.5)
    spec = lab.spec(width=8, weight_decay=0.4, n_epochs=2, seed=0)
    assert (spec.optimizer.clip_norm, spec.optimizer.schedule) == (1.0, "wsd")
    assert (spec.optimizer.name, spec.model.qk_norm) == ("muon", True)
    assert (spec.train.replaced_share, spec.train.window_jitter) == (0.1, False)
    assert (spec.train.order_seed, spec.score_every) == (3, 0.5)
    assert spec.optimizer.weight_decay == 0.4  # what the recipe tunes remains
    assert lab.store.root.name.startswith("tiny+clip_norm=1+qk_norm=True+")
    assert RunSpec.from_dict(spec.to_dict()).run_id == spec.run_id


def test_without_levers_runs_and_folders_are_those_of_before(tmp_path):
    assert get_world("tiny") == TINY
    assert open_lab("tiny", corpus=None, runs=tmp_path).store.root == tmp_path / "tiny"
    scored = get_world("tiny", score_every=1.0)
    assert spec_of(scored).run_id == spec_of(TINY).run_id
    off = get_world("tiny", levers=["clip_norm=0", "final_decay=1", "schedule=cosine"])
    assert spec_of(off).run_id == spec_of(TINY).run_id


def test_a_file_of_a_world_says_its_levers(tmp_path):
    world = dataclasses.replace(
        TINY, name="mine", levers={"clip_norm": 1.0, "qk_norm": True}, score_every=2.0
    )
    path = tmp_path / "mine.toml"
    path.write_text(world_toml(world), encoding="utf-8")
    assert read_world(path) == world
    text = path.read_text().replace("clip_norm = 1.0", "clipnorm = 1.0")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"mine.toml: levers.clipnorm is unknown; allowed are"):
        read_world(path)


def test_every_lever_has_one_name_which_is_that_of_its_column():
    names = [name for kind in KINDS for name in _levers(kind)]
    assert len(set(names)) == len(names)
    assert set(names) <= set(SETTINGS)
    assert not set(names) & set(OTHERWISE)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["clip"], "a lever must be name=value, such as clip_norm=1; not 'clip'"),
        (["z_loss=1", "z_loss=2"], "the lever z_loss is given more than once"),
        (["width=8"], r"levers.width is unknown; allowed are .*n_kv_heads.*clip_norm"),
        (["batch_size=8"], r"levers.batch_size is unknown"),
        (["clip_norm=much"], "levers.clip_norm must be of type float; not 'much'"),
        (["clip_norm=true"], "levers.clip_norm must be of type float; not True"),
        (["order_seed=0.5"], "levers.order_seed must be of type int; not 0.5"),
        (["qk_norm=1"], "levers.qk_norm must be of type bool; not 1"),
        (["schedule=1"], "levers.schedule must be of type str; not 1"),
    ],
)
def test_a_wrong_lever_is_refused_with_what_is_allowed(given, said):
    with pytest.raises(ValueError, match=said):
        read_levers(given)


def test_values_are_checked_by_the_settings_before_anything_is_trained():
    world = get_world("tiny", levers=["masked_share=1.5"])
    with pytest.raises(ValueError, match=r"masked_share must be in \[0, 1\); not 1.5"):
        spec_of(world)


def test_a_recipe_that_would_ignore_a_lever_is_refused(tmp_path):
    world = get_world("tiny", levers=["data_order=documents"])
    lab = Lab(world, RunStore(tmp_path))
    spec = lab.spec(width=8, weight_decay=0.4, n_epochs=2, seed=0)
    own = dataclasses.replace(spec, train=dataclasses.replace(spec.train, data_order="fixed"))
    said = "ablations chooses settings of its own, which the levers data_order do not reach"
    with lab.labeling("ablations"), pytest.raises(ValueError, match=said):
        lab.train([own], title="none")
