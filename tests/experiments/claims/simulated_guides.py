"""Worlds simulated with and without what a claim states; each call is one draw of a world.

They hold what recipes return, with the scatter of seeds, members, graphs, draws or languages.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd

from experiments.lab.recipe import Results
from experiments.recipes import find_recipe
from experiments.recipes.continued.recipe import Continued, Setting
from experiments.recipes.downstream import Downstream
from experiments.recipes.entigraph.forms import law_of
from experiments.recipes.entigraph.recipe import FactResults
from experiments.recipes.entigraph.runs import FactWorlds
from experiments.recipes.facts.first_training import FirstTrainings
from experiments.recipes.learning_curves import LearningCurves
from experiments.recipes.members.learned_weights import LearnedWeights
from experiments.worlds.plans import CalibrationPlan
from experiments.worlds.plans_part2 import ContinuedPlan
from models.ensembles.ensemble import member_subsets


def story_of(**found):
    return Results("simulated", {find_recipe(name): result for name, result in found.items()})


def downstream(rng, *, follows=1.0, skill=0.35, n_paradigms=67, per_paradigm=5):
    """Four sizes of three recipes; accuracy is one half plus skill x (share of loss + luck).

    follows: 1 where accuracy follows the loss, 0 where it has nothing to do with it.
    """
    recipes = (("standard", 1), ("tuned", 1), *(("ensemble", n) for n in (1, 2, 6)))
    kinds = [(kind, width, n) for width in (16, 32, 64, 128) for kind, n in recipes]
    losses = np.array(
        [
            4.6 - 0.1 * np.log2(width / 16) - 0.12 * np.log(n) - 0.2 * (kind != "standard")
            for kind, width, n in kinds
        ]
    )
    losses = losses + 0.01 * rng.normal(size=len(kinds))
    quality = (losses.max() - losses) / np.ptp(losses)
    quality = follows * quality + (1 - follows) * rng.permutation(quality)
    ease = rng.normal(scale=0.08, size=n_paradigms)
    p = np.clip(0.5 + skill * quality[:, None] + ease, 0.02, 0.98)
    paradigms = pd.DataFrame(rng.binomial(per_paradigm, p) / per_paradigm)
    models = pd.DataFrame(
        {
            "recipe": [kind for kind, _, _ in kinds], "width": [w for _, w, _ in kinds],
            "n_members": [n for _, _, n in kinds], "train_flops": [w * n for _, w, n in kinds],
            "validation_loss": losses, "test_loss": losses, "pairs": paradigms.mean(axis=1),
            "choices": 0.3, "chance": 0.3,
        }
    )  # fmt: skip
    found = Downstream(
        models=models, paradigms=paradigms, n_pairs=n_paradigms * per_paradigm, n_items=150
    )
    return story_of(downstream=found)


def continued(rng, *, batch=0.2, epochs=0.3, ensemble=0.4, lead=0.2, n_draws=5):
    """What each step gains, and what the ensemble is ahead of many tokens."""
    plan = ContinuedPlan(n_draws=n_draws)
    steps = {"usual": 0.0, "small batch": batch, "epochs": epochs, "ensemble": ensemble}
    means = dict(zip(steps, 5.0 - np.cumsum([*steps.values()]), strict=True))
    means |= {"base": 5.5, "many tokens": means["ensemble"] + lead}
    luck = rng.normal(scale=0.1, size=n_draws)  # of the text of a draw
    rows = [
        {
            "name": name, "n_members": plan.n_members if name == "ensemble" else 1, "draw": at,
            **Setting(4_096, 1, 2)._asdict(), "learning_rate": 1e-3,
            "test_loss": loss + luck[at] + rng.normal(scale=0.02),
        }
        for name, loss in means.items()
        for at in range(n_draws)
    ]  # fmt: skip
    return story_of(continued=Continued(plan=plan, chosen={}, losses=pd.DataFrame(rows)))


def learning_curves(rng, *, late=0.0, train_shift=0.0, is_mixed=True, noise=0.002):
    """Cortes' curves on three draws; the test loss of the largest set is off the law by `late`."""
    sizes = (2_048, 4_096, 8_192, 16_384, 32_768)
    rows = []
    for draw in range(3):
        luck = rng.normal(scale=0.01)
        for n in sizes:
            test = 4 + luck + 40 / n**0.5 + late * (n == sizes[-1])
            train = 4 + luck + train_shift - 15 / n**0.4
            rows += [
                {"n_examples": float(n), "is_train": is_train, "seed": draw, "n_epochs": 1,
                 "loss": loss + noise * rng.normal()}
                for is_train, loss in ((0.0, test), (1.0, train))
            ]  # fmt: skip
    table = pd.DataFrame(rows)
    return story_of(learning_curves=LearningCurves(width=16, table=table, is_mixed=is_mixed))


