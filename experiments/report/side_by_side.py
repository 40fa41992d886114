"""Published values beside those measured here, for the report."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.claims.claim import Claim
from experiments.claims.distillation import PUBLISHED_SHARE
from experiments.recipes.ensembles import ensembles
from experiments.recipes.entigraph.recipe import FactResults, entigraph
from experiments.story.story import Story
from scaling.published import talk
from scaling.published.figures import PUBLISHED_FIGURES


def side_by_side(story: Story, claims: Sequence[Claim]) -> list[dict[str, str]]:
    """Return the published values and ours, for the recipes that the world has run.

    Returns:
        Rows with the keys `quantity`, `published` and `here`.
    """
    measured = {claim.id: claim for claim in claims}
    rows = _main_rows(story) if ensembles in story.results else []
    rows += [
        (quantity, published, f"{measured[id].quantity}: {measured[id].measurement}")
        for id, quantity, published in _beside_claims()
        if id in measured
    ]
    if entigraph in story.results:
        rows.append(_accuracy_row(story[entigraph]))
    return [{"quantity": q, "published": p, "here": h} for q, p, h in rows]


def _beside_claims() -> list[tuple[str, str, str]]:
    """Return the published values of what claims measure: id of the claim, quantity, value."""
    worth = PUBLISHED_FIGURES["multiplier_ensembles"].value
    average = talk.CONTINUED.set_index("benchmark").loc["average"]
    sbp = talk.SBP.set_index("benchmark").loc["average of QA"]
    recovered = ", ".join(
        f"{sbp[f'sbp_{scale}'] / sbp[f'unique_{scale}']:.0%} ({scale} tokens)"
        for scale in talk.SBP_TRAINING_TOKENS
    )
    return [
        ("P13", "Data multiplier of ensembles", f"{worth:g} times (300M members)"),
        ("P14", "Share of an ensemble's gain that one student keeps", f"{PUBLISHED_SHARE:.0%}"),
        (
            "P18",
            "Eight members on few tokens of a domain against one model on many",
            f"{average['K = 8']} % against {average['73B tokens']} % of answers (4B against 73B)",
        ),
        ("S8", "Share of the gain of unique data that bootstrapping recovers", recovered),
    ]


def _accuracy_row(facts: FactResults) -> tuple[str, str, str]:
    """Return the closed-book accuracies of the methods, each with its largest corpus."""
    published = talk.ENTIGRAPH_ACCURACY
    means = facts.answers.groupby(["method", "n_synthetic"])["balanced"].mean()
    ours = ", ".join(
        f"{means[method].iloc[-1]:.1%}" for method in ("base", "raw", "paraphrase", "entigraph")
    )
    theirs = ", ".join(f"{published[m]} %" for m in ("base", "raw", "paraphrases", "EntiGraph"))
    return "Closed-book accuracy: base, raw, paraphrases, EntiGraph", theirs, ours


def _main_rows(story: Story) -> list[tuple[str, str, str]]:
    laws, single = story.laws, story.laws.single
    second = sorted(laws.limits)[1]
    standard = story.standard_best.groupby("width")["test_loss"].mean().min()
    first = talk.REGULARIZED_LAW
    published_decay = ", ".join(f"{decay:g}" for decay in talk.TUNED["weight_decay"])
    our_decay = ", ".join(
        f"{tuned.best['weight_decay']:g}" for _, tuned in sorted(story.regularized.tuned.items())
    )
    return [
        ("Best loss of the standard recipe", f"{talk.STANDARD_BEST}", f"{standard:.3f}"),
        ("Tuned weight decay, by size", published_decay, our_decay),
        (
            "Law of tuned single models",
            f"{first['E']} + {first['A']} / (N/1e9)^{first['alpha']}",
            f"{single.params['E']:.3f} + {single.params['A']:.3g} / N^{single.params['alpha']:.2f}",
        ),
        (
            "Limit of one ever larger model",
            f"{first['E']} (no interval given)",
            str(laws.single_limit),
        ),
        (
            "Limit of infinitely many small members",
            f"{talk.ENSEMBLE_LAW['E']} (second of four sizes)",
            f"{laws.limits[second]} (second of {len(laws.limits)} sizes)",
        ),
        (
            "Exponent of 1/K",
            f"{talk.ENSEMBLE_LAW['alpha']}",
            f"{laws.exponents[second]}",
        ),
        (
            "Joint limit",
            f"{talk.JOINT_LIMIT}",
            str(laws.joint_limit),
        ),
    ]
