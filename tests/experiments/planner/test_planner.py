"""`datawall plan`: the published multipliers, and those of a store whose laws are known."""

from __future__ import annotations

import json
import math

import pandas as pd
import pytest

from experiments.cli.app import main
from experiments.lab.scoring import score_subsets
from experiments.lab.source import source_of
from experiments.planner.from_store import store_plan
from experiments.planner.published import published_plan
from experiments.planner.published_laws import (
    PUBLISHED_TOKENS,
    loss_at,
    member_excess,
    member_gain,
    multiplier_of,
    size_readings,
    training_flops,
)
from experiments.runs.records import ensemble_identity, keep_record
from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore
from scaling import MEMBER_LIMITS, PUBLISHED_FIGURES


def by_recipe(plan):
    return {option.recipe: option for option in plan.options}


@pytest.fixture(scope="module")
def plan():
    return published_plan(PUBLISHED_TOKENS, n_params=1.4e9, compute=1e21)


@pytest.mark.parametrize(
    ("recipe", "value"),
    # arXiv 2509.14786: 2.29x, 3.03x (read off figure 1; 2.98 by the printed law), 5.17x, 2.09x.
    [
        ("regularized", 2.29),
        ("ensembles of 300M", 2.98),
        ("joint", 5.17),
        ("regularized of 1.4B", 2.09),
    ],
)
def test_multipliers_of_the_paper(plan, recipe, value):
    worth = by_recipe(plan)[recipe].multiplier
    assert worth.value == pytest.approx(value, rel=0.015)
    assert worth.low < value < worth.high


def test_finite_ensemble_of_the_paper():
    # 5 x 1.4B: 3.75x. One member's gain over infinitely many is published for 300M only.
    limit = MEMBER_LIMITS["209M"][1.4]
    found = multiplier_of(limit + member_gain().value / 5)
    published = PUBLISHED_FIGURES["multiplier_five_1.4b"].value
    assert found.low < published < found.high


@pytest.mark.parametrize("place", range(4))
def test_published_limits_lie_between_the_two_readings_of_a_size(place):
    stock, limits = list(MEMBER_LIMITS.items())[place]
    tokens = PUBLISHED_TOKENS * 2**place
    for size, limit in limits.items():
        joint = PUBLISHED_FIGURES["joint_limit"].value
        readings = size_readings(size * 1e9, tokens)
        found = loss_at(tokens, *(joint + member_excess(one) for one in readings), rounding=0.012)
        assert found.low < limit < found.high, (stock, size)


def test_losses_fall_with_data_and_multipliers_stay(plan):
    more = by_recipe(published_plan(4 * PUBLISHED_TOKENS, n_params=1.4e9))
    for recipe, option in by_recipe(plan).items():
        if recipe in more and option.loss is not None and " of 1.4B" not in recipe:
            assert more[recipe].loss.value < option.loss.value
            assert more[recipe].multiplier == option.multiplier


def test_a_budget_buys_what_it_pays_for(plan):
    for option in plan.options:
        bought = option.purchase
        if bought is not None:
            cost = training_flops(
                bought.n_params, PUBLISHED_TOKENS, bought.n_epochs, bought.n_members
            )
            assert bought.flops == pytest.approx(cost)
            assert bought.flops <= 1e21
            assert bought.n_params <= 1.4e9 * 1.001
            assert bought.loss >= option.loss.low
    joint = by_recipe(plan)["joint"]
    assert joint.purchase.n_members > 1
    assert joint.purchase.loss < by_recipe(plan)["regularized"].purchase.loss
    more = by_recipe(published_plan(PUBLISHED_TOKENS, compute=1e23))["joint"]
    assert joint.loss.value < more.purchase.loss < joint.purchase.loss


def test_beyond_the_wall_little_is_left():
    wall = by_recipe(published_plan(PUBLISHED_TOKENS))["joint"].wall_flops
    beyond = by_recipe(published_plan(PUBLISHED_TOKENS, compute=1.05 * wall))["joint"]
    before = by_recipe(published_plan(PUBLISHED_TOKENS, compute=0.5 * wall))["joint"]
    assert beyond.purchase.loss - beyond.loss.value <= 0.01 + 1e-9
    assert before.purchase.loss - before.loss.value > 0.01


def test_recipes_without_a_published_loss_say_so(plan):
    entigraph = by_recipe(plan)["EntiGraph"]
    assert entigraph.loss is entigraph.multiplier is None
    assert "no held-out loss" in entigraph.note


