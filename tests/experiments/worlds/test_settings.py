"""Tuned settings that a world carries, and what is trained with them."""

import dataclasses

import pytest

from experiments.lab.lab import Lab
from experiments.lab.searches import carried, search_starts
from experiments.recipes.ensembles import ensembles
from experiments.recipes.regularized import regularized
from experiments.recipes.standard import standard
from experiments.runs.store import RunStore
from experiments.tuning.certificates import Certificate
from experiments.tuning.search import Tuned
from experiments.worlds import settings as settings_module
from experiments.worlds.registry import WORLDS, get_world
from experiments.worlds.settings import read_settings, write_settings

QUICK = WORLDS["quick"]
POINT = {"learning_rate": 0.01, "weight_decay": 0.4, "n_epochs": 2}


@pytest.mark.parametrize("world", [QUICK, WORLDS["small"]])
def test_settings_of_every_size_are_carried_for_all_objectives(world):
    settings = read_settings(world.settings)
    assert settings.n_unique_tokens == world.n_unique_tokens
    assert set(settings.tuned) == {"standard", "single", "ensemble"}
    for objective, tuned in settings.tuned.items():
        grid = world.standard_grid() if objective == "standard" else world.tuned_grid()
        assert carried(world, objective, world.widths, grid) == tuned
        assert all(one.neighbors for one in tuned.values())
        # Under the usual decay the smallest models select the largest learning rate.
        usual = {("edge of learning_rate",)} if objective == "standard" else set()
        assert all(one.certified or one.flaws in usual for one in tuned.values())
    assert "search on this text" in settings.provenance


def test_a_search_begins_at_the_settings():
    assert get_world("quick").settings == "quick"
    searched, starts = get_world("quick", search=True), {16: (0.01, 1.6, 32), 48: (0.005, 1.6, 32)}
    assert searched == dataclasses.replace(QUICK, search=True)
    assert not searched.carries_settings
    begun = search_starts(searched, "single", starts, QUICK.tuned_grid())
    assert begun[16] == read_settings("quick").tuned["single"][16].point
    learning_rate, weight_decay, _ = begun[48]  # a size between those with settings
    assert 0.00125 <= learning_rate <= 0.005
    assert 1.6 <= weight_decay <= 6.4
    elsewhere = dataclasses.replace(searched, n_unique_tokens=4_096)
    assert search_starts(elsewhere, "single", starts, QUICK.tuned_grid()) == starts


@pytest.mark.parametrize(
    ("change", "width", "said"),
    [
        ({}, 48, "for widths 16, 24, 32, 64, 96; none for 48, which has to be searched"),
        ({"settings": "slow"}, 16, "settings must be one of quick, small; not 'slow'"),
        ({"n_unique_tokens": 4_096}, 16, "of 32,768 unique tokens; world quick has 4,096 and must"),
        ({"learning_rates": (0.1,)}, 16, r"learning_rate of .* on the grid \(0.1\); not 0.01"),
    ],
)
def test_what_the_settings_are_not_for_is_named(change, width, said):
    world = dataclasses.replace(QUICK, **change)
    with pytest.raises(ValueError, match=said):
        carried(world, "single", [width], world.tuned_grid())


def certificate(world, objective, tuned, tmp_path, width=8):
    spec = Lab(world, RunStore(tmp_path / "none")).spec(width=width, seed=0, **POINT)
    return Certificate(objective=objective, tuned=tuned, runs={}, spec=spec)


def found_on(grid):
    point = tuple(POINT.values())
    near = grid.step(point, ("weight_decay",), 1)
    return Tuned(
        grid=grid, n_look=1, path=(point,), looks={point: 4.0, near: 4.5},
        values={point: (4.0, 4.01, 3.99), near: (4.5, 4.51, 4.49)},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_unique_tokens": 1_024}, "of one number of unique tokens; not of"),
        ({"epochs": (1, 2)}, "those of single are on two grids"),
    ],
)
def test_settings_of_several_searches_are_refused(change, said, tmp_path):
    first = dataclasses.replace(
        get_world("tiny"), epochs=(1, 2, 4), weight_decays=(0.1, 0.4, 1.6), widths=(8, 12)
    )
    second = dataclasses.replace(first, **change)
    # Another stock of text of another objective is one search of each, and yet not one.
    objective = "single" if "epochs" in change else "ensemble"
    both = [
        certificate(first, "single", found_on(first.tuned_grid()), tmp_path),
        certificate(second, objective, found_on(second.tuned_grid()), tmp_path, width=12),
    ]
    with pytest.raises(ValueError, match=said):
        write_settings(tmp_path / "both.settings.json", both, "made up")
    assert not (tmp_path / "both.settings.json").exists()


@pytest.fixture
def carrying(tmp_path, monkeypatch):
    """A world of two sizes whose settings are carried."""
    world = dataclasses.replace(
        get_world("tiny"), name="carrying", settings="tried", widths=(8, 12), epochs=(1, 2, 4),
        weight_decays=(0.1, 0.4, 1.6), standard_epochs=(1, 2),
    )  # fmt: skip
    tuned = found_on(world.tuned_grid())
    found = [
        certificate(world, objective, tuned, tmp_path, width)
        for objective in ("single", "ensemble")
        for width in world.widths
    ]
    write_settings(tmp_path / "tried.settings.json", found, "made up")
    assert read_settings("tried", tmp_path).tuned["single"][8] == tuned
    monkeypatch.setattr(settings_module.read_settings, "__defaults__", (tmp_path,))
    return world


@pytest.mark.long
def test_a_world_that_carries_its_settings_trains_its_final_cells_alone(carrying, tmp_path):
    lab = Lab(carrying, RunStore(tmp_path / "runs"))
    usual = standard.run(lab)
    tuned = regularized.run(lab)
    members = ensembles.run(lab, tuned)
    n_widths = len(carrying.widths)
    n_sweep = n_widths * len(carrying.standard_epochs) * carrying.n_seeds
    assert lab.account.n_trained == n_sweep + n_widths * carrying.n_members
    assert all(certificate.tuned.best == POINT for certificate in tuned.certificates.values())
    found = [*usual.certificates.values(), *tuned.certificates.values()]
    assert not any(one.tuned.certified for one in [*found, *members.certificates.values()])
    for certificate in tuned.certificates.values():
        assert "neighbours not run" in certificate.verdict
        assert [near.verdict for near in certificate.tuned.neighbors] == ["worse"]
    assert not (tmp_path / "runs" / "tuning").exists()  # a search would have left certificates
    assert members.heuristic == {}
    assert set(members.curves["chosen_for"]) == {"ensemble"}