CALIBRATION = CalibrationPlan(
    n_sources=6, weight_decays=(0.1, 1.0), reads=(4_096,), n_unique_tokens=512,
    widths=(8, 16, 32), brute_width=64, brute_members=16, data_width=32,
    sizes=(1_024, 2_048, 4_096, 8_192), brute_size=65_536,
)  # fmt: skip


def calibration(rng, *, off=0.0, scatter=0.004, identified=1.0):
    """What laws predict far beyond is off by `off`, by scatter, and identified with this chance."""

    def rows(names, column, n):
        return pd.DataFrame(
            [
                {
                    column: name, "identified": rng.random() < identified, "method": "profile",
                    "predicted": 3.0 + off + scatter * rng.normal(), "measured": 3.0,
                    "agrees": True, "covered": True, "error": 0.0,
                    "above_floor": 0.06 + scatter * rng.normal(),
                    "below_brute": 0.004 + scatter * rng.normal(),
                }
                for name in names
                for _ in range(n)
            ]
        )  # fmt: skip

    found = SimpleNamespace(
        plan=CALIBRATION, tuning=pd.DataFrame({"chosen": [True], "on_edge": [False]}),
        laws=rows(("single", "ensemble", "Bayes-optimal"), "recipe", 12),
        limits=rows(("single", "ensemble", "joint"), "limit", 6),
        singles=pd.DataFrame(columns=["kind", "source", "n_unique_tokens", "width"]),
        sources=pd.DataFrame(columns=["kind", "source"]),
    )  # fmt: skip
    return story_of(calibration=found)


def languages(rng, *, asymptote, n, entropy=2.0):
    """Single models of languages, wider at each D, whose loss falls towards an asymptote."""
    rows = [
        {"kind": "markov", "source": source, "n_unique_tokens": size, "width": width, "seed": seed,
         "test_loss": asymptote + 60 / size**0.8 + 0.003 * rng.normal()}
        for source in range(n)
        for size, width in ((1_024, 16), (2_048, 24), (4_096, 32), (8_192, 48), (16_384, 64))
        for seed in range(3)
    ]  # fmt: skip
    sources = pd.DataFrame(
        {"kind": "markov", "source": range(n), "window_entropy": entropy, "window_error": 0.0}
    )
    return SimpleNamespace(singles=pd.DataFrame(rows), sources=sources)


