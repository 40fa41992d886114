"""The answer to the title of the report in a few sentences, and what a first reader asks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.analysis.intervals import Estimate
from experiments.analysis.multiplier import Multiplier
from experiments.display.quantities import human
from experiments.lab.recipe import NotRun
from experiments.recipes.data_scaling.recipe import REFERENCE, data_scaling
from experiments.story.limits import (
    RecipeLimit,
    recipe_limits,
    standard_is_tuned,
    worth_in_data,
)
from experiments.story.story import Story
from scaling.published import talk
from scaling.published.figures import MEMBER_LIMITS, PUBLISHED_FIGURES

IDENTIFIED_WHEN_SHIPPED = ("regularized", "ensemble limit")
"""Limits that the shipped results of the world small identify; a test fits them again."""
STEPS = {
    "P7": "tuned models",
    "P8": "ensembles",
    "P11": "larger members",
}
"""What stops below the one before it, the standard recipe first, by the claim that says so."""
TEXTS = {
    "novels": "English novels (1839-1930)",
    "stdlib": "docstrings of Python's standard library",
}
"""What the corpora hold that come with the package, in words."""
_PUBLISHED_WORTH = PUBLISHED_FIGURES["multiplier_ensembles"].value


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the page says before anything else.

    Attributes:
        sentences: the limits of the recipes and the value of ensembles in data.
        conditions: what the intervals are over, and what they take as given.
        missing: what identifies the limits that these runs do not, with the command, or empty.
        limits: the numbers behind the sentences; empty if the world does not train the recipes.
    """

    sentences: str
    conditions: str
    missing: str
    limits: tuple[RecipeLimit, ...]


def answer(story: Story) -> Answer:
    """Return the answer that the results of a world give."""
    try:
        limits = tuple(recipe_limits(story))
    except NotRun as error:
        return Answer(
            sentences="", conditions="", limits=(),
            missing=f"These results do not answer the question of the title: {error}. "
            "`datawall report --world small` answers it from results that come with the package.",
        )  # fmt: skip
    standard, *growing = limits
    parts = [
        f"On {story.world.n_unique_tokens:,} unique tokens of "
        f"{TEXTS.get(story.world.corpus, story.world.corpus)}, "
        f"{standard.subject} reaches a loss of {_short(standard.limit)} nats per token (published "
        f"for {human(talk.N_UNIQUE_TOKENS)} tokens: {standard.published:g})."
    ]
    parts += map(_sentence, growing)
    unidentified = [one for one in growing if not one.limit.is_bounded]
    worth = worth_in_data(story)
    if worth is not None:
        tokens = story[data_scaling].sizes[0]
        parts.append(
            f"At {tokens:,} tokens, what ensembles are worth in data of the standard recipe is "
            f"{worth} (published: {_PUBLISHED_WORTH:g}x)."
        )
    return Answer(
        sentences=" ".join(parts),
        conditions=_conditions(story, limits, worth),
        missing=_missing(story, unidentified),
        limits=limits,
    )


def _sentence(one: RecipeLimit) -> str:
    published = f"(published: {one.published:g})"
    if one.limit.is_bounded:
        return f"{one.subject[0].upper()}{one.subject[1:]} stop at {_short(one.limit)} {published}."
    trained = "model" if one.recipe == "regularized" else "ensemble"
    return (
        f"The limit of {one.subject} is not identified {published}; the best {trained} that was "
        f"trained reaches {one.reached:.2f}."
    )


def _short(limit: Estimate) -> str:
    text = f"{limit.value:.2f} [{limit.low:.2f}, {limit.high:.2f}]"
    if limit.if_law_holds is None:
        return text
    low, high = limit.if_law_holds
    return f"{text}, or [{low:.2f}, {high:.2f}] if the fitted law holds"


