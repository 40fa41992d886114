"""Figure 7: classical and neural models, and their mixture."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.recipes.classical import Classical
from experiments.story.story import Story
from paper_figs.style import COLORS
from scaling.published import talk

NAME = "fig07"
TITLE = "Classical and neural models, alone and mixed"
CAPTION = (
    "Left: test perplexity of a Kneser-Ney n-gram model and of single neural models of every size "
    "and recipe (standard, tuned, and tuned as ensemble members), all trained on the same unique "
    "tokens, with their weight in the mixture; below, the mixtures, whose weights were learned on "
    "the validation part. Right, published: the same on the Penn Treebank (Herel and Mikolov 2023, "
    "arXiv 2312.03735). Perplexities of different vocabularies do not compare."
)
KINDS = {"classical": COLORS[1], "standard": COLORS[4], "tuned": COLORS[0], "member": COLORS[2]}


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw a bar a model, ours beside the published ones."""
    found: Classical = story.result("classical")
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
    mixture = {"model": "mixture of all", "kind": "mixture", "perplexity": talk.MIXTURE_PERPLEXITY}
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
        places, table["perplexity"], color=[KINDS.get(kind, "#777777") for kind in table["kind"]],
        height=0.7, hatch=["//" if kind == "mixture" else "" for kind in table["kind"]],
        edgecolor="white",
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
