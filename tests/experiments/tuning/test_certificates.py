"""Certificates from real searches: kept, read again, and true to the runs they name."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from experiments.analysis.members import limit_by_member, limit_estimate
from experiments.lab.lab import Lab
from experiments.lab.searches import single_losses, tune_sizes
from experiments.recipes.regularized import start_of
from experiments.runs.store import RunStore
from experiments.tuning.certificate_files import load_certificates, save_certificate
from experiments.tuning.certificates import margins_table, optima_table
from experiments.tuning.grid import Grid
from experiments.tuning.search import Effort, Tuned
from experiments.worlds.registry import WORLDS
from experiments.worlds.world import World

pytestmark = pytest.mark.long

WORLD = World(
    name="minute",
    widths=(4,),
    n_unique_tokens=2_048,
    n_eval_tokens=1_024,
    standard_epochs=(2,),
    learning_rates=(2.5e-3, 1e-2, 4e-2),
    weight_decays=(0.0, 0.4, 1.6),
    epochs=(1, 2, 4),
    start=(0.4, 2),
    n_seeds=2,
    n_tuning_members=3,
    n_members=4,
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(WORLD, RunStore(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def found(lab):
    certificates = tune_sizes(
        lab,
        "single",
        {4: (1e-2, 0.4, 2)},
        grid=WORLD.tuned_grid(),
        effort=WORLD.effort(),
        score=single_losses(lab),
    )
    return certificates[4]


@pytest.fixture(scope="module")
def other(found):
    """The same of another size."""
    model = dataclasses.replace(found.spec.model, width=8)
    return dataclasses.replace(found, spec=dataclasses.replace(found.spec, model=model))


def test_a_certificate_rests_on_the_runs_it_names(lab, found):
    runs = lab.store.frame().set_index("run_id").loc[list(found.runs)]
    assert set(runs["width"]) == {4}
    assert found.n_runs == len(runs)
    assert found.train_flops == pytest.approx(runs["train_flops"].sum())
    cells = runs.groupby(list(found.tuned.grid.axes))["validation_loss"]
    assert found.tuned.looks.keys() == set(cells.groups)
    for point, values in found.tuned.values.items():
        at_point = runs.loc[cells.groups[point]].sort_values("seed")
        assert list(values) == at_point["validation_loss"].tolist()
    assert found.spec.optimizer.weight_decay == found.tuned.best["weight_decay"]


def test_a_certificate_comes_back_as_it_was_kept(lab, found):
    (kept,) = load_certificates(lab.store.root)
    assert kept == found
    assert kept.tuned.flaws == found.tuned.flaws
    path = next((lab.store.root / "tuning").glob("single-4-*.json"))
    values = json.loads(path.read_text())
    assert values["schema"] == 1
    assert values["summary"]["loss"] == found.tuned.loss
    assert "NaN" not in path.read_text()
    assert "Infinity" not in path.read_text()


def test_keeping_the_same_again_writes_nothing(lab, found):
    path = save_certificate(found, lab.store.root)
    before = path.stat().st_mtime_ns
    save_certificate(found, lab.store.root)
    assert path.stat().st_mtime_ns == before


def test_a_torn_certificate_is_left_out_and_one_of_another_schema_named(found, other, tmp_path):
    good, torn = (save_certificate(each, tmp_path) for each in (found, other))
    torn.write_text(torn.read_text()[:100])
    assert load_certificates(tmp_path) == [found]
    good.write_text(good.read_text().replace('"schema": 1', '"schema": 99', 1))
    with pytest.raises(ValueError, match=f"{good.name} is not a certificate of this version"):
        load_certificates(tmp_path)


def test_keys_differ_by_objective_size_and_text_but_not_by_the_tuned_settings(found, other):
    spec = found.spec
    other_data = dataclasses.replace(spec.data, n_unique_tokens=99)
    other_rate = dataclasses.replace(spec.optimizer, learning_rate=0.5)
    variants = [
        found,
        other,
        dataclasses.replace(found, objective="ensemble"),
        dataclasses.replace(found, spec=dataclasses.replace(spec, data=other_data)),
    ]
    assert len({variant.key for variant in variants}) == len(variants)
    same = dataclasses.replace(spec, optimizer=other_rate, seed=3)
    assert dataclasses.replace(found, spec=same).key == found.key


def test_diverged_and_unknown_survive_the_journey(found, tmp_path):
    grid = Grid(axes={"learning_rate": (1, 2), "weight_decay": (0, 1), "n_epochs": (1, 2)})
    tuned = Tuned(
        grid=grid, n_look=1, path=((1, 0, 1),), looks={(1, 0, 1): 3.0, (2, 0, 1): math.inf},
        values={(1, 0, 1): (3.0,)},
    )  # fmt: skip
    bad = dataclasses.replace(found, tuned=tuned)
    save_certificate(bad, tmp_path)
    (again,) = load_certificates(tmp_path)
    assert again == bad
    assert again.summary()["neighbors"][0]["margin"] is None
    assert "noise unknown" in again.verdict
    row = margins_table([again]).iloc[0]
    assert row[["lr -", "lr +", "decay -", "decay +"]].tolist() == [
        "end", "diverged", "end", "not run",
    ]  # fmt: skip
    assert optima_table([again])["loss ± s.e."].item() == "3.000 ± nan"


def test_the_rule_of_the_world_carries_the_learning_rate_from_size_to_size(found):
    quick = WORLDS["quick"]
    assert start_of(quick, 16, {}) == (1e-2, *quick.start)
    smaller = {32: dataclasses.replace(found, tuned=at((2e-2, 6.4, 8)))}
    # The rule halves the rate from width 32 to 64.
    assert start_of(quick, 64, smaller) == (1e-2, 6.4, 8)


def at(point):
    axes = {name: (x,) for name, x in zip(("learning_rate", "a", "b"), point, strict=True)}
    return Tuned(grid=Grid(axes=axes), n_look=1, path=(point,), looks={}, values={})


def member_scores(losses):
    """Scores as `Lab.ensemble` gives them, from losses by subset of members."""
    return pd.DataFrame(
        [
            {
                "members": ",".join(map(str, members)), "n_members": len(members),
                "average": "logit", "validation_loss": loss,
            }
            for members, loss in losses.items()
        ]
    )  # fmt: skip


def test_the_limit_is_split_between_members_as_the_jackknife_does():
    rng = np.random.default_rng(0)
    effects = rng.normal(scale=0.1, size=3)
    subsets = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    # L = 3 + mean effect + 1 / K: the limit of members with these effects is 3 + their mean.
    scores = member_scores({s: 3 + effects[list(s)].mean() + 1 / len(s) for s in subsets})
    assert limit_estimate(scores) == pytest.approx(3 + effects.mean())
    assert limit_by_member(scores) == pytest.approx(list(3 + effects))
    two = member_scores({s: 3 + 1 / len(s) for s in [(0,), (1,), (0, 1)]})
    assert limit_by_member(two) == [pytest.approx(3.0)]


def test_a_diverged_member_makes_the_limit_unknown():
    scores = member_scores({(0,): 3.0, (1,): math.nan, (0, 1): math.nan})
    assert math.isnan(limit_by_member(scores)[0])


def test_a_world_of_one_seed_certifies_nothing(lab):
    (alone,) = tune_sizes(
        lab,
        "single",
        {4: (1e-2, 0.4, 2)},
        grid=Grid(axes={"learning_rate": (1e-2,), "weight_decay": (0.4,), "n_epochs": (2,)}),
        effort=Effort(n_seeds=1),
        score=single_losses(lab),
    ).values()
    assert alone.verdict == "no: noise unknown: one seed"