def test_sbp_recovers_its_share_of_the_gain():
    # Half the perplexity gain of 20x unique data: more than a tenth of it, less than all.
    worth = by_recipe(published_plan(10e9))["SBP"].multiplier
    assert 2 < worth.low < worth.value < worth.high < 20
    assert by_recipe(published_plan(50e9))["SBP"].multiplier.value < worth.low


E_, A_, ALPHA = 2.0, 30.0, 0.5
STOCKS = (1024, 2048, 4096, 8192)
TRUE_MULTIPLIER = 4.0


def true_loss(tokens: float) -> float:
    return E_ + A_ * tokens**-ALPHA


@pytest.fixture(scope="module")
def store(tmp_path_factory, sample):
    """Runs whose tuned recipe is worth four times the data, exactly."""
    store = RunStore(tmp_path_factory.mktemp("runs"))
    for n_tokens in STOCKS:
        for decay, worth in ((0.1, 1.0), (1.6, TRUE_MULTIPLIER)):
            for seed in (0, 1):
                spec = with_settings(sample.spec(seed=seed), n_tokens, decay)
                finish(store, sample, spec, true_loss(worth * n_tokens) + 1e-4 * (seed - 0.5))
    return store


def with_settings(spec: RunSpec, n_tokens: int, decay: float) -> RunSpec:
    from dataclasses import replace

    return replace(
        spec,
        data=replace(spec.data, n_unique_tokens=n_tokens),
        optimizer=replace(spec.optimizer, weight_decay=decay),
    )


def finish(
    store: RunStore, sample, spec: RunSpec, loss: float, *, test: float | None = None
) -> None:
    from dataclasses import replace

    store.begin(spec)
    event = replace(
        sample.finished(spec), scores={"validation": loss, "test": loss if test is None else test}
    )
    store.finish(spec, event)


@pytest.mark.long
@pytest.mark.parametrize("tokens", [2048, 3000])
def test_own_runs_give_their_own_multiplier(store, tokens):
    plan = store_plan([store.root], tokens)
    options = by_recipe(plan)
    assert options["standard"].loss.value == pytest.approx(true_loss(tokens), rel=1e-3)
    worth = options["regularized"].multiplier
    rounding = 1e-9  # the losses are those of the laws to the last digit
    assert worth.low * (1 - rounding) <= TRUE_MULTIPLIER <= worth.high * (1 + rounding)
    assert worth.value == pytest.approx(TRUE_MULTIPLIER, rel=0.02)
    assert plan.years["regularized"].value > plan.years["standard"].value


def test_one_stock_gives_losses_but_no_multiplier(tmp_path, sample):
    store = RunStore(tmp_path)
    for seed in (0, 1):
        finish(store, sample, with_settings(sample.spec(seed=seed), 1024, 0.1), 3.0)
        finish(store, sample, with_settings(sample.spec(seed=seed), 1024, 1.6), 2.9)
    option = by_recipe(store_plan([tmp_path], 1000))["regularized"]
    assert option.loss.value == pytest.approx(2.9)
    assert option.multiplier is None
    assert "3 or more numbers of tokens" in option.note
    with pytest.raises(
        ValueError, match=r"has runs on 1\.02k unique tokens; a plan for 1M needs a data law"
    ):
        store_plan([tmp_path], 1e6)


def test_the_largest_scored_ensemble_is_a_recipe(tmp_path, sample):
    store = RunStore(tmp_path)
    specs = [with_settings(sample.spec(seed=seed), 1024, 0.1) for seed in range(3)]
    for spec in specs:
        finish(store, sample, spec, 3.0)
    scores = [
        {"members": members, "n_members": n, "average": how, "validation_loss": loss,
         "test_loss": loss}
        for members, n, loss in (("0", 1, 3.0), ("1", 1, 3.2), ("0,1", 2, 2.8))
        for how in ("logit", "probability")
    ]  # fmt: skip
    identity, source = ensemble_identity(specs[:2]), source_of(score_subsets)
    keep_record(store.root, "ensembles", identity, scores, source=source)
    option = by_recipe(store_plan([tmp_path], 1024))["ensembles"]
    assert option.loss.value == pytest.approx(2.8)
    assert "2 members of N" in option.note


