"""Figure 12: how much of the gain of an ensemble one student keeps, and repeated self-training."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis.intervals import mean_estimate
from experiments.recipes.distillation import ARMS, distillation
from experiments.story.story import Story
from paper_figs.layout import Place, panel, panels
from paper_figs.style import error_bars, look
from scaling import PUBLISHED_FIGURES
from scaling.published.figures import KIM

NAME = "fig12"
CLAIMS = ("P14", "P14a", "P15", "P16")
NEEDS = (distillation,)
TITLE = "Distillation and self-distillation, with their controls"
CAPTION = (
    "Left: test loss of students of the size of a member, all trained for the same number of "
    "steps, by their training data (means over seeds with 95 % intervals); dashed: the tuned "
    "single model and the ensemble that is the teacher. Hollow: the weight decay selected on "
    "validation data is the smallest or largest candidate. Right: generations of self-training, "
    "each with the previous one as teacher, on real and synthetic text (filled, solid) and on "
    "synthetic text only (hollow, dashed)."
)
TAUGHT = {
    "ensemble": "distilled",
    "pooled": "distilled",
    "soft": "distilled",
    "soft ensemble": "distilled",
    "ensemble only": "distilled",
    "self": "self-distilled",
    "self only": "self-distilled",
    "real": "regularized",
}
"""Name in `paper_figs.style.LOOKS` of the students of each arm."""
PUBLISHED_TITLE = "One small student keeps most of an ensemble's gain; self-distillation helps too"
PUBLISHED_CAPTION = (
    f"Published ({KIM}; losses of 300M models on 200M tokens). Top: a regularized model, the "
    "ensemble of eight that is the teacher, and its student; the share of the gain that the "
    "student keeps is computed from these three. Bottom: self-distillation from a model tuned as a "
    "member of an ensemble: synthetic text alone, and mixed with real text one to one and three to "
    "one."
)
_ROWS = (
    ("one regularized model", "single_loss", "regularized"),
    ("ensemble of eight", "eight_members_loss", "ensemble"),
    ("student of the eight", "distilled_loss", "distilled"),
    ("teacher of itself", "member_loss", "regularized"),
    ("synthetic text only", "synthetic_only_loss", "self-distilled"),
    ("one synthetic to one real", "synthetic_one_to_one_loss", "self-distilled"),
    ("three synthetic to one real", "self_distilled_loss", "self-distilled"),
)


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw students by arm and by generation.

    The frame has columns `arm`, `reads`, `generation`, `test_loss`, `low`, `high`, `kept`,
    `kept_low`, `kept_high`, `weight_decay`, `is_edge` and `n_seeds`.
    """
    found = story[distillation]
    axes = ax, loops = panels(ax, 1, 2, wide=1.5, tall=1.05, width_ratios=(1.3, 1))
    rows = []
    single_look, ensemble = look("regularized"), look("ensemble")
    for i, arm in enumerate(found.arms):
        loss = mean_estimate(found.losses(arm))
        arms = found.students[found.students["arm"] == arm]
        is_edge = bool(arms["is_edge"].any())
        ax.errorbar(
            [loss.value], [i], xerr=error_bars(loss.value, loss.low, loss.high), capsize=3,
            markersize=8, markerfacecolor="white" if is_edge else None, **look(TAUGHT[arm]).line,
        )  # fmt: skip
        kept = found.kept(arm)
        rows.append(
            {
                "arm": arm, "reads": ARMS[arm], "test_loss": loss.value, "low": loss.low,
                "high": loss.high, "kept": kept.value, "kept_low": kept.low,
                "kept_high": kept.high, "weight_decay": arms["weight_decay"].iloc[0],
                "is_edge": is_edge, "n_seeds": loss.n, "generation": 1,
            }
        )  # fmt: skip
    ax.set_yticks(range(len(found.arms)), [textwrap.fill(ARMS[arm], 24) for arm in found.arms])
    ax.invert_yaxis()
    single = float(found.single.mean())
    for value, name, color in (
        (single, single_look.label, single_look.color),
        (found.teacher, f"{ensemble.label} of {found.n_members}", ensemble.color),
    ):
        ax.axvline(value, color=color, linestyle="--", linewidth=1.2, label=f"{name}: {value:.3f}")
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
    ax.set(xlabel="test loss (nats per token)")

    last = int(found.students["generation"].max())
    for arm, label, linestyle, aside in (
        ("self", "real and synthetic text", "-", -0.05),
        ("self only", "synthetic text only", "--", 0.05),
    ):
        losses = [mean_estimate(found.losses(arm, g)) for g in range(1, last + 1)]
        values = [single, *(loss.value for loss in losses)]
        half = [0.0, *(np.nan_to_num(loss.high - loss.value, posinf=0) for loss in losses)]
        loops.errorbar(
            aside + np.arange(last + 1), values, yerr=half, capsize=3, linestyle=linestyle,
            label=label, markersize=8, markerfacecolor=None if linestyle == "-" else "white",
            **look("self-distilled").line,
        )  # fmt: skip
        rows += [
            {"arm": arm, "reads": ARMS[arm], "test_loss": loss.value, "low": loss.low,
             "high": loss.high, "n_seeds": loss.n, "generation": generation}
            for generation, loss in enumerate(losses, 1)
            if generation > 1
        ]  # fmt: skip
    loops.set_xticks(range(last + 1))
    loops.set(xlabel="generation of self-training (0: real text)")
    loops.legend(loc="upper left")

    for name, value in (("single", single), ("teacher", found.teacher)):
        rows.append({"arm": name, "reads": "", "test_loss": float(value), "generation": 0})
    return axes, pd.DataFrame(rows)


def draw_published(ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw one point per model.

    The frame has columns `model`, `loss` and `share_kept`.
    """
    table = pd.DataFrame(_ROWS, columns=["model", "figure", "recipe"])
    table["loss"] = [PUBLISHED_FIGURES[name].value for name in table["figure"]]
    ax = panel(ax, wide=1.2)
    places = [7.0, 6.0, 5.0, 3.4, 2.4, 1.4, 0.4]
    for place, row in zip(places, table.itertuples(), strict=True):
        ax.plot(row.loss, place, markersize=7, **look(str(row.recipe)).line)
        ax.annotate(
            f"{row.loss:.3g}", (row.loss, place), xytext=(8, 0), textcoords="offset points",
            va="center", fontsize="small",
        )  # fmt: skip
    one, eight, student = table["loss"][:3]
    kept = (one - student) / (one - eight)
    ax.annotate("", (student, 5.35), (one, 5.35), arrowprops={"arrowstyle": "->", "lw": 1})
    ax.text(
        (one + student) / 2, 5.5, f"{100 * kept:.0f} % of the gain", ha="center", fontsize="small"
    )
    ax.set_yticks(places, table["model"])
    ax.set(xlabel="held-out loss (nats per token)", xlim=(3.25, 4.2), ylim=(-0.2, 7.6))
    return ax, table[["model", "loss"]].assign(share_kept=kept)