def _conditions(story: Story, limits: tuple[RecipeLimit, ...], worth: Multiplier | None) -> str:
    standard, single, members, _ = limits
    text = (
        f"Brackets are 95 % intervals: of the standard recipe over {standard.limit.n} seeds; of "
        f"single models over {single.limit.n} seeds a size, the first whatever smooth decreasing "
        "law holds, the second if E + A / N^alpha does; of ensembles over "
        f"{members.limit.n} members, if E + A / K^gamma holds. They take one draw of the text, one "
        "set of test documents and the hyperparameters as given."
    )
    if not standard_is_tuned(story):
        text += (
            " The learning rate of the standard recipe was set by a rule and not tuned: its loss "
            "may be too high, and with it the distance to the other recipes."
        )
    text += (
        f" The published {members.published:g} is of members with the hyperparameters of one "
        "model; members here are tuned to be averaged, for which the authors' code gives "
        f"{MEMBER_LIMITS['209M'][0.3]:.2f}."
    )
    if worth is not None:
        found = story[data_scaling]
        stocks = found.sizes_of(REFERENCE)
        widths = sorted(found.losses.loc[found.losses["width"] > 0, "width"].unique())
        text += (
            f" The value in data is over {found.losses['draw_seed'].nunique()} draws of the text, "
            f"read between the losses of the standard recipe on {len(stocks)} stocks of "
            f"{stocks[0]:,} to {stocks[-1]:,} tokens; models of both have widths of {widths[0]} to "
            f"{widths[-1]}."
        )
    return f"{text} {story.text_scope}"


def _missing(story: Story, unidentified: list[RecipeLimit]) -> str:
    """Say what identifies the limits that these runs do not, empty if that is not known."""
    if not unidentified:
        return ""
    shipped = [one for one in unidentified if one.recipe in IDENTIFIED_WHEN_SHIPPED]
    parts = []
    if story.world.name != "small" and shipped:
        subjects = " and of ".join(one.subject.split(" (")[0] for one in shipped)
        parts.append(
            f"The world small identifies the limit of {subjects}: `datawall report --world small` "
            "shows its results, which come with the package, and `datawall reproduce --world "
            "small` trains it (hours)."
        )
    if len(shipped) < len(unidentified):
        parts.append(
            f"The joint limit needs larger members that still gain{_limits_by_size(story)}."
        )
        if story.world.name != "quick":
            parts.append(
                "The world quick, on a text of many documents, is made for it (`datawall "
                "reproduce --world quick`, minutes)."
            )
    return " ".join(parts)


def _limits_by_size(story: Story) -> str:
    """Return the limits of ever more members by their size as a clause, empty without them."""
    limits = sorted(story.laws.limits.items())
    if not all(found.is_bounded for _, found in limits):
        return ""
    sizes = [human(story.world.model(width).n_params_non_embedding) for width, _ in limits]
    losses = ", ".join(f"{found.value:.2f}" for _, found in limits)
    return f"; here those of N = {', '.join(sizes)} stop at {losses}"


def _where_worth_is_from(story: Story) -> str:
    """Say what the value of ensembles in data rests on, or that this world does not measure it."""
    if worth_in_data(story) is None:
        return (
            "These results are of one stock of text and do not measure it; for ensembles, "
            f"{_PUBLISHED_WORTH:g} is published."
        )
    return "Claim P13 asks whether it stays as the data grow."


