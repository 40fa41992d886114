"""The results that come with the package, opened in one call."""

import pytest

from experiments import open_results
from experiments.cli.app import main
from experiments.recipes import find_recipe
from experiments.recipes.regularized import regularized
from experiments.runs.archive import SHIPPED, Archive
from experiments.story.story import shipped_lab


@pytest.fixture(scope="module")
def story():
    return open_results()


def test_they_are_those_of_the_small_world(story):
    about = Archive(SHIPPED, "small").about
    assert story.world.name == "small"
    assert len(story.runs) == about["n_runs"]
    assert story.runs["run_id"].is_unique
    assert story.runs["test_loss"].between(1, 20).mean() > 0.95
    assert [one.name for one in story.results] == about["recipes"]
    assert story.n_trained == 0


def test_a_recipe_is_evaluated_when_it_is_read(story):
    best = story[regularized].best
    sizes = best.groupby("width")["seed"].nunique()
    assert set(sizes.index) == set(story.world.widths)
    assert (sizes >= 2).all()
    assert set(best["run_id"]) <= set(story.runs["run_id"])


def test_they_are_shown_in_a_line_and_as_a_table(story):
    text, page = repr(story), story._repr_html_()
    assert text.startswith("Results of world small: 3,")
    assert "32,768 unique tokens of novels: standard, regularized, ensembles" in text
    assert len(text) < 400
    contents = story.contents()
    assert page.count("<tr>") == len(contents) + 1 == len(story.world.recipes) + 1
    of_recipe = contents.set_index("recipe")
    labeled = story.runs["recipes"].str.split(",").map(lambda names: "regularized" in names)
    assert of_recipe.loc["regularized", "runs"] == labeled.sum()
    assert of_recipe.loc["entigraph", "part"] == find_recipe("entigraph").part == 2


def test_worlds_without_shipped_results_are_refused():
    with pytest.raises(ValueError, match="must be one of 'interventions', 'small'; not 'quick'"):
        open_results("quick")


def test_recipes_that_are_not_shipped_are_refused():
    with pytest.raises(ValueError, match=r"are of levers, chains; not of draws$"):
        shipped_lab("interventions", ["levers", "draws"])


def test_kept_results_are_kept_with_all_that_they_build_on(tmp_path, capsys):
    args = ["ship", "--world", "small", "--to", str(tmp_path), "--runs", str(tmp_path / "runs")]
    assert main([*args, "--keep", "ensembles"]) == 2
    assert "add regularized" in capsys.readouterr().err
    assert not list(tmp_path.glob("small.*"))


def test_results_that_are_kept_are_shipped_whole(tmp_path):
    args = ["ship", "--world", "interventions", "--to", str(tmp_path)]
    assert main([*args, "--keep", "levers", "chains", "--runs", str(tmp_path / "runs")]) == 0
    again, shipped = Archive(tmp_path, "interventions"), Archive(SHIPPED, "interventions")
    assert again.about["n_runs"] == shipped.about["n_runs"]
    assert set(again.runs["run_id"]) == set(shipped.runs["run_id"])
    assert again.records == shipped.records
    kept = [name for part in again.about["kept"] for name in part["recipes"]]
    assert sorted(kept) == sorted(shipped.recipes)
