"""Figure 8: ensembles of small models against one ever larger model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis.laws import N, member_curve
from experiments.display.quantities import human
from experiments.planner.published_laws import member_gain
from experiments.recipes.ensembles import ensembles
from experiments.recipes.regularized import regularized
from experiments.story.equal_size import compare
from experiments.story.story import Story
from paper_figs.layout import Place, panel
from paper_figs.style import (
    MARKERS,
    UNCERTIFIED,
    error_bars,
    legend_beside,
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
NEEDS = (regularized, ensembles)
TITLE = "Ensembles against one ever larger model, at equal total size"
CAPTION = (
    "Test loss against total parameters N x K for ensembles of K members (logits averaged, means "
    "over subsets of the members), one line per member size, members tuned for the ensemble; the "
    "lines are fits of E + A / K^gamma, dotted beyond the largest ensemble. For comparison, the "
    "tuned single models and the limit of their law. Stars: ensembles interpolated to exactly the "
    f"size of one model, with 95 % intervals. {UNCERTIFIED}"
)
PUBLISHED_TITLE = "Ensembles of small models go below the limit of one ever larger model"
PUBLISHED_CAPTION = (
    f"Published ({KIM}), 200M tokens, loss against total parameters N x K: one regularized model, "
    "3.43 + 0.05 / (N/1e9)^1.02; K members of 300M with the hyperparameters of one model, 3.34 + "
    "0.25 / K^1.02; points, where losses are printed: 300M members tuned for the ensemble at K = "
    "1 and 8. Dotted: limit + B / K of tuned members, with B estimated here from these points. "
    "Dashed: limits."
)


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw loss against total parameters.

    The frame has columns `series`, `width`, `n_params_non_embedding`, `n_members`,
    `validation_loss`, `test_loss`, `n_subsets`, `certified`, `low`, `high` and `one_model`.
    """
    ax = panel(ax, wide=1.5)
    single = story.regularized.best.groupby(N)["test_loss"].mean()
    one_model, ensemble = look("regularized"), look("ensemble")
    ax.plot(single.index, single, label=one_model.label, **one_model.line)
    mark_uncertified(
        ax, single.index.tolist(), single.tolist(),
        [found for _, found in sorted(story.regularized.tuned.items())], **one_model.line,
    )  # fmt: skip
    colors = dict(
        zip(story.laws.ensembles, shades(ensemble.color, len(story.laws.ensembles)), strict=True)
    )
    tables = [single.reset_index().assign(series="one model")]
    for i, (width, color) in enumerate(colors.items()):
        tables += _draw_members(ax, story, width, color, MARKERS[i])
    pairs = compare(story.regularized, story.ensembles, count=N)
    for pair in pairs:
        found = pair.ensemble
        ax.errorbar(
            single.index[story.world.widths.index(pair.large)], found.value,
            yerr=error_bars(found.value, found.low, found.high), marker="*", markersize=9,
            color=colors[pair.small], capsize=3, zorder=5, linestyle="none",
            label="star: ensemble of the size of one model" if pair is pairs[0] else None,
        )  # fmt: skip
    limit = limit_line(
        ax, story.laws.single_limit, color=one_model.color, label="limit of one model"
    )
    log_counts(ax)
    ax.set(xlabel="total parameters N x K", ylabel="test loss (nats per token)")
    legend_beside(ax)
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
    end = pd.DataFrame([{"series": "limit of one model", N: np.inf, "n_members": 1, **limit}])
    return ax, pd.concat([*tables, equal, end], ignore_index=True)


def _draw_members(
    ax: Axes, story: Story, width: int, color: str, marker: str
) -> list[pd.DataFrame]:
    """Draw ensembles of one member size with their law; return both, and the limit."""
    table = member_curve(story.ensembles.curves, width)
    size = story.world.model(width).n_params_non_embedding
    limit, tuned = story.laws.limits[width], story.ensembles.tuned[width]
    members = np.union1d(spread_x(1, 100, 60), [table["n_members"].max()])
    curve = story.laws.ensembles[width].evaluate({"n_members": members})
    measured = members <= table["n_members"].max()
    ax.plot(size * members[measured], curve[measured], color=color)
    ax.plot(size * members[~measured], curve[~measured], color=color, linestyle=":")
    total, losses = (size * table["n_members"]).tolist(), table["test_loss"].tolist()
    known = f"{limit}" if limit.is_bounded else "not identified"
    ax.plot(total, losses, marker, color=color, label=f"members of {human(size)}: limit {known}")
    mark_uncertified(ax, total, losses, [tuned] * len(table), color=color, marker=marker)
    law = pd.DataFrame({"series": "law", "n_members": members, "test_loss": curve})
    end = {"series": "limit", "n_members": np.inf}
    if limit.is_bounded:
        end |= {"test_loss": limit.value, "low": limit.low, "high": limit.high}
    curves = table.assign(series="curve", certified=tuned.certified)
    return [part.assign(**{"width": width, N: size}) for part in (curves, law, pd.DataFrame([end]))]


def draw_published(ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw the three laws with their limits against total parameters.

    The frame has columns `series`, `x` and `y`.
    """
    small, one = talk.ENSEMBLE_LAW, talk.REGULARIZED_LAW
    size, members = 300e6, spread_x(1, 32, 60)
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
    ax = panel(ax, wide=1.1, tall=1.05)
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
    limits = {f"{name}; limit": limit for name, (*_, limit) in zip(series, looks, strict=True)}
    frames.append(pd.DataFrame({"series": [*limits], "x": np.inf, "y": [*limits.values()]}))
    frames.append(pd.DataFrame({"series": "printed", "x": [size, 8 * size], "y": printed}))
    return ax, pd.concat(frames, ignore_index=True)
