"""Figure 10, published: the joint limit, refitted at each stock of tokens."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figs.published import KIM, STOCKS
from paper_figs.style import COLORS, MARKERS, human
from scaling import MEMBER_LIMITS, FitResult, fit_law
from scaling.published import talk

NAME = "fig10"
TITLE = "Members to infinity, then parameters to infinity, at four stocks of tokens"
CAPTION = (
    f"Losses of infinitely many members (public code of {KIM}, members by the heuristic), and "
    "E + A / N^alpha refitted here at each stock: the joint limit E with its 95 % interval by "
    "profile likelihood (3.17 published at 200M tokens, without one). Four points and three "
    "parameters leave one degree of freedom; where the interval has no end, that is said. The last "
    "two columns look like a snapshot before the paper's final runs."
)


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw the limits of many members against size, and the joint limit of each stock."""
    figure, (ax, joint) = plt.subplots(
        1, 2, figsize=(9.6, 4.4), gridspec_kw={"width_ratios": [1.5, 1]}
    )
    sizes = np.geomspace(0.15, 40, 120)
    frames, rows = [], []
    for i, stock in enumerate(STOCKS):
        limits = MEMBER_LIMITS[stock]
        points = pd.DataFrame({"n_params": list(limits), "loss": list(limits.values())})
        fit = refit(points)
        curve = fit.params["E"] + fit.params["A"] / sizes ** fit.params["alpha"]
        ax.plot(
            points["n_params"] * talk.BILLION, points["loss"], MARKERS[i], color=COLORS[i],
            label=f"{stock} tokens",
        )  # fmt: skip
        inside = sizes <= 1.4
        ax.plot(sizes[inside] * talk.BILLION, curve[inside], color=COLORS[i], linewidth=1)
        ax.plot(
            sizes[~inside] * talk.BILLION, curve[~inside], color=COLORS[i], linewidth=1,
            linestyle="--",
        )  # fmt: skip
        low, high = fit.interval("E")
        rows.append((stock, fit.params["E"], low, high, fit.status.name))
        frames.append(points.assign(series=stock))
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: human(value))
    ax.set(xlabel="parameters of a member", ylabel="loss of infinitely many (nats per token)")
    ax.legend()
    found = pd.DataFrame(rows, columns=["series", "loss", "low", "high", "status"])
    bottom = 2.2
    for i, row in enumerate(found.itertuples()):
        low = row.low if np.isfinite(row.low) else -np.inf
        ends = [[row.loss - max(low, bottom)], [min(row.high, 4.0) - row.loss]]
        joint.errorbar(i, row.loss, yerr=ends, color=COLORS[i], marker=MARKERS[i], capsize=4)
        if low <= bottom:
            joint.plot(i, bottom, "v", color=COLORS[i])
        end = f"[{row.low:.2f}, {row.high:.2f}]" if low > bottom else "no lower end"
        joint.annotate(
            f"{row.loss:.3f}\n{end}", (i, row.loss), xytext=(6, 4), textcoords="offset points",
            fontsize=8,
        )  # fmt: skip
    joint.axhline(talk.JOINT_LIMIT, color=COLORS[6], linestyle=":", label="published, 200M: 3.17")
    joint.set_xticks(range(len(STOCKS)), STOCKS)
    joint.set(xlim=(-0.4, 4.1), xlabel="unique tokens", ylabel="joint limit")
    joint.legend()
    return figure, pd.concat([*frames, found.assign(panel="joint limit")], ignore_index=True)


def refit(points: pd.DataFrame) -> FitResult:
    """Fit E + A / N^alpha by least squares, as the paper does."""
    return fit_law(points, "power", x="n_params", y="loss", loss="squared", n_boot=0)
