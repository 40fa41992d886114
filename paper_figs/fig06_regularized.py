"""Figure 6: with tuned regularisation the loss falls with size, towards a limit."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.story.story import Story
from paper_figs.style import (
    COLORS,
    MARKERS,
    UNCERTIFIED,
    human,
    limit_line,
    log_ticks,
    mark_uncertified,
    spread_x,
)
from scaling.published import talk

NAME = "fig06"
TITLE = "Tuned regularisation: scaling with parameters and its limit"
CAPTION = (
    "Left: test loss against model size with learning rate, weight decay and epochs tuned at "
    "every size (beside it; one point a seed), the fitted law E + A / N^alpha with its "
    "extrapolation dashed, and its limit E with a 95 % interval; the standard recipe, learning "
    f"rate and epochs tuned, for comparison. {UNCERTIFIED} Right, published: 3.43 + 0.05 / N^1.02, "
    "N in billions, on 200M tokens, and the standard recipe (Kim et al. 2025, arXiv 2509.14786)."
)


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw the tuned losses, the law and its limit, ours beside the published one."""
    n = "n_params_non_embedding"
    best, fit = story.regularized.best, story.laws.single
    figure, (ax, published) = plt.subplots(
        1, 2, figsize=(9.2, 4.2), gridspec_kw={"width_ratios": [1.7, 1]}
    )
    standard = story.standard_best.groupby(n)["test_loss"].mean()
    ax.plot(standard.index, standard, color=COLORS[1], marker=MARKERS[1], label="standard recipe")
    mark_uncertified(
        ax, standard.index.tolist(), standard.tolist(),
        [found.tuned for _, found in sorted(story.standard_certificates.items())],
        color=COLORS[1], marker=MARKERS[1],
    )  # fmt: skip
    for width, rows in best.groupby("width"):
        tuned = story.regularized.tuned[int(str(width))]
        ax.plot(
            rows[n], rows["test_loss"], MARKERS[0], color=COLORS[0],
            label="tuned, one point a seed" if width == best["width"].min() else None,
        )  # fmt: skip
        mark_uncertified(
            ax, rows[n].tolist(), rows["test_loss"].tolist(), [tuned] * len(rows),
            color=COLORS[0], marker=MARKERS[0],
        )  # fmt: skip
        learning_rate, weight_decay, n_epochs = tuned.point
        ax.annotate(
            f"lr {learning_rate:g}\nwd {weight_decay:g}\n{n_epochs:g} ep",
            (rows[n].iloc[0], rows["test_loss"].max()),
            textcoords="offset points", xytext=(0, 6), ha="center", fontsize=8, color=COLORS[0],
        )  # fmt: skip
    inside = spread_x(best[n].min(), best[n].max())
    beyond = spread_x(best[n].max(), 30 * best[n].max())
    for sizes, linestyle in ((inside, "-"), (beyond, "--")):
        mean = fit.predict(pd.DataFrame({n: sizes}))["mean"]
        ax.plot(sizes, mean, color=COLORS[0], linestyle=linestyle, linewidth=1.2)
    limit_line(ax, story.laws.single_limit, color=COLORS[2], label="limit")
    log_ticks(ax, [*best[n].unique(), 30 * best[n].max()])
    ax.set(xlabel="non-embedding parameters", ylabel="test loss (nats per token)", title="here")
    ax.legend(loc="upper right")

    law = talk.REGULARIZED_LAW
    sizes = np.geomspace(150e6, 14e9, 200)
    published.plot(
        talk.STANDARD["n_params"], talk.STANDARD["loss"], color=COLORS[1], marker=MARKERS[1],
        label="standard recipe",
    )  # fmt: skip
    curve = law["E"] + law["A"] / (sizes / talk.BILLION) ** law["alpha"]
    published.plot(sizes, curve, color=COLORS[0], label="regularised law")
    published.axhline(law["E"], color=COLORS[2], linestyle="--", label=f"limit {law['E']}")
    published.set_xscale("log")
    published.xaxis.set_major_formatter(lambda value, _: human(value))
    published.set(xlabel="parameters", title="published: 200M tokens")
    published.legend()
    columns = [
        "width", n, "learning_rate", "weight_decay", "n_epochs", "seed", "validation_loss",
        "test_loss",
    ]  # fmt: skip
    law = fit.predict(best[[n]])["mean"].to_numpy()
    tuned_of = {"tuned": story.regularized.certificates, "standard": story.standard_certificates}
    tables = [
        table[columns].assign(
            series=series, certified=[tuned_of[series][w].tuned.certified for w in table["width"]]
        )
        for series, table in (("tuned", best.assign(law=law)), ("standard", story.standard_best))
    ]
    return figure, pd.concat(tables, ignore_index=True)
