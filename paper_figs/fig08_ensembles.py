"""Figure 8: ensembles of small models against one ever larger model."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.analysis.laws import member_curve
from experiments.display.quantities import human
from experiments.planner.published_laws import member_gain
from experiments.story.equal_size import compare
from experiments.story.story import Story
from paper_figs.style import (
    MARKERS,
    UNCERTIFIED,
    error_bars,
    limit_line,
    log_counts,
    look,
    mark_uncertified,
    shades,
    spread_x,
)
from scaling import MEMBER_LIMITS, PUBLISHED_FIGURES
from scaling.published import talk
from scaling.published.figures import KIM

NAME = "fig08"
CLAIMS = ("P8", "P9", "N6")
TITLE = "Ensembles against one ever larger model, at equal total size"
CAPTION = (
    "Left: test loss against total parameters N x K for ensembles of K members (logits averaged, "
    "means over subsets of the members), one line per member size, members tuned for the "
    "ensemble; dotted: fitted E + A / K^gamma. For comparison, the tuned single models and the "
    "limit of their law. Stars: ensembles interpolated to exactly the size of one model, with 95 "
    f"% intervals. {UNCERTIFIED} Right, published: members of 300M, 3.34 + 0.25 / K, against 3.43 "
    f"+ 0.05 / N^1.02 ({KIM})."
)
PUBLISHED_TITLE = "Ensembles of small models go below the limit of one ever larger model"
PUBLISHED_CAPTION = (
    f"Published ({KIM}), 200M tokens, loss against total parameters N x K: one regularized model, "
    "3.43 + 0.05 / (N/1e9)^1.02; K members of 300M with the hyperparameters of one model, 3.34 + "
    "0.25 / K^1.02; points, where losses are printed: 300M members tuned for the ensemble at K = "
    "1 and 8. Dotted: limit + B / K of tuned members, with B estimated here from these points. "
    "Dashed: limits."
)


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw loss against total parameters, ours beside the published one.

    The frame has columns `series`, `width`, `n_params_non_embedding`, `n_members`,
    `validation_loss`, `test_loss`, `n_subsets`, `certified`, `low`, `high` and `one_model`.
    """
    n = "n_params_non_embedding"
    figure, (ax, published) = plt.subplots(
        1, 2, figsize=(9.2, 4.4), gridspec_kw={"width_ratios": [1.7, 1]}
    )
    single = story.regularized.best.groupby(n)["test_loss"].mean()
    one_model, ensemble = look("regularized"), look("ensemble")
    ax.plot(single.index, single, label=one_model.label, **one_model.line)
    mark_uncertified(
        ax, single.index.tolist(), single.tolist(),
        [found for _, found in sorted(story.regularized.tuned.items())], **one_model.line,
    )  # fmt: skip
    tables = []
    colors = shades(ensemble.color, len(story.laws.ensembles))
    for i, (width, fit) in enumerate(story.laws.ensembles.items()):
        table = member_curve(story.ensembles.curves, width)
        size = story.world.model(width).n_params_non_embedding
        limit = story.laws.limits[width]
        ax.plot(
            size * table["n_members"], table["test_loss"], color=colors[i], marker=MARKERS[i],
            label=f"members of {human(size)}: limit {limit}",
        )  # fmt: skip
        tuned = story.ensembles.tuned[width]
        mark_uncertified(
            ax, (size * table["n_members"]).tolist(), table["test_loss"].tolist(),
            [tuned] * len(table), color=colors[i], marker=MARKERS[i],
        )  # fmt: skip
        members = spread_x(1, 100)
        curve = fit.evaluate({"n_members": members})
        ax.plot(size * members, curve, color=colors[i], linestyle=":", linewidth=1.2)
        tables.append(
            table.assign(width=width, n_params_non_embedding=size, certified=tuned.certified)
        )
    pairs = compare(story.regularized, story.ensembles, count=n)
    for pair in pairs:
        found = pair.ensemble
        ax.errorbar(
            single.index[story.world.widths.index(pair.large)], found.value,
            yerr=error_bars(found.value, found.low, found.high), marker="*", markersize=9,
            color=colors[sorted(story.laws.ensembles).index(pair.small)], capsize=3, zorder=5,
            label="star: ensemble of the size of one model" if pair is pairs[0] else None,
        )  # fmt: skip
    limit_line(ax, story.laws.single_limit, color=one_model.color, label="limit of one model")
    log_counts(ax)
    ax.set(xlabel="total parameters N x K", ylabel="test loss (nats per token)", title="here")
    ax.legend(fontsize=7.5)

    small, one = talk.ENSEMBLE_LAW, talk.REGULARIZED_LAW
    k = np.arange(1, 33)
    sizes = np.geomspace(150e6, 10e9, 100)
    published.plot(
        300e6 * k, small["E"] + small["A"] / k ** small["alpha"],
        markevery=[0, 1, 2, 3, 7, 15, 31], label="members of 300M", **ensemble.line,
    )  # fmt: skip
    published.plot(
        sizes, one["E"] + one["A"] / (sizes / talk.BILLION) ** one["alpha"],
        color=one_model.color, label=one_model.label,
    )  # fmt: skip
    log_counts(published)
    published.set(xlabel="total parameters N x K", title="published: 200M tokens")
    published.legend()
    equal = pd.DataFrame(
        [
            {
                "series": "equal size", "width": pair.small, "n_members": pair.n_members,
                "test_loss": pair.ensemble.value, "low": pair.ensemble.low,
                "high": pair.ensemble.high, "one_model": pair.one.value,
            }
            for pair in pairs
        ]
    )  # fmt: skip
    curves = pd.concat(tables, ignore_index=True).assign(series="curve")
    return figure, pd.concat([curves, equal], ignore_index=True)


