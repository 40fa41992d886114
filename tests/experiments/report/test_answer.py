"""The first screen answers the title, and never with a number that the runs do not determine."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from experiments.analysis.intervals import Estimate
from experiments.analysis.multiplier import Multiplier
from experiments.display.quantities import human
from experiments.lab.recipe import NotRun, Results
from experiments.recipes.data_scaling.recipe import data_scaling
from experiments.recipes.ensembles import ensembles
from experiments.report.answer import IDENTIFIED_WHEN_SHIPPED, answer, questions
from experiments.report.side_by_side import side_by_side
from experiments.runs.archive import SHIPPED, Archive
from experiments.story.limits import recipe_limits
from experiments.story.story import open_lab
from experiments.worlds.registry import WORLDS
from paper_figs.fig00_limits import draw
from scaling.fitting.status import FitStatus
from tests.drawn import missing_numbers
from tests.pages import HOUSE


def limit(value, half=0.02, **options):
    return Estimate(value=value, low=value - half, high=value + half, n=5, **options)


UNIDENTIFIED = Estimate(value=1.2345, low=-np.inf, high=np.inf, n=5)
CONVERGED = FitStatus.CONVERGED
WORTH = Multiplier(value=3.0, low=2.0, high=4.0, measured=(1, 8))
SINGLE = limit(3.9, 0.1, if_law_holds=(3.85, 3.95))


def runs(losses, *, n_seeds=3):
    rows = [
        {"width": width, "test_loss": test + 0.01 * seed, "validation_loss": validation}
        for width, (validation, test) in losses.items()
        for seed in range(n_seeds)
    ]
    return pd.DataFrame(rows)


def members(width, losses):
    table = {"n_members": range(1, len(losses) + 1), "test_loss": losses, "width": width}
    return pd.DataFrame(table).assign(validation_loss=losses)


class Story(SimpleNamespace):
    """Made-up results that are read as `story[recipe]` too."""

    def __getitem__(self, recipe):
        return self.results[recipe]


def story_of(
    *, single=SINGLE, joint=UNIDENTIFIED, worth=None, world="quick", status=CONVERGED,
    standard_is_tuned=True,
):  # fmt: skip
    """A story whose best standard model is the one of width 32, by validation and not by test."""
    tables = {16: members(16, [4.4, 4.2]), 32: members(32, [4.2, 4.0]), 64: members(64, [4.1, 3.8])}
    tuned = {
        width: SimpleNamespace(best={"weight_decay": 0.1 * width}, certified=True)
        for width in tables
    }
    found = {ensembles: None}
    if worth is not None:
        found[data_scaling] = SimpleNamespace(
            recipes=["standard", "ensemble limit"], sizes=[4096, 8192],
            multiplier=lambda recipe, size: worth[recipe, size],
            sizes_of=lambda recipe: [4096, 8192, 16384],
            losses=pd.DataFrame({"width": [0, 16, 64, 32], "draw_seed": [0, 0, 1, 2]}),
        )  # fmt: skip
    looks = {(0.01, 0.1, 8): 4.3} | ({(0.02, 0.1, 8): 4.4} if standard_is_tuned else {})
    searched = SimpleNamespace(tuned=SimpleNamespace(looks=looks))
    return Story(
        world=WORLDS[world], text_scope="One text.", bytes_per_token=2.0,
        standard_certificates=dict.fromkeys(tables, searched),
        results=Results(world, found),
        standard_best=runs({16: (4.5, 4.4), 32: (4.3, 4.35), 64: (4.4, 4.2)}),
        regularized=SimpleNamespace(
            best=runs({16: (4.3, 4.3), 32: (4.1, 4.1), 64: (4.0, 4.0)}), tuned=tuned
        ),
        laws=SimpleNamespace(
            single_limit=single, joint_limit=joint,
            limits={w: limit(3.7 - w / 1e3) for w in tables},
            exponents={w: limit(1.0) for w in tables}, tables=tables,
            ensemble_table=pd.concat(tables.values(), ignore_index=True),
            single=SimpleNamespace(
                params={"E": single.value, "A": 5.49, "alpha": 0.01}, status=status
            ),
        ),
    )  # fmt: skip


def test_the_limits_are_those_of_the_talk_in_its_order():
    limits = recipe_limits(story_of())
    assert [one.published for one in limits] == [3.75, 3.43, 3.34, 3.17]
    standard, single, ensemble, joint = limits
    assert standard.limit.value == pytest.approx(4.36)  # width 32: selected by validation
    assert single.reached == pytest.approx(4.01)
    assert ensemble.limit == limit(3.7 - 0.032)  # of the second size
    assert ensemble.reached == 4.0
    assert joint.reached == 3.8


def test_the_answer_prints_identified_limits_with_both_intervals():
    found = answer(story_of(joint=limit(3.6)))
    assert f"On {WORLDS['quick'].n_unique_tokens:,} unique tokens" in found.sentences
    assert "Ever larger tuned models stop at 3.90 [3.80, 4.00], or [3.85, 3.95]" in found.sentences
    assert "then ever larger members stop at 3.60 [3.58, 3.62] (published:" in found.sentences
    published = re.findall(r"\(published(?: for 200M tokens)?: ([\d.]+)\)", found.sentences)
    assert published == ["3.75", "3.43", "3.34", "3.17"]
    assert not found.missing
    assert "One text." in found.conditions
    assert "The published 3.34 is of members with the hyperparameters of one model" in (
        found.conditions
    )
    assert "the authors' code gives 3.27" in found.conditions


def test_a_limit_that_is_not_identified_is_words_everywhere():
    story = story_of(single=UNIDENTIFIED)
    found = answer(story)
    rows = side_by_side(story, [])
    axes, frame = draw(story)
    assert not missing_numbers(axes, frame)
    drawn = [text.get_text() for ax in axes for text in ax.texts]
    shown = " ".join(
        [found.sentences, found.conditions, found.missing, *drawn, frame.to_csv()]
        + [row["here"] for row in rows]
    )
    assert not re.search(r"1\.23|0\.01|inf|nan", shown)
    assert found.sentences.count("is not identified") == 2
    here = {row["quantity"]: row["here"] for row in rows}
    assert here["limit of infinitely many parameters, tuned"] == "not identified"
    assert here["law of tuned single models"].startswith("not identified")
    assert drawn.count("limit not identified") == 2
    assert frame["limit"].isna().tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("world", "single", "named"),
    [
        ("quick", UNIDENTIFIED, {"report --world small", "reproduce --world small"}),
        ("small", SINGLE, {"reproduce --world quick"}),
    ],
)
def test_what_is_not_identified_comes_with_the_command_that_can(world, single, named):
    missing = answer(story_of(world=world, single=single)).missing
    assert named <= set(re.findall(r"`datawall ([^`]+)`", missing))


def test_a_joint_limit_that_is_not_identified_comes_with_the_limits_of_the_sizes():
    story = story_of()
    sizes = [human(story.world.model(width).n_params_non_embedding) for width in (16, 32, 64)]
    named = f"here those of N = {', '.join(sizes)} stop at 3.68, 3.67, 3.64."
    assert named in answer(story).missing


@pytest.mark.parametrize("is_tuned", [True, False])
def test_a_standard_recipe_whose_learning_rate_was_not_searched_is_named(is_tuned):
    story = story_of(standard_is_tuned=is_tuned)
    assert ("set by a rule and not tuned" in answer(story).conditions) != is_tuned
    replies = dict(questions(story))
    assert ("follows a rule" in replies["What are the four recipes?"]) != is_tuned


def test_ensembles_are_worth_data_where_the_world_has_several_stocks():
    worth = {("ensemble limit", 4096): WORTH}
    found = answer(story_of(worth=worth))
    assert "data of the standard recipe is 3.00x [2.00, 4.00] (published: 3.03x)" in found.sentences
    assert "on 3 stocks of 4,096 to 16,384 tokens; models of both have widths of 16 to 64." in (
        found.conditions
    )
    more = Multiplier(value=np.inf, low=3.9, high=np.inf, measured=(1, 4))
    endless = answer(story_of(worth={("ensemble limit", 4096): more}))
    assert "standard recipe is more than 4x [3.90, ..]" in endless.sentences
    assert "worth" not in answer(story_of()).sentences
    question = 'What does "worth so many times the data" mean?'
    assert "do not measure it" in dict(questions(story_of()))[question]
    assert "Claim P13" in dict(questions(story_of(worth=worth)))[question]


@pytest.mark.parametrize("status", [CONVERGED, FitStatus.LAW_REJECTED])
def test_a_law_that_repeats_reject_is_not_shown_without_saying_so(status):
    (law,) = (
        row["here"]
        for row in side_by_side(story_of(status=status), [])
        if row["quantity"] == "law of tuned single models"
    )
    assert law.endswith("which repeated runs reject") == (status is FitStatus.LAW_REJECTED)


def test_a_world_without_these_recipes_says_which_command_answers():
    class Nothing(Story):
        @property
        def laws(self):
            raise NotRun("world quick does not run the recipe ensembles")

    parts = {name: value for name, value in vars(story_of()).items() if name != "laws"}
    found = answer(Nothing(**parts))
    assert found.limits == ()
    assert "does not run the recipe ensembles" in found.missing
    assert "`datawall report --world small`" in found.missing


def test_a_tenth_of_a_nat_in_bits_per_byte():
    (_, reply), *_ = questions(story_of())
    assert "0.072 bits per byte" in reply  # 0.1 / ln 2 / 2 bytes a token


def test_readme_prints_the_quantities_and_published_values_of_this_table():
    worth = {("ensemble limit", 4096): WORTH}
    rows = side_by_side(story_of(worth=worth), [])
    readme = (HOUSE / "README.md").read_text(encoding="utf-8")
    for row in rows:
        assert f"| {row['quantity']} | {row['published']} |" in readme


@pytest.mark.long
def test_shipped_results_identify_the_limits_that_the_page_says_they_do(tmp_path):
    from experiments.analysis.laws import Laws
    from experiments.lab.recipe import run_recipes
    from experiments.recipes.regularized import regularized

    if not Archive.exists(SHIPPED, "small"):
        pytest.skip("no shipped results")
    lab = open_lab("small", corpus=None, runs=tmp_path, shipped=True)
    results = run_recipes(lab, [regularized, ensembles])
    laws = Laws(best=results[regularized].best, curves=results[ensembles].curves)
    second = sorted(laws.limits)[1]
    found = {
        "regularized": laws.single_limit, "ensemble limit": laws.limits[second],
        "joint limit": laws.joint_limit,
    }  # fmt: skip
    assert {name for name, one in found.items() if one.is_bounded} == {*IDENTIFIED_WHEN_SHIPPED}