def test_levers_are_recipes_of_their_own_and_other_texts_are_left_out(tmp_path, sample):
    """The store of `--levers` joins that of the world; runs on sampled or made-up text do not."""
    from dataclasses import replace

    plain, levers, both = (RunStore(tmp_path / name) for name in ("plain", "levers", "both"))
    for decay, losses in ((0.1, (3.0, 2.99, 2.97)), (1.6, (2.9, 2.8, 2.85))):
        spec = with_settings(sample.spec(), 1024, decay)
        specs = [
            replace(spec, train=replace(spec.train, replaced_share=share))
            for share in (0, 0.1, 0.2)
        ]
        for store, one, loss in zip((plain, levers, levers), specs, losses, strict=True):
            # The test loss would select another lever.
            finish(store, sample, one, loss, test=6 - loss)
            finish(both, sample, one, loss, test=6 - loss)
    draw = replace(specs[0], data=replace(specs[0].data, draw_seed=1))
    other = replace(specs[0], data=replace(specs[0].data, sha256="0" * 64))
    for spec in (draw, other):
        finish(plain, sample, spec, 1.0)
        finish(RunStore(tmp_path / spec.run_id), sample, spec, 1.0)
    plan = store_plan([plain.root, levers.root, both.root], 1024)
    assert "measured here on stdlib, 2 runs on other texts or draws left out" in plan.intervals
    options = by_recipe(plan)
    assert {name: 6 - one.loss.value for name, one in options.items()} == pytest.approx(
        {
            "standard": 3.0,
            "regularized": 2.9,
            "standard with levers": 2.97,
            "regularized with levers": 2.8,
        }
    )
    note = options["regularized with levers"].note
    assert note.startswith("with replaced_share=0.1, lowest on validation of 2 sets of levers")
    # Levers that all runs share are no recipe: they are how this world is trained.
    finish(RunStore(tmp_path / "alone"), sample, specs[1], 2.8)
    assert [*by_recipe(store_plan([tmp_path / "alone"], 1024))] == ["regularized"]
    for spec, what in ((other, "data_sha256"), (draw, "draw_seed")):
        with pytest.raises(ValueError, match=f"cannot be compared: {what} is "):
            store_plan([levers.root, tmp_path / spec.run_id], 1024)


def test_levers_with_fewer_members_are_compared_in_the_limit(tmp_path, sample):
    """Scores lie in another store than the runs were first found in; two members or three."""
    from dataclasses import replace

    plain, scored = RunStore(tmp_path / "plain"), RunStore(tmp_path / "scored")
    for share, curve in ((0.0, (3.0, 2.7)), (0.1, (3.0, 2.6)), (0.2, (3.0, 2.75, 2.59))):
        spec = with_settings(sample.spec(), 1024, 1.6)
        spec = replace(spec, train=replace(spec.train, replaced_share=share))
        specs = [replace(spec, seed=seed) for seed in range(len(curve))]
        for one in specs:
            finish(plain, sample, one, 3.0)
            finish(scored, sample, one, 3.0)
        scores = [
            {"members": ",".join(map(str, range(n))), "n_members": n, "average": "logit",
             "validation_loss": loss, "test_loss": loss}
            for n, loss in enumerate(curve, start=1)
        ]  # fmt: skip
        identity, source = ensemble_identity(specs), source_of(score_subsets)
        keep_record(scored.root, "ensembles", identity, scores, source=source)
    options = by_recipe(store_plan([plain.root, scored.root], 1024))
    assert options["ensembles"].loss.value == pytest.approx(2.7)
    # Limits by 1/K: 2.2 of two members, 2.385 of three.
    assert options["ensembles with levers"].loss.value == pytest.approx(2.6)


def test_the_command_prints_draws_and_writes_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    plot = tmp_path / "plan.png"
    arguments = ["plan", "--unique-tokens", "200M", "--params", "1B", "--compute", "1e21"]
    assert main([*arguments, "--plot", str(plot)]) == 0
    said = capsys.readouterr().out
    for part in (
        "200M unique tokens",
        "5.18x",
        "arXiv 2509.14786",
        "best use of 1e+21 training FLOPs",
    ):
        assert part in said
    assert max(map(len, said.splitlines())) <= 80
    assert plot.stat().st_size > 5000
    assert set(pd.read_csv(plot.with_suffix(".csv"))["panel"]) == {"loss", "stock"}
    assert main([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    joint = next(one for one in answer["options"] if one["recipe"] == "joint")
    assert joint["multiplier"]["value"] == pytest.approx(5.17, rel=0.01)
    assert math.isfinite(answer["stock_used_up"]["joint"]["high"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--unique-tokens", "lots"], "--unique-tokens must be a number above 0"),
        (["--unique-tokens", "1M", "--plot", "x.gif"], "must end in .png"),
        (["--unique-tokens", "1M", "--from", "/nowhere/at/all"], "holds no finished runs"),
        (["--unique-tokens", "1M", "--from"], "needs at least one run store"),
        (["--unique-tokens", "1M", "--from", "runs", "--params", "1B"], "apply to the published"),
    ],
)
def test_mistakes_are_one_sentence(capsys, arguments, said):
    assert main(["plan", *arguments]) in (1, 2)
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
