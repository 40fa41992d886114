"""Figure 6: with tuned regularization the loss falls with model size towards a limit."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.display.quantities import human
from experiments.story.story import Story
from paper_figs.style import (
    BLACK,
    COLORS,
    GREY,
    MARKERS,
    UNCERTIFIED,
    limit_line,
    log_counts,
    log_ticks,
    look,
    mark_uncertified,
    spread_x,
)
from scaling import PUBLISHED_FIGURES
from scaling.published import talk
from scaling.published.figures import KIM
from scaling.published.talk import infinite_compute

NAME = "fig06"
CLAIMS = ("P5", "P6", "P7")
TITLE = "Tuned regularization: scaling with parameters and its limit"
CAPTION = (
    "Left: test loss against model size with learning rate, weight decay and epochs tuned at "
    "every size (printed beside the points; one point per seed), the fitted law E + A / N^alpha, "
    "dashed where it extrapolates, and its limit E with a 95 % interval (neither, if these runs do "
    "not identify it). For comparison, the "
    f"standard recipe with learning rate and epochs tuned. {UNCERTIFIED} Right, published: 3.43 + "
    f"0.05 / N^1.02, N in billions, on 200M tokens, and the standard recipe ({KIM})."
)
PUBLISHED_TITLE = "With tuned weight decay the loss falls with size towards a limit"
PUBLISHED_CAPTION = (
    f"Published ({KIM}), 200M tokens. Left: the law 3.43 + 0.05 / (N/1e9)^1.02 of single models "
    "with learning rate, epochs and weight decay tuned at each size (printed below it), its "
    "limit, the one loss that is printed (300M), and the standard recipe. The losses behind the "
    "law are not published, so it cannot be refitted. Right: the best weight decay against "
    "parameters per unique token, for four sizes and four stocks of tokens; the line is a "
    "least-squares fit in logarithms, made here."
)


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw the tuned losses, the law and its limit, ours beside the published one.

    The frame has columns `series`, `width`, `n_params_non_embedding`, `learning_rate`,
    `weight_decay`, `n_epochs`, `seed`, `validation_loss`, `test_loss` and `certified`.
    """
    n = "n_params_non_embedding"
    best, fit = story.regularized.best, story.laws.single
    figure, (ax, published) = plt.subplots(
        1, 2, figsize=(9.2, 4.2), gridspec_kw={"width_ratios": [1.7, 1]}
    )
    standard = story.standard_best.groupby(n)["test_loss"].mean()
    usual, regularized = look("standard"), look("regularized")
    ax.plot(standard.index, standard, label=usual.label, **usual.line)
    mark_uncertified(
        ax, standard.index.tolist(), standard.tolist(),
        [found.tuned for _, found in sorted(story.standard_certificates.items())], **usual.line,
    )  # fmt: skip
    smallest = best["width"].min()
    for width, rows in best.groupby("width"):
        tuned = story.regularized.tuned[int(str(width))]
        ax.plot(
            rows[n], rows["test_loss"], regularized.marker, color=regularized.color,
            label=f"{regularized.label}, one point a seed" if width == smallest else None,
        )  # fmt: skip
        mark_uncertified(
            ax, rows[n].tolist(), rows["test_loss"].tolist(), [tuned] * len(rows),
            **regularized.line,
        )  # fmt: skip
        learning_rate, weight_decay, n_epochs = tuned.point
        ax.annotate(
            f"lr {learning_rate:g}\nwd {weight_decay:g}\n{n_epochs:g} ep",
            (rows[n].iloc[0], rows["test_loss"].max()),
            textcoords="offset points", xytext=(0, 6), ha="center", fontsize=8,
            color=regularized.color,
        )  # fmt: skip
    inside = spread_x(best[n].min(), best[n].max())
    beyond = spread_x(best[n].max(), 30 * best[n].max())
    # Without an identified limit the law is not drawn beyond the sizes that were measured.
    extrapolated = [(beyond, "--")] if story.laws.single_limit.is_bounded else []
    for sizes, linestyle in ((inside, "-"), *extrapolated):
        mean = fit.evaluate({n: sizes})
        ax.plot(sizes, mean, color=regularized.color, linestyle=linestyle, linewidth=1.2)
    limit_line(ax, story.laws.single_limit, color=regularized.color, label="limit")
    log_ticks(ax, [*best[n].unique(), 30 * best[n].max()])
    ax.set(xlabel="non-embedding parameters", ylabel="test loss (nats per token)", title="here")
    ax.legend(loc="upper right")

    law = talk.REGULARIZED_LAW
    sizes = np.geomspace(150e6, 14e9, 200)
    published.plot(
        talk.STANDARD["n_params"], talk.STANDARD["loss"], label=usual.label, **usual.line
    )
    curve = law["E"] + law["A"] / (sizes / talk.BILLION) ** law["alpha"]
    published.plot(sizes, curve, color=regularized.color, label=f"{regularized.label}, law")
    published.axhline(law["E"], color=regularized.color, linestyle="--", label=f"limit {law['E']}")
    log_counts(published)
    published.set(xlabel="parameters", title="published: 200M tokens")
    published.legend()
    columns = [
        "width", n, "learning_rate", "weight_decay", "n_epochs", "seed", "validation_loss",
        "test_loss",
    ]  # fmt: skip
    tuned_of = {"tuned": story.regularized.certificates, "standard": story.standard_certificates}
    tables = [
        table[columns].assign(
            series=series, certified=[tuned_of[series][w].tuned.certified for w in table["width"]]
        )
        for series, table in (("tuned", best), ("standard", story.standard_best))
    ]
    return figure, pd.concat(tables, ignore_index=True)


