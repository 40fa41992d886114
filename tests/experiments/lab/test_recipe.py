"""Recipes: found by listing their folder, run after what they need, each with its evidence."""

import dataclasses
import inspect
from types import SimpleNamespace

import pytest

from experiments.lab.lab import Account, Lab
from experiments.lab.recipe import Evidence, LazyResults, NotRun, Results, recipe, run_recipes
from experiments.recipes import find_recipe
from experiments.worlds import recipe_modules, recipe_names


@dataclasses.dataclass(frozen=True)
class Found:
    value: int


@recipe()
def first(lab: Lab) -> Found:
    ask(lab, "a", "kind/1")
    return Found(1)


@recipe(first)
def second(lab: Lab, first: Found) -> Found:
    ask(lab, "b", "kind/2")
    return Found(first.value + 1)


@recipe(second, first, part=2)
def third(lab: Lab, second: Found, first: Found) -> Found:
    return Found(10 * second.value + first.value)


class SmallLab(Lab):
    """A lab that keeps account of what it is asked and trains nothing."""

    def __init__(self):
        self.world, self.account = SimpleNamespace(name="small"), Account()


def ask(lab, run_id, record):
    spec = SimpleNamespace(recipes=lab.account.labels)
    lab.account.runs[run_id] = spec
    lab.account.read.setdefault(*lab.account.labels, set()).add(record)


def test_a_recipe_runs_once_after_all_that_it_needs():
    results = run_recipes(SmallLab(), [third, first])
    assert [one.name for one in results] == ["first", "second", "third"]
    assert results[third] == Found(21)
    assert results.evidence(first) == Evidence(runs=("a",), records=("kind/1",))
    assert results.evidence(second) == Evidence(runs=("b",), records=("kind/2",))
    assert results.evidence(third) == Evidence()


def test_lazy_results_run_only_what_is_read_and_once():
    lab = SmallLab()
    results = LazyResults(lab, [third])
    assert third in results
    assert [one.name for one in results] == ["first", "second", "third"]
    assert not lab.account.runs
    assert results[first] == Found(1)
    assert [*lab.account.runs] == ["a"]
    with results.reading() as read:
        assert results[third] == Found(21)
    assert [one.name for one in read] == ["third"]
    assert [*lab.account.runs] == ["a", "b"]
    assert results[first] is results[first]
    assert results.evidence(second) == Evidence(runs=("b",), records=("kind/2",))
    with pytest.raises(NotRun, match="world small does not run the recipe second"):
        LazyResults(SmallLab(), [first])[second]


def test_what_is_known_of_another_lab_is_built_on_and_not_run():
    known = run_recipes(SmallLab(), [second])
    lab = SmallLab()
    results = run_recipes(lab, [third], known)
    assert [one.name for one in results] == ["third"]
    assert results[third] == Found(21)
    assert not lab.account.runs


def test_what_is_read_in_a_block_is_noted():
    results = run_recipes(SmallLab(), [third])
    assert results[first].value == 1
    with results.reading() as read:
        assert results[second].value == 2
        results.require(third)
    assert [one.name for one in read] == ["second", "third"]


def test_a_recipe_that_was_not_run_is_named():
    results = Results("tiny", {first: Found(1)})
    assert first in results
    assert second not in results
    with pytest.raises(NotRun, match="world tiny does not run the recipe second"):
        results[second]


@pytest.mark.parametrize("name", recipe_names())
def test_every_file_and_folder_of_recipes_is_a_recipe_of_its_name(name):
    found = find_recipe(name)
    assert found.name == name
    assert [one.name for one in found.with_needs][-1] == name
    signature = inspect.signature(found.run, eval_str=True)
    result = signature.return_annotation
    assert dataclasses.is_dataclass(result)
    assert result.__dataclass_params__.frozen
    names = [need.name for need in found.needs]
    assert list(signature.parameters) == ["lab", *names]


def test_a_folder_holds_one_recipe_or_several():
    found = recipe_modules()
    assert found["standard"] == "standard"
    assert found["entigraph"] == "entigraph.recipe"
    assert found["diversity"] == "members.diversity"
    assert "members" not in found


def test_an_unknown_recipe_is_refused():
    with pytest.raises(ValueError, match=r"recipe must be one of ablations, .*; not 'soup'"):
        find_recipe("soup")
