"""Figure 10: members to infinity, then parameters to infinity."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.recipes.ensembles import ensembles
from experiments.recipes.regularized import regularized
from experiments.recipes.standard import standard
from experiments.story.story import Story
from paper_figs.layout import Place, panel, panels
from paper_figs.style import (
    BLACK,
    COLORS,
    MARKERS,
    UNCERTIFIED,
    error_bars,
    legend_beside,
    limit_line,
    log_counts,
    log_ticks,
    look,
    mark_uncertified,
)
from scaling import MEMBER_LIMITS, FitResult, fit_law
from scaling.published import talk
from scaling.published.figures import KIM

NAME = "fig10"
CLAIMS = ("P11", "P12")
NEEDS = (standard, regularized, ensembles)
TITLE = "Members to infinity and parameters to infinity: the joint limit"
CAPTION = (
    "Test loss of the standard recipe at its best epochs, the tuned single model, ensembles of 1 "
    "to K members tuned at every size (grey, darker for larger K) and the fitted limit of "
    "infinitely many members, against the size of a member; the joint limit with its 95 % "
    f"interval, or a note that these runs do not identify it. {UNCERTIFIED}"
)
PUBLISHED_TITLE = "Members to infinity, then parameters to infinity, at four stocks of tokens"
PUBLISHED_CAPTION = (
    f"Losses of infinitely many members (public code of {KIM}, members by the heuristic), and E + "
    "A / N^alpha refitted here for each stock of tokens: the joint limit E with its 95 % "
    "profile-likelihood interval (published: 3.17 at 200M tokens, without interval). Four points "
    "and three parameters leave one degree of freedom; without a lower end (arrows) the limit is "
    "not identified. The values of the two largest stocks appear to predate the final runs of the "
    "paper."
)


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw the recipes and their limits against size.

    The frame has columns `series`, `n_params_non_embedding`, `n_members`, `validation_loss`,
    `test_loss`, `n_subsets`, `low` and `high`; infinite numbers of members or parameters are
    limits, empty where they are not identified.
    """
    n = "n_params_non_embedding"
    laws = story.laws
    ax = panel(ax, wide=1.5)
    standard = story.standard_best.groupby(n)["test_loss"].mean()
    single = story.regularized.best.groupby(n)["test_loss"].mean()
    endless, joint = look("ensemble limit"), look("joint limit")
    for recipe, means, certificates in (
        ("standard", standard, story.standard_certificates),
        ("regularized", single, story.regularized.certificates),
    ):
        shown = look(recipe)
        ax.plot(means.index, means, label=shown.label, **shown.line)
        mark_uncertified(
            ax, means.index.tolist(), means.tolist(),
            [found.tuned for _, found in sorted(certificates.items())], **shown.line,
        )  # fmt: skip
    table = laws.ensemble_table
    largest = table["n_members"].max()
    for n_members, rows in table.groupby("n_members"):
        ax.plot(
            rows[n], rows["test_loss"], color=str(0.85 - 0.6 * float(str(n_members)) / largest),
            linewidth=1, label=f"K = {n_members}",
        )  # fmt: skip
    sizes = [story.world.model(width).n_params_non_embedding for width in laws.ensembles]
    limits = [laws.limits[width] for width in laws.ensembles]
    values = np.array([limit.value for limit in limits])
    # Limits that are not identified are left out.
    errors = np.abs([[e.value - e.low, e.high - e.value] for e in limits]).T
    values = np.where(np.isfinite(errors).all(axis=0), values, np.nan)
    ax.errorbar(
        sizes, values, yerr=np.where(np.isfinite(errors), errors, 0), capsize=2,
        label=endless.label, **endless.line,
    )  # fmt: skip
    members = [story.ensembles.tuned[width] for width in laws.ensembles]
    mark_uncertified(ax, sizes, values.tolist(), members, **endless.line)
    end = limit_line(ax, laws.joint_limit, color=joint.color, label=joint.label)
    log_ticks(ax, sizes)
    ax.set(
        xlabel="non-embedding parameters of a member", ylabel="test loss (nats per token)"
    )  # fmt: skip
    legend_beside(ax)

    of_recipes = [
        means.reset_index().assign(series=series, n_members=1)
        for series, means in (("standard", standard), ("single", single))
    ]
    of_members = pd.DataFrame(
        {
            "series": "limit in K", n: sizes, "n_members": np.inf, "test_loss": values,
            "low": values - errors[0], "high": values + errors[1],
        }
    )  # fmt: skip
    joint_end = pd.DataFrame([{"series": "joint", n: np.inf, "n_members": np.inf, **end}])
    ensembles = table.assign(series="ensemble")
    return ax, pd.concat([*of_recipes, ensembles, of_members, joint_end], ignore_index=True)