def members(rng, *, gap=(-0.004, -0.002, 0.0), gain=(0.1, 0.1), n_members=4):
    """Tuned members of three sizes, each 2.5 times as large as the one before.

    gap: logit minus probability average of the whole ensemble, by size.
    gain: of 2.5 members over one model of the next size, by pair.
    """
    widths, subsets = (16, 32, 64), member_subsets(n_members)
    level = 4.0
    curves, best = [], []
    for at, width in enumerate(widths):
        best += [
            {"width": width, "seed": seed, "n_params": 100 * 2.5**at,
             "n_params_non_embedding": 60 * 2.5**at, "test_loss": level + 0.01 * rng.normal()}
            for seed in range(3)
        ]  # fmt: skip
        luck, odd = 0.01 * rng.normal(size=n_members), 0.003 * rng.normal(size=n_members)
        limit = level - (gain[at] if at < len(gain) else 0.0) - 0.3 / 2.5
        for subset in subsets:
            n = int(subset.sum())
            loss = limit + 0.3 / n + luck[subset].mean()
            between = (gap[at] + odd[subset].mean()) * (1 - 1 / n) / (1 - 1 / n_members)
            curves += [
                {
                    "width": width, "learning_rate": 0.01, "weight_decay": 1.6, "n_epochs": 16,
                    "chosen_for": "ensemble", "members": ",".join(map(str, np.flatnonzero(subset))),
                    "n_members": n, "average": how, "test_loss": at_how,
                }
                for how, at_how in (("logit", loss), ("probability", loss - between))
            ]  # fmt: skip
        level = level - 0.1 if at >= len(gain) else limit + 0.3 / 2.5 + gain[at]
    table = pd.DataFrame(curves)
    tuned = SimpleNamespace(point=(0.01, 1.6, 16), certified=True, flaws=())
    ensembles = SimpleNamespace(
        curves=table, tuned=dict.fromkeys(widths, tuned),
        at=lambda width, point: table[table["width"] == width],
    )  # fmt: skip
    return SimpleNamespace(
        ensembles=ensembles, regularized=SimpleNamespace(best=pd.DataFrame(best)),
        world=SimpleNamespace(n_members=n_members, widths=widths),
    )  # fmt: skip


def learned_weights(rng, *, gain=(0.01, 0.008, 0.012), n_members=6):
    """What learned weights gain over equal ones of a learned sum, by size; and without a member."""
    pools = [f"width {16 * 2**i}" for i in range(len(gain))]
    rows = [
        {"pool": pool, "average": average, "weighting": weighting, "test_loss": loss}
        for pool, learned in zip([*pools, "one of each size"], [*gain, 0.01], strict=True)
        for average in ("logit", "probability")
        for weighting, loss in {"equal": 4.1, "tempered": 4.0, "learned": 4.0 - learned}.items()
    ]
    without = {
        pool: (mean + 0.001 * rng.normal(size=n_members) / (n_members - 1)).tolist()
        for pool, mean in zip(pools, gain, strict=True)
    }
    found = LearnedWeights(table=pd.DataFrame(rows), gain_of_one={}, without=without)
    return story_of(learned_weights=found)


PLAN = FactWorlds(
    paraphrase_tokens=(4_000, 16_000, 64_000, 256_000),
    entigraph_tokens=tuple(4_000 * 2**i for i in range(7)), n_graphs=6,
)  # fmt: skip
TOKENS = np.array(PLAN.entigraph_tokens, float)


def facts(rng, curve, **options):
    """EntiGraph's results, see `answers`."""
    return story_of(entigraph=answers(rng, curve, **options))


def first_trainings(rng, *, longest, own=0.95, shortest=0.5, noise=0.03, n_graphs=10):
    """Two lengths of the first training, and what is learned of new facts after each."""
    rows = [
        {"base_tokens": n, "graph": graph, "own_implicit": known + noise * rng.normal(),
         "implicit": new + noise * rng.normal()}
        for n, known, new in ((64_000, 0.25, shortest), (4_096_000, own, longest))
        for graph in range(n_graphs)
    ]  # fmt: skip
    return story_of(first_training=FirstTrainings(n_synthetic=256_000, answers=pd.DataFrame(rows)))


def long_facts(rng, *, longer, usual=0.85, noise=0.015, n_graphs=10):
    """Accuracies that follow the process up to two ceilings, on as many graphs."""
    return story_of(
        **{
            name: answers(
                rng, lambda stated, top=top: law_of(stated, top), noise=noise, n_graphs=n_graphs
            )
            for name, top in (("entigraph", usual), ("entigraph_long", longer))
        }
    )