def draw_published() -> tuple[Figure, pd.DataFrame]:
    """Draw the three laws with their limits against total parameters.

    The frame has columns `series`, `x` and `y`.
    """
    small, one = talk.ENSEMBLE_LAW, talk.REGULARIZED_LAW
    size, members = 300e6, np.arange(1, 33)
    sizes = np.geomspace(150e6, 10e9, 100)
    tuned_limit = MEMBER_LIMITS["209M"][0.3]
    series = {
        "one model": (sizes, one["E"] + one["A"] / (sizes / talk.BILLION) ** one["alpha"]),
        "300M members, tuned as one model": (
            size * members,
            small["E"] + small["A"] / members ** small["alpha"],
        ),
        "300M members, tuned as members": (
            size * members,
            tuned_limit + member_gain().value / members,
        ),
    }
    ensemble = look("ensemble")
    dark, light = shades(ensemble.color, 2)
    looks = (
        (look("regularized").color, "-", one["E"]),
        (light, "-", small["E"]),
        (dark, ":", tuned_limit),
    )
    figure, ax = plt.subplots(figsize=(6.8, 4.4))
    for (name, (x, y)), (color, linestyle, limit) in zip(series.items(), looks, strict=True):
        ax.plot(x, y, color=color, linestyle=linestyle, label=f"{name}; limit {limit:.2f}")
        ax.axhline(limit, color=color, linestyle="--", linewidth=0.8)
    printed = [PUBLISHED_FIGURES[name].value for name in ("member_loss", "eight_members_loss")]
    ax.plot(
        [size, 8 * size], printed, ensemble.marker, color=dark, label="printed losses, K = 1 and 8"
    )
    log_counts(ax)
    ax.set(xlabel="total parameters N x K", ylabel="held-out loss (nats per token)")
    ax.legend(loc="upper right")
    frames = [pd.DataFrame({"series": name, "x": x, "y": y}) for name, (x, y) in series.items()]
    frames.append(pd.DataFrame({"series": "printed", "x": [size, 8 * size], "y": printed}))
    return figure, pd.concat(frames, ignore_index=True)