def draw_published() -> tuple[Figure, pd.DataFrame]:
    """Draw the law with its limit, and the tuned decay against N/D.

    The frame has columns `panel`, `x` and `y`.
    """
    figure, (ax, decay) = plt.subplots(
        1, 2, figsize=(9.6, 4.2), gridspec_kw={"width_ratios": [1.4, 1]}
    )
    return figure, pd.concat([_law(ax), _decay(decay)], ignore_index=True)


def _law(ax: Axes) -> pd.DataFrame:
    law, sizes = talk.REGULARIZED_LAW, np.geomspace(150e6, 14e9, 120)
    loss = law["E"] + law["A"] / (sizes / talk.BILLION) ** law["alpha"]
    inside = sizes <= 1.4e9
    usual, regularized = look("standard"), look("regularized")
    ax.plot(talk.STANDARD["n_params"], talk.STANDARD["loss"], label=usual.label, **usual.line)
    ax.plot(sizes[inside], loss[inside], color=regularized.color, label=f"{regularized.label}, law")
    ax.plot(sizes[~inside], loss[~inside], color=regularized.color, linestyle="--")
    one = PUBLISHED_FIGURES["single_loss"].value
    ax.plot(300e6, one, linestyle="none", label=f"printed, 300M: {one}", **regularized.line)
    ax.axhline(law["E"], color=regularized.color, linestyle=":", label=f"limit {law['E']}")
    for row in talk.TUNED.itertuples():
        ax.annotate(
            f"lr {row.learning_rate:g}\nwd {row.weight_decay:g}\n{row.n_epochs} ep",
            (row.n_params, law["E"] - 0.03), ha="center", va="top", fontsize=8,
            color=regularized.color,
        )  # fmt: skip
    log_counts(ax)
    ax.set(
        ylim=(3.2, 3.9),
        xlim=(1.1e8, 1.5e10),
        xlabel="parameters",
        ylabel="held-out loss (nats per token)",
    )
    ax.legend(loc="upper right")
    return pd.DataFrame({"panel": "law", "x": sizes, "y": loss})


def _decay(ax: Axes) -> pd.DataFrame:
    rows = infinite_compute("tuned_hparams")
    rows = rows[(rows["recipe"] == "regularized") & rows["n_params"].notna()]
    rows = rows.assign(ratio=rows["n_params"] / rows["n_unique_tokens"])
    slope, at_one = np.polyfit(np.log(rows["ratio"]), np.log(rows["weight_decay"]), 1)
    for i, (tokens, part) in enumerate(rows.groupby("n_unique_tokens")):
        ax.plot(
            part["ratio"], part["weight_decay"], MARKERS[i], color=COLORS[i],
            label=f"{human(float(str(tokens)))} tokens",
        )  # fmt: skip
    ends = np.array([rows["ratio"].min(), rows["ratio"].max()])
    ax.plot(
        ends, np.exp(at_one) * ends**slope, color=BLACK, linewidth=1,
        label=f"(N/D)^{slope:.2f}",
    )  # fmt: skip
    ax.axhline(0.1, color=GREY, linestyle=":", label="the usual 0.1")
    ax.set(xscale="log", yscale="log", xlabel="parameters per unique token", ylabel="best decay")
    ax.set_yticks([0.1, 0.4, 1.6, 6.4], ["0.1", "0.4", "1.6", "6.4"])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    return pd.DataFrame({"panel": "decay", "x": rows["ratio"], "y": rows["weight_decay"]})
