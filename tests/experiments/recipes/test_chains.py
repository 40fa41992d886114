"""Members taught by members: the law of their ensembles, the verdicts, and a real run."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from experiments.claims import levers as claims_levers
from experiments.lab.lab import Lab
from experiments.lab.recipe import Results, run_recipes
from experiments.lab.scoring import score_members
from experiments.recipes.chains import ARMS, Chains, _candidates, chains
from experiments.runs.store import RunStore
from experiments.runs.texts import held_out, unique_tokens
from experiments.worlds.plans import ChainPlan
from experiments.worlds.registry import WORLDS
from models.language.distill import distill_soft
from tests.experiments.claims.simulated import mostly

N_MEMBERS, N_DRAWS = 5, 4


def drawn(rng, laws, *, sd=0.002, luck=0.05, edges=()):
    """Losses of `laws` {arm: function of K}; draws of the text share their luck between arms."""
    lucks = luck * rng.normal(size=N_DRAWS)
    rows = [
        {
            "arm": arm, "draw": draw, "n_members": k, "validation_loss": 0.0,
            "test_loss": laws.get(arm, laws["independent"])(k) + lucks[draw] + own,
        }
        for arm in ARMS
        for draw in range(N_DRAWS)
        for own in [sd * rng.normal()]
        for k in range(1, N_MEMBERS + 1)
    ]  # fmt: skip
    chosen = [{"arm": arm, "is_edge": arm in edges} for arm in ARMS]
    return Chains(width=8, curves=pd.DataFrame(rows), chosen=pd.DataFrame(chosen), train_flops=1e12)


def story(*given, **options):
    return Results("test", {chains: drawn(*given, **options)})


ALONE = {"independent": lambda k: 3.6 + 0.2 / k}
CHAIN = ALONE | {"chain": lambda k: 3.56 + 0.24 * k**-0.5}


def test_exponent_and_limit_are_those_of_the_law_whatever_the_draws_have_in_common():
    found = drawn(np.random.default_rng(0), CHAIN, sd=0.0, luck=0.0)
    assert found.exponent("independent").value == pytest.approx(1, abs=1e-3)
    assert found.exponent("chain").value == pytest.approx(0.5, abs=1e-3)
    assert found.limit("chain").value == pytest.approx(3.56, abs=1e-3)
    lucky = drawn(np.random.default_rng(0), CHAIN, sd=0.0, luck=0.5)
    gain = lucky.gain("chain", N_MEMBERS)
    expected = ALONE["independent"](5) - CHAIN["chain"](5)
    assert (gain.value, gain.low) == pytest.approx((expected, expected), abs=1e-9)  # paired
    assert lucky.gain_at_limit("chain").value == pytest.approx(0.04, abs=1e-3)


def test_a_law_that_the_members_do_not_identify_gives_no_limit():
    flat = ALONE | {"chain": lambda k: 3.7}
    found = drawn(np.random.default_rng(0), flat, sd=0.0)
    assert not found.limit("chain").is_bounded
    assert not found.gain_at_limit("chain").is_bounded


def lower(nats):
    return ALONE | {"chain": lambda k: 3.6 + 0.2 / k - nats}


@pytest.mark.long
@pytest.mark.parametrize(
    ("laws", "edges", "rightly"),
    [
        (lower(0.04), (), "supported"),
        (lower(-0.02), (), "contradicted"),
        (lower(0.0), (), "contradicted"),  # known to be below .01 nats
        (lower(0.04), ("independent",), "inconclusive"),
        (lower(0.04), ("chain",), "supported"),
        (lower(-0.02), ("chain",), "inconclusive"),
    ],
)
def test_a_chain_lowers_the_loss_of_ensembles_or_not(laws, edges, rightly):
    assert mostly(claims_levers._n10, lambda rng: story(rng, laws, edges=edges), rightly)


def test_a_gain_that_draws_do_not_show_is_no_verdict():
    found = drawn(np.random.default_rng(0), lower(0.02), sd=0.0)
    rows = found.curves["arm"] == "chain"
    found.curves.loc[rows, "test_loss"] += found.curves.loc[rows, "draw"] % 2 * 0.05
    assert found.gain("chain", N_MEMBERS).value == pytest.approx(-0.005)
    assert claims_levers._n10(Results("test", {chains: found})).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("power", "rightly"), [(0.4, "supported"), (1.3, "contradicted"), (0.9, "inconclusive")]
)
def test_a_chain_gains_more_slowly_than_its_number_or_not(power, rightly):
    laws = ALONE | {"chain": lambda k: 3.56 + 0.24 * k**-power}
    assert claims_levers._n11(story(np.random.default_rng(1), laws)).verdict == rightly


def test_every_arm_compares_equally_many_settings():
    for name in ("tiny", "interventions"):
        plan = WORLDS[name].chains
        counts = {len(set(_candidates(arm, plan))) for arm in ARMS}
        assert counts == {len(plan.weight_decays) * len(plan.epochs) * len(plan.soft_shares)}
    with pytest.raises(ValueError, match="soft_shares must be at most 5 values"):
        _candidates("independent", dataclasses.replace(plan, soft_shares=(0.1,) * 6))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_members": 3}, "n_members must be 4 or more; not 3"),
        ({"n_draws": 1}, "n_draws must be 2 or more; not 1"),
        ({"soft_shares": (0.0,)}, r"soft_shares must lie in \(0, 1\]; not \(0.0,\)"),
    ],
)
def test_a_plan_that_cannot_show_anything_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        ChainPlan(
            **{"width": 8, "weight_decays": (1,), "epochs": (1,), "soft_shares": (1,)} | change
        )


@pytest.mark.long
@pytest.mark.exhaustive
def test_the_tiny_world_trains_chains_and_resumes_them_from_its_records(tmp_path):
    plan = dataclasses.replace(
        WORLDS["tiny"].chains, weight_decays=(0.4,), epochs=(1,), n_tuning_members=2
    )
    world = dataclasses.replace(
        WORLDS["tiny"], chains=plan, n_unique_tokens=1_024, n_eval_tokens=512
    )
    lab = Lab(world, RunStore(tmp_path))
    found = run_recipes(lab, [chains])[chains]
    assert len(found.curves) == len(ARMS) * plan.n_draws * plan.n_members
    assert found.curves["test_loss"].between(4, 8).all()
    again = run_recipes(Lab(world, RunStore(tmp_path)), [chains])[chains]
    pd.testing.assert_frame_equal(again.curves, found.curves)
    # The ensemble of two of a chain, by hand: the second has learned from the first.
    specs = [
        lab.spec(width=8, weight_decay=0.4, n_epochs=1, seed=seed, draw_seed=1, learning_rate=0.01)
        for seed in range(2)
    ]
    first = (specs[0].model, lab.store.params(specs[0]))
    second = distill_soft(
        specs[1].model, [first], unique_tokens(specs[1].data, 512), optimizer=specs[1].optimizer,
        train=specs[1].train, seed=1, soft_share=0.5,
    )  # fmt: skip
    rows = score_members(
        [first, (specs[1].model, second.params)],
        held_out(specs[1].data, 512, 64),
        np.ones((1, 2), bool),
    )
    of_two = found.curves.query("arm == 'chain' and draw == 1 and n_members == 2")
    assert of_two["test_loss"].item() == pytest.approx(rows[0]["test_loss"], abs=1e-5)
