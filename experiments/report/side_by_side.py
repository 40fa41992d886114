"""Published values beside those measured here: the table of the report and of README."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from experiments.claims.claim import Claim
from experiments.claims.distillation import PUBLISHED_SHARE
from experiments.lab.recipe import NotRun
from experiments.recipes.entigraph.recipe import FactResults, entigraph
from experiments.story.limits import recipe_limits, second_size, worth_in_data
from experiments.story.story import Story
from experiments.worlds.plans import USUAL_DECAY
from scaling.fitting.status import FitStatus
from scaling.published import talk
from scaling.published.figures import PUBLISHED_FIGURES


def side_by_side(story: Story, claims: Sequence[Claim]) -> list[dict[str, str]]:
    """Return the published values and ours, for the recipes that the world has run.

    Returns:
        Rows with the keys `quantity`, `published` and `here`.
    """
    measured = {claim.id: claim for claim in claims}
    rows: list[tuple[str, str, str]] = []
    with contextlib.suppress(NotRun):
        rows += _main_rows(story)
    rows += [
        (quantity, published, measured[id].measurement)
        for id, quantity, published in _beside_claims()
        if id in measured
    ]
    if entigraph in story.results:
        rows.append(_accuracy_row(story[entigraph]))
    return [{"quantity": q, "published": p, "here": h} for q, p, h in rows]


def _beside_claims() -> list[tuple[str, str, str]]:
    """Return the published values of what claims measure: id of the claim, quantity, value."""
    sbp = talk.SBP.set_index("benchmark").loc["average of QA"]
    recovered = " and ".join(
        f"{sbp[f'sbp_{scale}'] / sbp[f'unique_{scale}']:.2f} ({scale} tokens)"
        for scale in talk.SBP_TRAINING_TOKENS
    )
    return [
        (
            "P14",
            "share of the gain of an ensemble that one student keeps",
            f"{PUBLISHED_SHARE:.2f}",
        ),
        ("S8", "share of the gain of new data that bootstrapping recovers", recovered),
    ]


def _accuracy_row(facts: FactResults) -> tuple[str, str, str]:
    """Return the closed-book accuracies of the methods, each with its largest corpus."""
    published = talk.ENTIGRAPH_ACCURACY
    means = facts.answers.groupby(["method", "n_synthetic"])["balanced"].mean()
    ours = ", ".join(
        f"{means[method].iloc[-1]:.0%}" for method in ("base", "raw", "paraphrase", "entigraph")
    )
    theirs = ", ".join(
        f"{published[method] / 100:.0%}" for method in ("base", "raw", "paraphrases", "EntiGraph")
    )
    return "closed-book accuracy (chance 25%): base, raw, paraphrases, EntiGraph", theirs, ours


def _main_rows(story: Story) -> list[tuple[str, str, str]]:
    """Return the rows of Part 1."""
    single, law = story.laws.single, talk.REGULARIZED_LAW
    standard, tuned, members, joint = recipe_limits(story)
    ours = [found.best["weight_decay"] for _, found in sorted(story.regularized.tuned.items())]
    rejected = ", which repeated runs reject" * (single.status is FitStatus.LAW_REJECTED)
    fitted = (
        f"{single.params['E']:.2f} + {single.params['A']:.3g} / N^{single.params['alpha']:.2f}"
        f"{rejected}"
        if tuned.limit.is_bounded
        else f"not identified; the best size reaches {tuned.reached:.2f}"
    )
    rows = [
        (
            "unique tokens",
            f"{talk.N_UNIQUE_TOKENS / 1e6:.0f}M",
            f"{story.world.n_unique_tokens:,}",
        ),
        ("best loss of the standard recipe", f"{standard.published}", str(standard.limit)),
        (
            "best weight decay / usual weight decay, by size",
            _ratios(talk.TUNED["weight_decay"]),
            _ratios(ours),
        ),
        (
            "law of tuned single models",
            f"{law['E']} + {law['A']} / (N/1e9)^{law['alpha']}",
            fitted,
        ),
        (
            "limit of infinitely many parameters, tuned",
            f"{tuned.published}",
            str(tuned.limit),
        ),
        (
            "limit of infinitely many members of the second size",
            f"{members.published}",
            str(members.limit),
        ),
        (
            "exponent of 1/K, members of the second size",
            f"{talk.ENSEMBLE_LAW['alpha']}",
            str(story.laws.exponents[second_size(story)]),
        ),
        (
            "limit of infinitely many members and parameters",
            f"{joint.published}",
            str(joint.limit),
        ),
    ]
    worth = worth_in_data(story)
    if worth is not None:
        published = f"{PUBLISHED_FIGURES['multiplier_ensembles'].value:g}"
        rows.append(("data multiplier of ensembles", published, str(worth)))
    return rows


def _ratios(decays: Sequence[float]) -> str:
    return ", ".join(f"{decay / USUAL_DECAY:g}" for decay in decays)