def statements(rng, *, seldom, often, n_graphs=10, n_questions=150):
    """Right answers about facts that the largest corpus states seldom, and about others."""
    rows = [
        {"times": times, "n_questions": n_questions, "graph": graph,
         "right": rng.binomial(n_questions, right) / n_questions, "n_synthetic": int(TOKENS[-1])}
        for times, right in ((5, seldom), (9, seldom), (17, 0.95), (33, often), (65, often))
        for graph in range(n_graphs)
    ]  # fmt: skip
    found = answers(rng, law_of)
    return story_of(entigraph=replace(found, by_times=pd.DataFrame(rows)))


def answers(rng, curve, *, noise=0.02, paraphrase=0.4, n_graphs=PLAN.n_graphs):
    """Accuracy on implied facts by the size of EntiGraph's corpora.

    curve: takes the expected share of stated pairs at `TOKENS` and returns accuracies.
    """
    rows = []
    for graph in range(n_graphs):
        # Pairs stated soon and pairs stated late, in shares that differ between graphs.
        soon = rng.uniform(0.35, 0.45)
        stated = -soon * np.expm1(-TOKENS / 4e3) - (1 - soon) * np.expm1(-TOKENS / 1.5e5)
        implied = curve(stated) + noise * rng.normal(size=len(TOKENS))
        rows += [
            {"method": "entigraph", "n_synthetic": int(n), "n_unique": n, "graph": graph,
             "implicit": x, "balanced": 0.3 + 2 / 3 * x, "expected": s,
             "stated": s / stated.max(), "stated_twice": s / 2}
            for n, x, s in zip(TOKENS, implied, stated, strict=True)
        ]  # fmt: skip
        rows += [
            {"method": "paraphrase", "n_synthetic": n, "n_unique": n, "graph": graph,
             "implicit": 0.27 + noise * rng.normal(),
             "balanced": paraphrase + noise * rng.normal()}
            for n in PLAN.paraphrase_tokens
        ]  # fmt: skip
    empty = pd.DataFrame()
    return FactResults(
        plan=PLAN,
        base_learning_rate=2e-3,
        learning_rates={},
        tuning=empty,
        answers=pd.DataFrame(rows),
        ensembles=empty,
        by_times=empty,
    )


def of_the_process(stated):
    return law_of(stated, 0.7)


def straight_then_flat(stated):
    return np.interp(np.log(TOKENS), np.log([4e3, 3.2e4, 2.56e5]), [0.35, 0.65, 0.67])


def straight(stated):
    return np.interp(np.log(TOKENS), np.log([4e3, 2.56e5]), [0.3, 0.8])


def sudden(stated):
    return np.where(TOKENS < 2e4, 0.3, 0.7)


def flat(stated):
    return np.full(len(TOKENS), 0.3)


def one_exponential(stated):
    return 0.25 - 0.5 * np.expm1(-TOKENS / 2e4)


FAILURES = ("repetition", "duplicates", "disagreement", "pair_relevance", "pair_copying")


def quality(rng, *, fall=0.05, n_worlds=8):
    """Failures of synthetic documents, which fall by so much from width 32 to 64."""
    rows = []
    for world in range(n_worlds):
        luck = 0.02 * rng.normal(size=len(FAILURES))
        for width in (32, 64):
            shares = 0.2 + luck + 0.02 * rng.normal(size=len(FAILURES)) - fall * (width == 64)
            row = dict(zip(FAILURES, shares, strict=True))
            row["pair_relevance"] = 1 - row["pair_relevance"]
            rows += [
                {"world": world, "width": width, "kind": "synthetic", **row},
                {"world": world, "width": width, "kind": "real", **dict.fromkeys(FAILURES, 0.0)},
            ]
    return story_of(bootstrapped=SimpleNamespace(quality=pd.DataFrame(rows)))
