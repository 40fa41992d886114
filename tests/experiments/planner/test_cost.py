"""What a world takes is counted before anything is trained."""

import dataclasses
import json
import math

import pytest

from experiments import open_results
from experiments.cli.app import main
from experiments.planner import speed
from experiments.planner.cost import TAUGHT, costs, memory
from experiments.planner.speed import measured_tflops, timed_tflops, training_tflops
from experiments.recipes import find_recipe
from experiments.recipes.regularized import regularized
from experiments.worlds.registry import WORLDS, get_world
from experiments.worlds.settings import read_settings
from models.accelerator import checks
from models.training.devices import training_bytes

QUICK, GPU = WORLDS["quick"], WORLDS["gpu"]


def test_runs_and_operations_of_carried_settings_are_those_of_the_settings():
    found = {one.recipe: one for one in costs(QUICK)}
    n_cells = len(QUICK.widths) * QUICK.n_members
    assert found["regularized"].n_runs == n_cells
    assert found["ensembles"].n_runs == n_cells  # no size has the same settings for both
    flops = sum(
        QUICK.n_members * one.best["n_epochs"] * (QUICK.n_unique_tokens // 512) * 512
        * QUICK.model(width).train_flops_per_token
        for width, one in read_settings("quick").tuned["single"].items()
    )  # fmt: skip
    # Up to a step an epoch, which the phases of windows cost.
    assert found["regularized"].flops == pytest.approx(flops, rel=0.02)
    sweep = len(QUICK.widths) * len(QUICK.standard_epochs) * QUICK.n_seeds
    assert sweep <= found["standard"].n_runs < 2.5 * sweep
    assert math.isnan(found["continued"].flops)


def test_as_many_runs_are_planned_for_facts_as_their_shipped_results_rest_on():
    story = open_results("small")
    recipes = [find_recipe(name) for name in TAUGHT]
    planned = {one.recipe: one.n_runs for one in costs(WORLDS["small"], recipes)}
    for recipe in recipes:
        story.results.require(recipe)
        assert planned[recipe.name] == len(story.results.evidence(recipe).runs), recipe.name


@pytest.mark.long
def test_the_world_of_a_gpu_takes_what_it_was_designed_for():
    found = {one.recipe: one for one in costs(GPU)}
    assert found.keys() == {*GPU.recipes}
    assert found[regularized.name].n_runs == len(GPU.widths) * GPU.n_members  # nothing is searched
    total = sum(one.flops for one in found.values())
    assert 1e17 < total < 2e17  # an hour at 28 to 56 TFLOP/s
    table = memory(GPU)
    last = table.iloc[-1]
    assert last["one"] * 2**30 == training_bytes(GPU.model(512), batch_size=GPU.batch_size)
    assert last["members"] < 64  # GiB: fits the smaller of the two GPUs it is meant for


def test_the_plan_is_printed_and_nothing_is_trained(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["reproduce", "--world", "quick", "--plan", "--tflops"]
    assert main([*command, "100"]) == 0
    printed = capsys.readouterr().out
    assert "\nregularized: 25 runs, " in printed
    assert "not estimated: classical, continued, bootstrapped" in printed
    assert "at 100 TFLOP/s (as given)" in printed
    assert "width 96, 320k parameters: " in printed
    assert main([*command, "100", "--part", "2"]) == 0
    printed = capsys.readouterr().out
    assert "\nregularized: " not in printed
    assert "not estimated: continued, bootstrapped" in printed
    assert not [*tmp_path.iterdir()]
    assert main([*command, "0"]) == 2
    assert "--tflops must be > 0; not 0" in capsys.readouterr().err


def test_a_measured_rate_is_used(tmp_path):
    assert measured_tflops(tmp_path) is None
    figures = {
        "matmul rate of the machine, TFLOP/s": 400.0, "share of the matmul rate, together": 0.2,
    }  # fmt: skip
    content = {"results": {"together": {"figures": figures}}}
    (tmp_path / "1-h100-full.json").write_text(json.dumps(content))
    (tmp_path / "1-cpu-smoke.json").write_text("{}")
    assert measured_tflops(tmp_path) == pytest.approx(80)


def test_where_nothing_was_measured_cpus_are_timed_and_accelerators_assumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(speed, "accelerators", lambda: ("cuda", 1))
    assert training_tflops(QUICK) == (speed.USUAL_TFLOPS, "assumed")
    monkeypatch.setattr(speed, "accelerators", lambda: ("", 0))
    monkeypatch.setattr(speed, "timed_tflops", lambda world: 0.05)
    assert training_tflops(QUICK)[0] == 0.05
    assert training_tflops(QUICK)[1].startswith("as timed on ")


def test_what_is_timed_is_the_largest_model_of_which_the_time_allows_a_step(monkeypatch):
    trained = []
    monkeypatch.setattr(checks, "trained", trained.append)
    timed_tflops(QUICK, flops=1e10)
    timed_tflops(QUICK, flops=1.0)
    assert [jobs[0].model.width for jobs in trained[::2]] == [96, 16]
    assert trained[0][0].flops == pytest.approx(1e10, rel=0.1)
    assert {job.n_steps for job in trained[2]} == {1}
    monkeypatch.undo()
    assert timed_tflops(get_world("tiny"), flops=1.0) > 0


def test_a_world_without_the_recipes_that_can_be_counted_says_so():
    world = dataclasses.replace(QUICK, recipes=("continued",))
    assert [one.recipe for one in costs(world) if math.isnan(one.n_runs)] == ["continued"]
