"""Figure 14: continued training on a small domain, step by step along the recipe."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis import intervals
from experiments.recipes.continued.recipe import continued
from experiments.story.story import Story
from paper_figs.layout import Place, panel
from paper_figs.style import BLACK, COLORS, MARKERS, error_bars, look
from scaling.published.figures import KIM
from scaling.published.talk import CONTINUED, CONTINUED_MEANS

NAME = "fig14"
CLAIMS = ("P18", "P18a", "P18b", "P18c", "P18d")
NEEDS = (continued,)
TITLE = "Continued training on few tokens of a domain: small batches, epochs and ensembles"
CAPTION = (
    "Always on docstrings of Python's standard library: a model trained on the others continues "
    "training on those of graphical interfaces, with 10 % of its original text replayed. Test loss "
    "on the domain, means and 95 % intervals over draws of it; learning rate and epochs were "
    "chosen on another draw. Dashed: the usual recipe on many times the tokens. Members differ in "
    "the order of their data and start from the same model."
)
STEPS = ("base", "usual", "small batch", "epochs")
"""Steps of the recipe before ensembles."""
_PRINTED = CONTINUED.set_index("benchmark").loc["average"]
_OFF = CONTINUED_MEANS[(CONTINUED_MEANS - _PRINTED).abs() > 0.01]
"""Means that the printed averages do not round."""
_DIFFERENT = ", ".join(
    f"{step.removeprefix('epochs, ')}: printed {_PRINTED[step]:.2f}, mean {mean:.2f}"
    for step, mean in _OFF.items()
)
PUBLISHED_TITLE = "Eight models on 4B tokens beat one on 73B"
PUBLISHED_CAPTION = (
    f"Published (table of the talk; {KIM}): accuracy after continued pre-training of Llama 3B on "
    "4B MegaMath tokens, step by step along the recipe, and on all 73B tokens with the default "
    "recipe (hollow, dotted line). Black: averages as printed; where the mean of the three "
    f"benchmarks differs from them by more than rounding, it is a black cross ({_DIFFERENT}). No "
    "intervals are published."
)


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw loss for each step of the recipe, from the base model to the largest ensemble.

    The frame has columns `step`, `n_tokens`, `n_epochs`, `batch`, `learning_rate`, `test_loss`,
    `low` and `high`.
    """
    found = story[continued]
    sizes = sorted(found.losses.loc[found.losses["name"] == "ensemble", "n_members"].unique())
    steps = [(name, name, 1) for name in STEPS]
    steps += [(f"{n} members", "ensemble", int(n)) for n in sizes if n > 1]
    rows = []
    for label, name, n in [*steps, ("many tokens", "many tokens", 1)]:
        losses = intervals.mean_estimate(found.of(name, n))
        how = found.losses[found.losses["name"] == name].iloc[0]
        rows.append(
            {
                "step": label, "n_tokens": how["n_tokens"], "n_epochs": how["n_epochs"],
                "batch": how["batch"], "learning_rate": how["learning_rate"],
                "test_loss": losses.value, "low": losses.low, "high": losses.high,
            }
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    few, many = frame.iloc[:-1], frame.iloc[-1]
    ax = panel(ax)
    at = np.arange(len(few))
    errors = error_bars(few["test_loss"], few["low"], few["high"])
    label = f"{few['n_tokens'].iloc[-1]:,.0f} tokens"
    ax.errorbar(
        at, few["test_loss"], yerr=errors, capsize=3, label=label, **look("regularized").line
    )
    usual = look("standard").color
    label = f"usual recipe, {many['n_tokens']:,.0f} tokens"
    ax.axhline(many["test_loss"], color=usual, linestyle="--", label=label)
    ax.axhspan(many["low"], many["high"], color=usual, alpha=0.1, linewidth=0)
    ax.set_xticks(at, few["step"].str.replace(" ", "\n"))
    ax.set(ylabel="test loss on the domain (nats per token)")
    ax.legend()
    return ax, frame


def draw_published(ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw one line per benchmark over the steps of the recipe.

    The columns of the frame are those of `talk.CONTINUED`; its last row has the means of the three
    benchmarks.
    """
    table = CONTINUED
    steps = list(table.columns[1:-1])
    ax = panel(ax, wide=1.2)
    for i, (benchmark, row) in enumerate(table.set_index("benchmark").iterrows()):
        strong = benchmark == "average"
        color = BLACK if strong else COLORS[i]
        ax.plot(
            range(len(steps)), row[steps], color=color, marker=MARKERS[i],
            linewidth=2 if strong else 1.2, label=str(benchmark),
        )  # fmt: skip
        ax.axhline(row["73B tokens"], color=color, linestyle=":", linewidth=1)
        ax.plot(len(steps), row["73B tokens"], MARKERS[i], color=color, fillstyle="none")
    ax.set_xticks(range(len(steps) + 1), [name.replace(", ", "\n") for name in table.columns[1:]])
    ax.set(ylabel="accuracy (%)", ylim=(0, 68))
    ax.plot(
        [steps.index(step) for step in _OFF.index], _OFF, "x", color=BLACK, markersize=7,
        label="mean of the three",
    )  # fmt: skip
    ax.legend(ncols=2, loc="upper left")
    means = pd.DataFrame([{"benchmark": "mean of the three", **CONTINUED_MEANS}])
    return ax, pd.concat([table, means], ignore_index=True)
