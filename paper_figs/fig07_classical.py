"""Figure 7: n-gram and neural models, and their mixture."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.recipes.classical import classical
from experiments.story.story import Story
from paper_figs.style import COLORS, GREY, MARKERS, look
from scaling.published import talk

NAME = "fig07"
CLAIMS = ("P20",)
TITLE = "N-gram and neural models, alone and mixed"
CAPTION = (
    "Left: test perplexity of a Kneser-Ney n-gram model and of single neural models of every size "
    "and recipe (standard, tuned, and tuned as ensemble members), all trained on the same unique "
    "tokens, with their weights in the mixture; below, the mixtures, whose weights were fitted on "
    f"the validation set. Right, published: the same on the Penn Treebank ({talk.HEREL}). "
    "Perplexities over different vocabularies are not comparable."
)
KINDS = ("classical", "standard", "tuned", "member")
PUBLISHED_TITLE = "A mixture of n-gram and neural models beats each of them"
PUBLISHED_CAPTION = (
    f"Published ({talk.HEREL}; table of the talk): Penn Treebank test perplexity of seven models, "
    "and of the mixture of their probabilities with the weights on the right, which were fitted "
    "on the validation set. The 5-gram with perplexity 141 still gets a weight. The WikiText-2 "
    "results are left out."
)


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw one bar per model, ours beside the published ones.

    The frame has columns `panel`, `model`, `kind`, `width`, `validation_loss`, `test_loss`,
    `perplexity` and `weight`.
    """
    found = story[classical]
    models = found.models.assign(perplexity=np.exp(found.models["test_loss"]))
    ours = pd.concat(
        [
            models.sort_values("perplexity", ascending=False),
            pd.DataFrame(
                {
                    "model": [
                        "mixture of the neural ones",
                        "mixture of all",
                        found.ensemble,
                        f"{found.ensemble}\nwith Kneser-Ney",
                    ],
                    "kind": "mixture",
                    "perplexity": [
                        found.perplexity(name)
                        for name in ("neural", "mixture", "ensemble", "ensemble_classical")
                    ],
                }
            ),
        ],
        ignore_index=True,
    )
    published = talk.MIXTURE.assign(kind=np.where(talk.MIXTURE["model"] == "KN-5", "classical", ""))
    published = published.sort_values("perplexity", ascending=False)
    mixture = {
        "model": "mixture of all",
        "kind": "mixture",
        "perplexity": talk.MIXTURE_PERPLEXITY["test"],
    }
    published = pd.concat([published, pd.DataFrame([mixture])], ignore_index=True)
    figure, (ax, theirs) = plt.subplots(
        1, 2, figsize=(9.6, 0.5 + 0.27 * len(ours)), gridspec_kw={"width_ratios": [1.4, 1]}
    )
    _bars(ax, ours)
    ax.set_title(f"here: {story.world.n_unique_tokens:,} tokens of {story.world.corpus}")
    _bars(theirs, published)
    theirs.set_title("published: Penn Treebank")
    return figure, pd.concat(
        [ours.assign(panel="here"), published.assign(panel="published")], ignore_index=True
    )


def _bars(ax: Axes, table: pd.DataFrame) -> None:
    places = np.arange(len(table))[::-1]
    ax.barh(
        places, table["perplexity"], height=0.7, edgecolor="white",
        color=[look(kind).color if kind in KINDS else GREY for kind in table["kind"]],
        hatch=["//" if kind == "mixture" else "" for kind in table["kind"]],
    )  # fmt: skip
    for place, row in zip(places, table.itertuples(), strict=True):
        weight = f"  weight {row.weight:.2f}" if np.isfinite(row.weight) else ""
        ax.annotate(
            f"{row.perplexity:.1f}{weight}", (row.perplexity, place), xytext=(3, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    ax.set_yticks(places, table["model"], fontsize=8)
    ax.set(xlabel="test perplexity", xlim=(0, 1.35 * table["perplexity"].max()))
    ax.grid(axis="y", visible=False)


def draw_published() -> tuple[Figure, pd.DataFrame]:
    """Draw perplexities and weights, one row per model.

    The frame has columns `model`, `perplexity` and `weight`.
    """
    table = talk.MIXTURE.sort_values("perplexity", ascending=False, ignore_index=True)
    figure, (ax, weights) = plt.subplots(
        1, 2, figsize=(8.8, 3.8), sharey=True, gridspec_kw={"width_ratios": [1.6, 1]}
    )
    ax.plot(table["perplexity"], table.index, MARKERS[0], color=COLORS[0])
    mixture = talk.MIXTURE_PERPLEXITY["test"]
    ax.axvline(mixture, color=COLORS[1], linestyle="--", label=f"mixture: {mixture}")
    for row in table.itertuples():
        ax.annotate(
            f"{row.perplexity:.1f}", (row.perplexity, row.Index), xytext=(6, 5),
            textcoords="offset points", fontsize=8.5,
        )  # fmt: skip
    ax.set_yticks(table.index, table["model"])
    ax.set(xscale="log", xlabel="test perplexity", xlim=(44, 170))
    ax.set_xticks([50, 60, 80, 100, 140], ["50", "60", "80", "100", "140"])
    ax.minorticks_off()
    ax.legend(loc="upper right")
    weights.barh(table.index, table["weight"], height=0.55, color=COLORS[0], alpha=0.7)
    weights.set(xlabel="weight in the mixture")
    extra = pd.DataFrame({"model": ["mixture"], "perplexity": [mixture]})
    return figure, pd.concat([table, extra], ignore_index=True)
