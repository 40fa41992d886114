"""Figure N2: where in N/D each recipe helps, and its tuned epochs and weight decay."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from experiments.display.quantities import human
from experiments.recipes.data_scaling.losses import D
from experiments.recipes.data_scaling.recipe import data_scaling
from experiments.story.regimes import STEPS, gains, optima
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, MARKERS, UNCERTIFIED, error_bars, legend_beside, look

NAME = "figN2"
CLAIMS = ("N2",)
NEEDS = (data_scaling,)
TITLE = "Where each recipe helps"
CAPTION = (
    "Top: gain in test loss against parameters per unique token, N/D: left, from tuning weight "
    "decay, epochs and learning rate over the standard recipe at its best epochs; middle, of an "
    "ensemble over the tuned single model of the same size; right, of infinitely many such "
    "members. One point per model size and stock of text, 95 % intervals over draws of the "
    "corpus. Bottom: the tuned epochs, weight decay and learning rate of each recipe. "
    f"{UNCERTIFIED} There is no published counterpart."
)
TITLES = {
    "regularization": "gain: tuned over standard",
    "ensembles": "gain: ensemble over tuned single",
    "infinite ensembles": "gain: K to infinity over tuned single",
}
OBJECTIVES = ("standard", "single", "ensemble")


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw gains and tuned settings against N/D.

    The frame has columns `what` and those of `regimes.gains` and `regimes.optima`.
    """
    table, points = gains(story), optima(story)
    axes = panels(ax, 2, 3, wide=1.5, tall=1.6, sharex=True)
    above, below = axes[:3], axes[3:]
    for ax, step in zip(above, STEPS, strict=True):
        for i, (size, rows) in enumerate(table.groupby(D)):
            errors = error_bars(rows[step], rows[f"{step}_low"], rows[f"{step}_high"])
            ax.errorbar(
                rows["n_per_token"], rows[step], yerr=errors, capsize=3, color=COLORS[i % 7],
                marker=MARKERS[i % 7], label=f"D = {human(float(str(size)))}",
            )  # fmt: skip
        ax.axhline(0, color=BLACK, linewidth=0.8)
        ax.set_title(TITLES[step])
    above[0].set_ylabel("gain in test loss (nats per token)")
    legend_beside(above[-1])
    for ax, setting, objectives in (
        (below[0], "n_epochs", ("standard", "single", "ensemble")),
        (below[1], "weight_decay", ("single", "ensemble")),
        (below[2], "learning_rate", ("standard", "single", "ensemble")),
    ):
        for objective in objectives:
            _draw_optima(ax, points[points["objective"] == objective], setting, objective)
        ax.set_xscale("log")
        ax.set_yscale("symlog" if (points[setting] == 0).any() else "log", base=2)
        ax.set_yticks(sorted(points[setting].unique()), minor=False)
        ax.set_yticks([], minor=True)
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.set_xlabel("parameters per unique token, N/D")
    below[0].set(ylabel="epochs", title="tuned epochs")
    below[1].set(ylabel="weight decay", title="tuned weight decay (standard: 0.1)")
    below[2].set(ylabel="peak learning rate", title="tuned learning rate")
    legend_beside(below[-1])
    chosen = points.rename(columns={"objective": "of"}).assign(what="optimum")
    return axes, pd.concat([table.assign(what="gain"), chosen], ignore_index=True)


def _draw_optima(ax: plt.Axes, rows: pd.DataFrame, setting: str, objective: str) -> None:
    """Draw tuned values as points, shifted so that ties are visible; uncertified ones hollow."""
    x = rows["n_per_token"] * (1 + 0.06 * (OBJECTIVES.index(objective) - 1))
    shown = look(objective)
    ax.plot(x, rows[setting], linestyle="none", label=shown.label, **shown.line)
    doubtful = ~rows["certified"].to_numpy(bool)
    ax.plot(
        x[doubtful], rows[setting][doubtful], linestyle="none", marker=shown.marker,
        markeredgecolor=shown.color, markerfacecolor="white", label="_uncertified",
    )  # fmt: skip
