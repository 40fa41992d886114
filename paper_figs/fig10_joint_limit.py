"""Figure 10: members to infinity, then parameters to infinity."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.story.story import Story
from paper_figs.style import COLORS, MARKERS, UNCERTIFIED, limit_line, log_ticks, mark_uncertified
from scaling.published import talk

NAME = "fig10"
TITLE = "Members to infinity and parameters to infinity: the joint limit"
CAPTION = (
    "Left: test loss of the best standard recipe, the tuned single model, ensembles of 1 to K "
    "members tuned at every size (grey, larger K darker) and the fitted limit of infinitely many "
    "members, against the size of a member; the joint limit with its 95 % interval, or the "
    f"statement that these runs do not identify it. {UNCERTIFIED} Right, published: limits of "
    "infinitely many members at 200M tokens and the joint limit 3.17 (Kim et al. 2025, arXiv "
    "2509.14786)."
)


def draw(story: Story) -> tuple[Figure, pd.DataFrame]:
    """Draw the recipes and their limits against size, ours beside the published ones."""
    n = "n_params_non_embedding"
    laws = story.laws
    figure, (ax, published) = plt.subplots(
        1, 2, figsize=(9.2, 4.4), gridspec_kw={"width_ratios": [1.7, 1]}
    )
    standard = story.standard_best.groupby(n)["test_loss"].mean()
    single = story.regularized.best.groupby(n)["test_loss"].mean()
    ax.plot(standard.index, standard, color=COLORS[1], marker=MARKERS[1], label="standard")
    ax.plot(single.index, single, color=COLORS[0], marker=MARKERS[0], label="tuned single model")
    for means, certificates, i in (
        (standard, story.standard_certificates, 1),
        (single, story.regularized.certificates, 0),
    ):
        mark_uncertified(
            ax, means.index.tolist(), means.tolist(),
            [found.tuned for _, found in sorted(certificates.items())],
            color=COLORS[i], marker=MARKERS[i],
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
    # A limit that is not identified has no error bar and is left out.
    errors = np.abs([[e.value - e.low, e.high - e.value] for e in limits]).T
    values = np.where(np.isfinite(errors).all(axis=0), values, np.nan)
    ax.errorbar(
        sizes, values, yerr=np.where(np.isfinite(errors), errors, 0), color=COLORS[3],
        marker=MARKERS[2], capsize=2, label="K to infinity",
    )  # fmt: skip
    members = [story.ensembles.tuned[width] for width in laws.ensembles]
    mark_uncertified(ax, sizes, values.tolist(), members, color=COLORS[3], marker=MARKERS[2])
    limit_line(ax, laws.joint_limit, color=COLORS[2], label="joint limit")
    log_ticks(ax, sizes)
    ax.set(
        xlabel="non-embedding parameters of a member", ylabel="test loss (nats per token)",
        title="here",
    )  # fmt: skip
    ax.set_ylim(top=ax.get_ylim()[1] + 0.25 * np.ptp(ax.get_ylim()))  # room for the legend
    ax.legend(ncols=2, fontsize=7.5, loc="upper right")

    for series, label, i in (
        (talk.STANDARD, "standard", 1),
        (talk.ENSEMBLE_LIMITS, "K to infinity", 3),
    ):
        published.plot(
            series["n_params"], series["loss"], color=COLORS[i], marker=MARKERS[i - i // 3],
            label=label,
        )  # fmt: skip
    published.axhline(
        talk.JOINT_LIMIT, color=COLORS[2], linestyle="--", label=f"joint limit {talk.JOINT_LIMIT}"
    )
    log_ticks(published, talk.STANDARD["n_params"].tolist())
    published.set(xlabel="parameters of a member", title="published: 200M tokens")
    published.legend()
    limit_rows = pd.DataFrame({n: sizes, "n_members": np.inf, "test_loss": values})
    return figure, pd.concat([table, limit_rows], ignore_index=True)