def draw_published(ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw the limits of many members against size, and the joint limit of each stock.

    The frame has columns `panel`, `series`, `n_params`, `loss`, `low`, `high` and `status`.
    """
    axes = ax, joint = panels(ax, 1, 2, wide=1.5, tall=1.05, width_ratios=(1.5, 1))
    sizes = np.geomspace(0.15, 40, 120)
    frames, rows = [], []
    for i, (stock, limits) in enumerate(MEMBER_LIMITS.items()):
        points = pd.DataFrame({"n_params": list(limits), "loss": list(limits.values())})
        fit = refit(points)
        curve = fit.params["E"] + fit.params["A"] / sizes ** fit.params["alpha"]
        ax.plot(
            points["n_params"] * talk.BILLION, points["loss"], MARKERS[i], color=COLORS[i],
            label=f"{talk.STOCK_LABELS[talk.STOCK_TOKENS[stock]]} tokens",
        )  # fmt: skip
        inside = sizes <= 1.4
        ax.plot(sizes[inside] * talk.BILLION, curve[inside], color=COLORS[i], linewidth=1)
        ax.plot(
            sizes[~inside] * talk.BILLION, curve[~inside], color=COLORS[i], linewidth=1,
            linestyle="--",
        )  # fmt: skip
        low, high = fit.interval("E")
        low = low if fit.status.usable else np.nan  # it would be the bound of E, 0
        rows.append((stock, fit.params["E"], low, high, fit.status.name))
        law = pd.DataFrame({"n_params": sizes, "loss": curve})
        frames += [
            part.assign(series=stock, panel=name)
            for name, part in (("points", points), ("law", law))
        ]
    log_counts(ax)
    ax.set(
        xlabel="parameters of a member", ylabel="loss of infinitely many members (nats per token)"
    )
    ax.legend()
    found = pd.DataFrame(rows, columns=["series", "loss", "low", "high", "status"])
    for i, row in enumerate(found.itertuples()):
        # A limit that is not identified has neither a point nor a number, only an upper end.
        if np.isfinite(row.low):
            ends = error_bars(row.loss, row.low, row.high)
            joint.errorbar(
                i, row.loss, yerr=ends, color=COLORS[i], marker=MARKERS[i], capsize=4
            )  # fmt: skip
            place, text = row.loss, f"{row.loss:.3f}\n[{row.low:.2f}, {row.high:.2f}]"
        else:
            joint.plot(i, row.high, "v", color=COLORS[i])
            place, text = row.high, "not\nidentified"
        joint.annotate(
            text, (i, place), xytext=(8, 0), textcoords="offset points", va="center",
            fontsize="small",
        )  # fmt: skip
    joint.axhline(talk.JOINT_LIMIT, color=BLACK, linestyle=":", label="published, 200M: 3.17")
    joint.set_xticks(range(len(MEMBER_LIMITS)), list(talk.STOCK_LABELS.values()))
    joint.set(xlim=(-0.4, 4.1), xlabel="unique tokens", ylabel="joint limit")
    joint.legend()
    published = pd.DataFrame({"series": ["published"], "loss": [talk.JOINT_LIMIT]})
    found = pd.concat([found, published])
    return axes, pd.concat([*frames, found.assign(panel="joint limit")], ignore_index=True)


def refit(points: pd.DataFrame) -> FitResult:
    """Return the least-squares fit of E + A / N^alpha, the method of the paper."""
    return fit_law(points, "power", x="n_params", y="loss", loss="squared", n_boot=0)
