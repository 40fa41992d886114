"""Figure 14: going on in a small domain, rung by rung."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.analysis import intervals
from experiments.story.story import Story
from paper_figs.style import COLORS, MARKERS

NAME = "fig14"
TITLE = "Few tokens of a domain: smaller batches, epochs and ensembles against many tokens"
CAPTION = (
    "A model trained on the other docstrings goes on with those of graphical interfaces, 10 % of "
    "its text replayed. Test loss on the domain, means and 95 % intervals over draws of it; "
    "learning rate and epochs chosen on another draw. Dashed: the usual recipe on many times the "
    "tokens. Members differ in the order of their data and start from the same model."
)
LADDER = ("base", "usual", "small batch", "epochs")


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw the ladder from the base model to the largest ensemble."""
    found = story.result("continued")
    sizes = sorted(found.losses.loc[found.losses["name"] == "ensemble", "n_members"].unique())
    rungs = [(name, name, 1) for name in LADDER]
    rungs += [(f"{n} members", "ensemble", int(n)) for n in sizes if n > 1]
    rows = []
    for label, name, n in [*rungs, ("many tokens", "many tokens", 1)]:
        losses = intervals.mean_estimate(found.of(name, n))
        how = found.losses[found.losses["name"] == name].iloc[0]
        rows.append(
            {
                "rung": label, "n_tokens": how["n_tokens"], "n_epochs": how["n_epochs"],
                "batch": how["batch"], "learning_rate": how["learning_rate"],
                "test_loss": losses.value, "low": losses.low, "high": losses.high,
            }
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    ladder, many = frame.iloc[:-1], frame.iloc[-1]
    figure, ax = plt.subplots(figsize=(6.8, 3.9))
    at = np.arange(len(ladder))
    errors = [ladder["test_loss"] - ladder["low"], ladder["high"] - ladder["test_loss"]]
    ax.errorbar(at, ladder["test_loss"], yerr=errors, color=COLORS[0], marker=MARKERS[0], capsize=3)
    label = f"usual recipe, {many['n_tokens']:,.0f} tokens"
    ax.axhline(many["test_loss"], color=COLORS[1], linestyle="--", label=label)
    ax.axhspan(many["low"], many["high"], color=COLORS[1], alpha=0.1, linewidth=0)
    ax.set_xticks(at, ladder["rung"])
    ax.set(ylabel="test loss on the domain (nats per token)")
    ax.legend()
    return figure, frame
