"""Figure 7: n-gram and neural models, and their mixture."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.recipes.classical import classical
from experiments.story.story import Story
from paper_figs.layout import Place, panel, panels
from paper_figs.style import COLORS, GREY, MARKERS, log_ticks, look
from scaling.published import talk

NAME = "fig07"
CLAIMS = ("P20",)
NEEDS = (classical,)
TITLE = "N-gram and neural models, alone and mixed"
CAPTION = (
    "Test perplexity of a Kneser-Ney n-gram model and of single neural models of every size and "
    "recipe (standard, tuned, and tuned as ensemble members), all trained on the same unique "
    "tokens, with their weights in the mixture; below, hatched, the mixtures, whose weights were "
    "fitted on the validation set. Perplexities over different vocabularies are not comparable."
)
KINDS = ("classical", "standard", "tuned", "member")
PUBLISHED_TITLE = "A mixture of n-gram and neural models beats each of them"
PUBLISHED_CAPTION = (
    f"Published ({talk.HEREL}; table of the talk): perplexity of seven models on the Penn Treebank "
    "and WikiText-2, test (filled) and validation (hollow; for the Penn Treebank computed from the "
    "authors' probabilities of words), and of the mixture of their probabilities (dashed, with its "
    "validation perplexity in brackets). Printed beside each: its test perplexity and its weight, "
    "which was fitted on the validation set. The 5-gram, the worst model by far, still gets a "
    "weight."
)
CORPORA = {
    "Penn Treebank": (talk.MIXTURE, talk.MIXTURE_PERPLEXITY),
    "WikiText-2": (talk.MIXTURE_WIKITEXT, talk.MIXTURE_WIKITEXT_PERPLEXITY),
}


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw one bar per model.

    The frame has columns `model`, `kind`, `width`, `validation_loss`, `test_loss`, `perplexity`
    and `weight`.
    """
    found = story[classical]
    models = found.models.assign(perplexity=np.exp(found.models["test_loss"]))
    mixtures = {
        "mixture of the neural ones": "neural",
        "mixture of all": "mixture",
        found.ensemble: "ensemble",
        f"{found.ensemble}\nwith Kneser-Ney": "ensemble_classical",
    }
    mixed = pd.DataFrame({"model": list(mixtures), "kind": "mixture"}).assign(
        perplexity=[found.perplexity(name) for name in mixtures.values()]
    )
    ours = pd.concat([models.sort_values("perplexity", ascending=False), mixed], ignore_index=True)
    ax = panel(ax, wide=1.25, tall=0.12 + 0.065 * len(ours))
    _bars(ax, ours)
    ax.set_title(f"{story.world.n_unique_tokens:,} tokens of {story.world.corpus}")
    return ax, ours


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
            textcoords="offset points", va="center", fontsize="small",
        )  # fmt: skip
    ax.set_yticks(places, table["model"], fontsize="small")
    ax.set(xlabel="test perplexity", xlim=(0, 1.35 * table["perplexity"].max()))
    ax.grid(axis="y", visible=False)


def draw_published(ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw perplexities, one row per model and one panel per corpus.

    The frame has columns `corpus`, `model`, `valid`, `perplexity` and `weight`.
    """
    axes = panels(ax, 1, 2, wide=1.5, tall=0.95, sharey=True)
    frames = []
    models = talk.MIXTURE.sort_values("perplexity", ascending=False)["model"].tolist()
    for one, (corpus, (table, mixture)) in zip(axes, CORPORA.items(), strict=True):
        rows = table.set_index("model").loc[models].reset_index()
        one.plot(
            rows["valid"], rows.index, MARKERS[0], color=COLORS[0], fillstyle="none",
            label="validation",
        )  # fmt: skip
        one.plot(rows["perplexity"], rows.index, MARKERS[0], color=COLORS[0], label="test")
        label = f"mixture: {mixture['test']:.2f} ({mixture['valid']:.2f})"
        one.axvline(mixture["test"], color=COLORS[1], linestyle="--", label=label)
        right = rows[["perplexity", "valid"]].max(axis=1)
        for row, end in zip(rows.itertuples(), right, strict=True):
            one.annotate(
                f"{row.perplexity:.2f}, weight {row.weight:.2f}", (end, row.Index), xytext=(8, 0),
                textcoords="offset points", va="center", fontsize="small",
            )  # fmt: skip
        ends = 0.9 * mixture["test"], 2.6 * right.max()
        log_ticks(one, [tick for tick in (50, 60, 80, 100, 150, 200, 300) if tick < ends[1]])
        one.set(xlabel="perplexity", xlim=ends, title=corpus)
        one.legend(loc="lower right")
        mixed = {"model": "mixture", "valid": mixture["valid"], "perplexity": mixture["test"]}
        frames.append(pd.concat([rows, pd.DataFrame([mixed])]).assign(corpus=corpus))
    axes[0].set_yticks(range(len(models)), models)
    axes[0].set_ylim(len(models) + 0.4, -0.6)
    return axes, pd.concat(frames, ignore_index=True)
