"""What levers gain: estimates and verdicts on losses made up, and a real run of the tiny world."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from experiments.claims import levers as claims_levers
from experiments.lab.lab import Lab
from experiments.lab.recipe import NotRun, Results, run_recipes
from experiments.recipes.chains import chains
from experiments.recipes.levers.recipe import Levers, levers
from experiments.recipes.levers.trials import (
    CONTROL,
    LEVERS,
    PURPOSES,
    STACK,
    Cell,
    Trials,
    chosen_settings,
)
from experiments.runs.store import RunStore
from experiments.worlds.levers import check_levers
from experiments.worlds.plans import LeverPlan
from experiments.worlds.registry import WORLDS
from paper_figs import figN3_levers, figN4_chains
from tests.experiments.claims.simulated import mostly
from tests.experiments.recipes.test_chains import CHAIN
from tests.experiments.recipes.test_chains import drawn as drawn_chains

TRIED = ("replaced input", "masked input", "masked diffusion")
N_DRAWS, N_MEMBERS = 4, 4
LIMIT, SPREAD, OF_DATA = 3.6, 0.3, 0.08


def drawn(
    rng, gains, *, curve=lambda k: 1 / k, sd=0.004, luck=0.05, edges=(), tried=TRIED, strength=None,
    fall=0.001,
):  # fmt: skip
    """Levers whose gains are `gains` {(purpose, lever): nats}; draws share their luck.

    Losses of K members fall as `curve(K)`, validation losses of one model by `fall` an epoch.
    """
    strength = strength or {}
    lucks = luck * rng.normal(size=N_DRAWS)

    def loss(purpose, lever, draw, k=1):
        own = sd * rng.normal()
        return LIMIT + SPREAD * curve(k) - gains.get((purpose, lever), 0.0) + lucks[draw] + own

    rows, chosen, looks = [], [], []
    for lever in (CONTROL, *tried, STACK):
        for epochs in (16, 64):
            single = 4 - fall * epochs - gains.get(("tuned decay", lever), 0.0)
            looks.append({"lever": lever, "n_epochs": epochs, "strength": "", "single": single})
        for purpose in PURPOSES:
            chosen.append(
                {
                    "lever": lever,
                    "purpose": purpose,
                    "is_edge": (purpose, lever) in edges,
                    "strength": strength.get(lever, lever),
                }
            )
            rows += [
                {"purpose": purpose, "lever": lever, "draw": draw, "n_members": k,
                 "test_loss": loss(purpose, lever, draw, k)}
                for draw in range(N_DRAWS)
                for k in range(1, 1 + (N_MEMBERS if purpose == "ensembles" else 1))
            ]  # fmt: skip
    more = [loss("", CONTROL, draw) - OF_DATA for draw in range(N_DRAWS)]
    return Levers(
        width=8, looks=pd.DataFrame(looks), chosen=pd.DataFrame(chosen), losses=pd.DataFrame(rows),
        more_data=1.3, with_more_data=np.array(more), n_runs=10, train_flops=1e12,
    )  # fmt: skip


def story(*given, **options):
    return Results("test", {levers: drawn(*given, **options)})


def test_gains_are_paired_by_draw_and_those_of_limits_hold_for_other_curves():
    gains = {("tuned decay", "masked input"): 0.03, ("ensembles", "masked input"): 0.02}
    found = drawn(np.random.default_rng(0), gains, sd=0.0, luck=0.5)
    gain = found.gain("tuned decay", "masked input")
    assert (gain.low, gain.value, gain.high) == pytest.approx((0.03,) * 3)
    assert found.gain("usual decay", "masked input").value == pytest.approx(0)
    limit = found.gain("ensembles", "masked input")
    assert limit.if_law_holds == pytest.approx((0.02, 0.02))
    for curve in (  # of all levers: the interval holds the truth
        *(lambda k, gamma=gamma: k**-gamma for gamma in (0.6, 0.8, 1.2)),
        *(lambda k, second=second: 1 / k + second / k**2 for second in (-0.2, -0.05, 0.1, 0.3)),
    ):
        other = drawn(np.random.default_rng(0), gains, sd=0.0, curve=curve)
        limit = other.gain_of_limit("masked input")
        assert limit.low <= 0.02 <= limit.high


@pytest.mark.parametrize("second", [-0.2, -0.05, 0.1, 0.3])
def test_limits_hold_where_levers_alone_have_second_order_terms(second):
    """The control's curve is 1/K, the lever's a series, so that errors of limits do not cancel."""
    gains = {("ensembles", "masked input"): 0.02}
    found = drawn(np.random.default_rng(0), gains, sd=0.0)
    other = drawn(np.random.default_rng(0), gains, sd=0.0, curve=lambda k: 1 / k + second / k**2)
    mixed = found.losses["lever"] == CONTROL
    losses = pd.concat([found.losses[mixed], other.losses[~mixed]])
    limit = dataclasses.replace(found, losses=losses).gain_of_limit("masked input")
    assert limit.low <= 0.02 <= limit.high
    assert limit.high - limit.low < 0.1


def test_a_curve_that_does_not_fall_leaves_the_limit_open():
    gains = {("ensembles", "masked input"): 0.02}
    found = drawn(np.random.default_rng(0), gains, sd=0.0, curve=lambda k: 1 / (5 - k))
    limit = found.gain_of_limit("masked input")
    assert limit.high - limit.low > 0.2


def test_gains_on_data_are_paired_too():
    gains = {("tuned decay", "masked input"): 0.03}
    found = drawn(np.random.default_rng(0), gains, sd=0.0, luck=0.5)
    assert found.gain_of_data.value == pytest.approx(OF_DATA)
    over = found.over_share_of_data("masked input", 0.5)
    assert over.value == pytest.approx(0.03 - OF_DATA / 2)


@pytest.mark.parametrize(
    ("gain", "edges", "rightly"),
    [
        (0.08, (), "supported"),
        (0.0, (), "contradicted"),
        (0.08, (("tuned decay", CONTROL),), "inconclusive"),
        (0.0, (("tuned decay", "replaced input"),), "inconclusive"),
    ],
)
def test_noise_is_worth_more_data_or_not(gain, edges, rightly):
    gains = {("tuned decay", "replaced input"): gain, ("tuned decay", "masked input"): -0.1}
    judge = claims_levers._n12
    assert mostly(judge, lambda rng: story(rng, gains, edges=edges), rightly)


def test_noise_is_not_judged_by_data_that_gain_nothing():
    gains = {("tuned decay", "replaced input"): 0.01}
    found = drawn(np.random.default_rng(0), gains, sd=0.0)
    control = found.at("tuned decay", CONTROL)
    useless = dataclasses.replace(found, with_more_data=control + np.tile([0.01, -0.01], 2))
    assert claims_levers._n12(Results("test", {levers: useless})).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("gain", "edges", "fall", "rightly"),
    [
        (0.03, (), 0.001, "supported"),
        (-0.03, (), -0.001, "contradicted"),
        (-0.03, (), 0.001, "inconclusive"),  # more epochs may yet help
        (0.03, (("most epochs", CONTROL),), 0.001, "inconclusive"),
        (-0.03, (("most epochs", "masked diffusion"),), -0.001, "inconclusive"),
    ],
)
def test_diffusion_overtakes_or_not(gain, edges, fall, rightly):
    gains = {("most epochs", "masked diffusion"): gain}
    judge = claims_levers._n13
    assert mostly(judge, lambda rng: story(rng, gains, edges=edges, fall=fall), rightly)


@pytest.mark.parametrize(
    ("masking", "diffusion", "rightly"),
    [
        (0.05, 0.06, "supported"),
        (0.01, 0.06, "contradicted"),
        (0.05, -0.03, "inconclusive"),  # nothing to explain
    ],
)
def test_masking_explains_diffusion_or_not(masking, diffusion, rightly):
    gains = {
        ("most epochs", "masked input"): masking, ("most epochs", "masked diffusion"): diffusion
    }  # fmt: skip
    assert mostly(claims_levers._n14, lambda rng: story(rng, gains), rightly)


def at_limit(nats, *others):
    gains = {("ensembles", name): -0.3 for name in TRIED}
    return gains | {("ensembles", name): nats for name in ("masked input", *others)}


@pytest.mark.long
@pytest.mark.parametrize(
    ("gains", "edges", "rightly"),
    [
        (at_limit(0.08), (), "supported"),
        (at_limit(-0.08), (), "contradicted"),
        (at_limit(0.01), (), "inconclusive"),  # the limit is known to .03 nats at best
        (at_limit(0.2), (("ensembles", CONTROL),), "inconclusive"),
        (at_limit(-0.2), (("ensembles", "masked input"),), "inconclusive"),
    ],
)
def test_a_lever_pays_on_top_of_ensembles_or_not(gains, edges, rightly):
    judge = claims_levers._n15
    assert mostly(judge, lambda rng: story(rng, gains, edges=edges), rightly)


@pytest.mark.long
@pytest.mark.parametrize(
    ("stack", "edges", "rightly"),
    [
        (0.45, (), "supported"),
        (0.0, (), "contradicted"),
        (0.2, (), "inconclusive"),  # as the best lever alone
        (0.45, (("ensembles", "masked input"),), "inconclusive"),
        (0.0, (("ensembles", STACK),), "inconclusive"),
    ],
)
def test_levers_add_up_or_not(stack, edges, rightly):
    gains = at_limit(0.2) | {("ensembles", STACK): stack}
    assert mostly(claims_levers._n18, lambda rng: story(rng, gains, edges=edges), rightly)


def test_a_stack_of_one_lever_shows_nothing_of_stacks():
    same = {"masked input": "masked_share=0.1", STACK: "masked_share=0.1"}
    found = story(
        np.random.default_rng(0), at_limit(0.2) | {("ensembles", STACK): 0.6}, strength=same
    )
    finding = claims_levers._n18(found)
    assert finding.verdict == "inconclusive"
    assert "to which none was added" in finding.detail


def test_claims_on_levers_that_were_not_tried_are_left_out():
    found = story(np.random.default_rng(0), {}, tried=("masked input",))
    for judge in (claims_levers._n12, claims_levers._n13, claims_levers._n14):
        with pytest.raises(NotRun, match="the levers tried do not include"):
            judge(found)


def test_every_lever_is_one_and_has_as_many_strengths_as_the_control():
    for strengths in LEVERS.values():
        assert len(strengths) == len(LEVERS[CONTROL])
        for settings in strengths:
            check_levers(settings)
    same = [name for name, (a, b) in LEVERS.items() if a == b]
    assert same == [CONTROL, "masked diffusion"]
    assert [Cell(((CONTROL, i),), 0.1, 8).rate_factor for i in (0, 1)] == [1.0, 2.0]
    both = (("masked input", 1), ("masked diffusion", 1))
    assert Cell(both, 0.1, 8).text == "masked_share=0.3, objective=masked_diffusion, rate x 2"


def test_each_purpose_has_its_own_best_setting():
    plan = LeverPlan(width=8, tried=(), weight_decays=(0.1, 1.6), epochs=(8, 16))
    looks = {
        Cell(((CONTROL, 0),), 0.1, 8): {"single": 3.9, "limit": 3.8},
        Cell(((CONTROL, 0),), 0.1, 16): {"single": 4.0, "limit": 3.3},
        Cell(((CONTROL, 0),), 1.6, 8): {"single": 3.5, "limit": 3.4},
        Cell(((CONTROL, 1),), 1.6, 16): {"single": 3.6, "limit": 3.5},
        Cell(((CONTROL, 1),), 1.6, 8): {"single": float("nan"), "limit": float("nan")},
    }
    chosen = chosen_settings(looks, plan, stack=(CONTROL,))
    for lever in (CONTROL, STACK):
        assert [chosen[purpose, lever] for purpose in PURPOSES] == [
            Cell(((CONTROL, 0),), 0.1, 8),
            Cell(((CONTROL, 0),), 1.6, 8),
            Cell(((CONTROL, 0),), 0.1, 16),
            Cell(((CONTROL, 1),), 1.6, 16),
        ]


def test_a_lever_joins_the_stack_where_the_limit_falls(monkeypatch, tmp_path):
    """Limits are made up: each lever gains alone, but averages nothing beside masks."""
    gains = {"masked input": 0.3, "averaged weights": 0.2, "looped blocks": 0.1, "right to left": 0}
    tried = ("masked diffusion", *reversed(gains))
    plan = LeverPlan(width=8, tried=tried, weight_decays=(0.1, 1.6), epochs=(8,))
    trials = Trials(Lab(WORLDS["tiny"], RunStore(tmp_path)), plan)
    asked = []

    def looks(self, tried):
        found = {}
        for parts in tried:
            asked.append([lever for lever, _ in parts])
            alone = [(gains.get(lever, 0.15), strength) for lever, strength in parts]
            if {"masked input", "averaged weights"} <= set(asked[-1]):
                alone = alone[:1]
            for decay in plan.weight_decays:
                limit = 4 + 0.1 * decay - sum(gain - 0.01 * strength for gain, strength in alone)
                failed = "right to left" in asked[-1]
                values = {"single": 5.0, "limit": float("nan") if failed else limit}
                found[Cell(parts, decay, 8)] = values
        return found

    monkeypatch.setattr(Trials, "looks", looks)
    alone = trials.looks(((lever, strength),) for lever in tried for strength in (0, 1))
    asked.clear()
    stack, compared = trials.stack(alone)
    assert stack == ("masked input", "looped blocks")
    assert asked == [  # not diffusion, which masks the input itself
        ["masked input", "averaged weights"],
        ["masked input", "looped blocks"],
        ["masked input", "looped blocks", "right to left"],
    ]
    assert all(strength == 0 for cell in compared for _, strength in cell.parts)
    assert {cell.weight_decay for cell in compared} == {0.1, 1.6}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_draws": 1}, "n_draws must be 2 or more; not 1"),
        ({"n_tuned_draws": 3}, "n_tuned_draws must be n_draws, 4, or more; not 3"),
        ({"n_tuning_seeds": 1}, "n_tuning_seeds must be 2 or more; not 1"),
        ({"weight_decays": (0.4,)}, r"weight_decays must hold the usual decay 0.1; not \(0.4,\)"),
    ],
)
def test_a_plan_that_cannot_show_anything_is_refused(change, said):
    given = {"width": 8, "tried": (), "weight_decays": (0.1,), "epochs": (8,)}
    with pytest.raises(ValueError, match=said):
        LeverPlan(**given | change)


def test_figures_show_every_lever_and_arm():
    results = Results(
        "test",
        {
            levers: drawn(np.random.default_rng(0), {}),
            chains: drawn_chains(np.random.default_rng(0), CHAIN),
        },
    )
    axes, frame = figN3_levers.draw(results)
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [*TRIED, STACK]
    assert (frame["what"] == "gain").sum() == 3 * (len(TRIED) + 1)
    assert (frame["what"] == "loss by epochs").sum() == 2 * (1 + len(TRIED))
    same = {"masked input": "masked_share=0.1", STACK: "masked_share=0.1"}
    axes, _ = figN3_levers.draw(story(np.random.default_rng(0), {}, strength=same))
    assert [text.get_text() for text in axes[0].get_yticklabels()] == list(TRIED)  # none stacked
    _, frame = figN4_chains.draw(results)
    assert frame.groupby("arm").size().between(5, 6).all()
    plt.close("all")


@pytest.mark.long
@pytest.mark.exhaustive
def test_the_tiny_world_tries_levers_and_states_what_they_cost(tmp_path):
    plan = LeverPlan(
        width=8, tried=("masked input", "masked diffusion"), weight_decays=(0, 0.1), epochs=(1,),
        n_draws=2, n_tuned_draws=3, n_seeds=1, n_members=3,
    )  # fmt: skip
    world = dataclasses.replace(
        WORLDS["tiny"], lever_trials=plan, n_unique_tokens=1_024, n_eval_tokens=512
    )
    lab = Lab(world, RunStore(tmp_path))
    found = run_recipes(lab, [levers])[levers]
    assert found.tried == list(plan.tried)
    assert len(found.looks) == 3 * 2 * 2
    assert found.stack
    draws = found.losses.groupby("purpose")["draw"].nunique()
    assert draws.to_dict() == dict.fromkeys(PURPOSES, 2) | {"tuned decay": 3}
    assert len(found.with_more_data) == 3
    assert found.losses["test_loss"].between(4, 8).all()
    assert found.n_runs == len(lab.used())
    assert found.train_flops == pytest.approx(lab.used()["train_flops"].sum())
    relative = found.chosen.groupby("lever")["relative_flops"].first()
    assert relative["masked diffusion"] == pytest.approx(1 + 1 / 64)
    assert relative["masked input"] == 1
    # Less than no decay could not be tried; the usual one is given and not selected.
    for _, row in found.chosen.iterrows():
        at_end = row["weight_decay"] > 0 and row["purpose"] != "usual decay"
        assert found.is_edge(row["purpose"], row["lever"]) == at_end
    for judge in (claims_levers._n13, claims_levers._n14, claims_levers._n15):
        assert judge(Results("test", {levers: found})).detail


@pytest.mark.parametrize(("tried", "said"), [(("magic",), "magic"), ((), "empty")])
def test_a_plan_names_levers(tried, said, tmp_path):
    plan = dataclasses.replace(WORLDS["tiny"].lever_trials, tried=tried)
    wrong = dataclasses.replace(WORLDS["tiny"], lever_trials=plan)
    with pytest.raises(ValueError, match=f"lever_trials.tried must be among .*; not {said}"):
        levers.run(Lab(wrong, RunStore(tmp_path)))
