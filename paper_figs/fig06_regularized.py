"""Figure 6: with tuned regularization the loss falls with model size towards a limit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis.laws import N
from experiments.recipes.ensembles import ensembles
from experiments.recipes.regularized import regularized
from experiments.recipes.standard import standard
from experiments.story.story import Story
from paper_figs.layout import Place, panel, panels
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
    print_below,
    spread_x,
)
from scaling import PUBLISHED_FIGURES
from scaling.published import talk
from scaling.published.figures import KIM

NAME = "fig06"
N_BAND = 12  # points of a band, whose intervals take time
CLAIMS = ("P5", "P6", "P7")
NEEDS = (standard, regularized, ensembles)
TITLE = "Tuned regularization: scaling with parameters and its limit"
CAPTION = (
    "Test loss against model size with learning rate, weight decay and epochs tuned at every size "
    "(printed at the bottom; one point per seed), the fitted law E + A / N^alpha with the 95 % "
    "band of its mean, dashed where it extrapolates, and its limit E with a 95 % interval (no "
    "limit, if these runs do not identify it). For comparison, the standard recipe at "
    f"its best epochs. {UNCERTIFIED}"
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


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw the tuned losses, the law and its limit.

    The frame has columns `series`, `width`, `n_params_non_embedding`, `learning_rate`,
    `weight_decay`, `n_epochs`, `seed`, `validation_loss`, `test_loss`, `certified`, `low` and
    `high`; the last two are of the series "law" and "limit".
    """
    ax = panel(ax)
    best = story.regularized.best
    standard = story.standard_best.groupby(N)["test_loss"].mean()
    usual, regularized = look("standard"), look("regularized")
    ax.plot(standard.index, standard, label=usual.label, **usual.line)
    mark_uncertified(
        ax, standard.index.tolist(), standard.tolist(),
        [found.tuned for _, found in sorted(story.standard_certificates.items())], **usual.line,
    )  # fmt: skip
    for i, (width, rows) in enumerate(best.groupby("width")):
        tuned = story.regularized.tuned[int(str(width))]
        ax.plot(
            rows[N], rows["test_loss"], regularized.marker, color=regularized.color,
            label=None if i else f"{regularized.label}, one point per seed",
        )  # fmt: skip
        mark_uncertified(
            ax, rows[N].tolist(), rows["test_loss"].tolist(), [tuned] * len(rows),
            **regularized.line,
        )  # fmt: skip
        learning_rate, weight_decay, n_epochs = tuned.point
        settings = f"{learning_rate:g}\n{weight_decay:g}\n{n_epochs:g}"
        print_below(ax, rows[N].iloc[0], settings, regularized.color)
    print_below(ax, best[N].min() / 1.6, "lr\nwd\nep", regularized.color)
    law = _draw_law(ax, story)
    limit = limit_line(ax, story.laws.single_limit, color=regularized.color, label="limit")
    log_ticks(ax, [*best[N].unique(), 30 * best[N].max()])
    ax.set_xlim(left=best[N].min() / 2)  # room for the settings of the smallest
    ax.set(xlabel="non-embedding parameters", ylabel="test loss (nats per token)")
    ax.legend(loc="upper right")
    columns = [
        "width", N, "learning_rate", "weight_decay", "n_epochs", "seed", "validation_loss",
        "test_loss",
    ]  # fmt: skip
    means = standard.reset_index().assign(series="standard, mean")
    tuned_of = {"tuned": story.regularized.certificates, "standard": story.standard_certificates}
    tables = [
        table[columns].assign(
            series=series, certified=[tuned_of[series][w].tuned.certified for w in table["width"]]
        )
        for series, table in (("tuned", best), ("standard", story.standard_best))
    ]
    end = pd.DataFrame([{"series": "limit", N: np.inf, **limit}])
    return ax, pd.concat([*tables, means, law, end], ignore_index=True)


def _draw_law(ax: Axes, story: Story) -> pd.DataFrame:
    """Draw the law of tuned single models, beyond the measured sizes only if it has a limit."""
    fit, color = story.laws.single, look("regularized").color
    measured = story.regularized.best[N]
    identified = story.laws.single_limit.is_bounded
    last = 30 * measured.max() if identified else measured.max()
    sizes = np.union1d(spread_x(measured.min(), last, 100), [measured.max()])
    mean = fit.evaluate({N: sizes})
    for part, linestyle in ((sizes <= measured.max(), "-"), (sizes >= measured.max(), "--")):
        ax.plot(sizes[part], mean[part], color=color, linestyle=linestyle, linewidth=1.2)
    rows = pd.DataFrame({"series": "law", N: sizes, "test_loss": mean})
    if identified:
        few = spread_x(measured.min(), last, N_BAND)
        band = fit.predict({N: few})
        ax.fill_between(few, band["low"], band["high"], color=color, alpha=0.12, lw=0)
        band = band[["low", "high"]].assign(**{"series": "law, band", N: few})
        rows = pd.concat([rows, band], ignore_index=True)
    return rows


def draw_published(ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw the law with its limit, and the tuned decay against N/D.

    The frame has columns `panel`, `series`, `x` and `y`.
    """
    axes = panels(ax, 1, 2, wide=1.5, width_ratios=(1.4, 1))
    return axes, pd.concat([_law(axes[0]), _decay(axes[1])], ignore_index=True)


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
            (row.n_params, law["E"] - 0.03), ha="center", va="top", fontsize="small",
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
    drawn = {
        "law": (sizes, loss),
        "limit": ([np.inf], [law["E"]]),
        "printed": ([300e6], [one]),
        "standard": (talk.STANDARD["n_params"], talk.STANDARD["loss"]),
    }
    frames = [pd.DataFrame({"series": name, "x": x, "y": y}) for name, (x, y) in drawn.items()]
    return pd.concat(frames, ignore_index=True).assign(panel="law")


def _decay(ax: Axes) -> pd.DataFrame:
    rows = talk.TUNED_DECAY
    rows = rows.assign(ratio=rows["n_params"] / rows["n_unique_tokens"])
    slope, at_one = np.polyfit(np.log(rows["ratio"]), np.log(rows["weight_decay"]), 1)
    for i, (tokens, part) in enumerate(rows.groupby("n_unique_tokens")):
        ax.plot(
            part["ratio"], part["weight_decay"], MARKERS[i], color=COLORS[i],
            label=f"{talk.STOCK_LABELS[tokens]} tokens",
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
    ax.legend()
    best = pd.DataFrame({"series": "best", "x": rows["ratio"], "y": rows["weight_decay"]})
    line = pd.DataFrame({"series": "law", "x": ends, "y": np.exp(at_one) * ends**slope})
    return pd.concat([best, line]).assign(panel="decay")