def questions(story: Story) -> list[tuple[str, str]]:
    """Return what a reader who does not know the project asks first, with the answers."""
    sizes = [story.world.model(width).n_params_non_embedding for width in story.world.widths]
    tokens, per_byte = story.world.n_unique_tokens, story.bytes_per_token
    theirs = talk.TUNED["n_params"] / talk.N_UNIQUE_TOKENS
    rate = (
        "learning rate and number of epochs tuned"
        if standard_is_tuned(story)
        else "number of epochs tuned; here the learning rate follows a rule, min(0.01, 0.32 / "
        "width) rounded to the grid, while the talk tunes it"
    )
    return [
        (
            "What is a loss of 4 nats per token, and is a difference of 0.1 large?",
            "The loss is the mean of -ln p over the tokens of test documents, where p is the "
            "probability that the model gives to the token that comes next; lower is better. A "
            "loss that is 0.1 lower means a perplexity 10 % lower, here "
            f"{0.1 / math.log(2) / per_byte:.3f} bits per byte of text. In the talk all gains "
            "together, from the standard recipe to the joint limit, are "
            f"{talk.STANDARD_BEST - talk.JOINT_LIMIT:.2f} nats.",
        ),
        (
            "What are the four recipes?",
            f"Standard: weight decay 0.1, {rate}. Regularized (or tuned): learning rate, weight "
            "decay and epochs are tuned at every size. Ensemble: K models that differ in "
            "their seeds, whose logits are averaged, tuned to be averaged. Joint: members and "
            "parameters both grow without end. All read the same unique tokens; only the compute "
            "grows.",
        ),
        (
            "How can a loss of infinitely large models be known?",
            "It cannot be measured; it is the constant E of a law E + A / N^alpha (N parameters) "
            "or E + A / K^gamma (K members) fitted to measured losses. The interval says how far E "
            "is determined: the first one by any smooth decreasing curve through the losses, the "
            "second only if the law is right. If no finite interval holds E, the limit is called "
            "not identified and no number is printed.",
        ),
        (
            "What can models this small show?",
            f"Shapes, not values. The models have {_span(sizes, ',')} parameters "
            "without embeddings (N) and read "
            f"{tokens:,} unique tokens: N / D is {_span([n / tokens for n in sizes], '.2g')}, in "
            f"the talk {_span(theirs.tolist(), '.2g')}. "
            "Whether an effect has the same sign and the same law can be compared; a loss cannot, "
            "because text and tokenizer differ.",
        ),
        (
            "Who decides what is supported, and how can I check it?",
            "A rule for each claim, written down before the runs were looked at (rules that were "
            "changed since are listed in docs/claims-rules.md) and applied by the program: "
            "supported or contradicted if an interval is clear of the alternative, inconclusive "
            "otherwise. Every claim below opens to its rule and to the ids of the runs and records "
            "that it rests on; below every figure are its numbers and the command that draws it "
            "again.",
        ),
        (
            "What is a world, and which one is this?",
            "A world is a complete setting: a text, how many of its tokens may be read, sizes of "
            "models, budgets and recipes. This page shows the world "
            f"{story.world.name}, on {story.world.corpus}. `datawall worlds` lists all of them; "
            "`datawall reproduce --world NAME` trains one and writes its page. In the rules and "
            "captions of Part 2, a world of facts or concepts is a set of invented ones, each "
            "drawn with another seed.",
        ),
        (
            "What do N, D, K, lr, wd, ep, hollow points and \"certified\" mean?",
            "N: parameters of one model without embeddings; D: unique tokens, of which every epoch "
            "is a repetition; K: members of an ensemble; lr, wd, ep: learning rate, weight decay "
            "and epochs that were selected on validation documents. A selected setting is "
            "certified if it lies inside the grid and was trained with several seeds, and if all "
            "its neighbours were trained too and none is clearly better. A point that is not is "
            "hollow in figures whose captions say so.",
        ),
        (
            "What does \"worth so many times the data\" mean?",
            "A recipe that reaches with D tokens the loss for which the standard recipe needs 3 D "
            "is worth 3 times the data. Published values extrapolate a fitted law of the standard "
            "recipe; those here are read between the losses of stocks on which it was trained. "
            f"{_where_worth_is_from(story)}",
        ),
        (
            "Two intervals overlap: is neither recipe better?",
            "Overlap alone decides nothing. Each comparison is a claim with a rule for the "
            "interval of the difference, such as P8 for ensembles against ever larger models; if "
            "that interval holds zero, the claim is open, whatever the two numbers suggest. Limits "
            "of N enter such rules with the first of their two intervals, which does not trust "
            "the fitted law.",
        ),
        (
            "What are EntiGraph, paraphrases and bootstrapping (Part 2)?",
            "Ways to write new training text from a small stock. Paraphrases say the same again. "
            "EntiGraph extracts the entities of a document and writes about relations between "
            "them. Synthetic bootstrapped pretraining (SBP) learns to write a document from a "
            "related one and samples new ones. Closed-book accuracy is that of answers without "
            "the source at hand. Most experiments of this part use small sets of invented facts, "
            "so that every true answer is known.",
        ),
    ]  # fmt: skip


def _span(values: Sequence[float], form: str) -> str:
    """Return the smallest and the largest of some values, or the one that all are."""
    ends = dict.fromkeys(f"{value:{form}}" for value in (min(values), max(values)))
    return " to ".join(ends)
