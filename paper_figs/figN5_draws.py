"""Figure N5: the tuned models on several draws of the text."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis.intervals import mean_estimate
from experiments.analysis.laws import LOSS, N
from experiments.recipes.draws import RECIPES, draws
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, dodged, error_bars, legend_beside, log_ticks, look

NAME = "figN5"
CLAIMS = ("N16", "N17")
NEEDS = (draws,)
TITLE = "The same settings on other draws of the text"
CAPTION = (
    "Left: test loss against parameters on each draw of as many tokens (thin lines, one a draw), "
    "with the settings that were tuned on the first draw, and the means with 95 % intervals over "
    "draws. Right: the same less the loss of the tuned single model of that size and draw, so that "
    "what the text does to every recipe cancels. There is no published counterpart."
)


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw losses and paired differences against the number of parameters.

    The frame has columns `series` (draw, mean or difference), `recipe`, `width`,
    `n_params_non_embedding`, `draw_seed`, `test_loss`, `low` and `high`.
    """
    found = story[draws]
    axes = losses, falls = panels(ax, 1, 2, wide=1.5, tall=1.05)
    sizes = found.losses[found.losses["width"] > 0].groupby("width")[N].first().to_numpy(float)
    tables = []
    for i, name in enumerate(RECIPES):
        shown, at = look(name), dodged(sizes, i, len(RECIPES))
        rows = found.losses[(found.losses["recipe"] == name) & (found.losses["width"] > 0)]
        for _, of_draw in rows.sort_values(N).groupby("draw_seed"):
            losses.plot(at, of_draw[LOSS], color=shown.color, linewidth=0.6, alpha=0.5)
        tables.append(rows.assign(series="draw"))
        for panel, series, base in ((losses, "mean", None), (falls, "difference", "regularized")):
            if name == base:
                continue
            over = [
                mean_estimate(found.loss(name, width) - (found.loss(base, width) if base else 0.0))
                for width in found.widths
            ]
            table = pd.DataFrame(
                {
                    "series": series, "recipe": name, "width": found.widths, N: sizes,
                    LOSS: [one.value for one in over], "low": [one.low for one in over],
                    "high": [one.high for one in over],
                }
            )  # fmt: skip
            panel.errorbar(
                at, table[LOSS], yerr=error_bars(table[LOSS], table["low"], table["high"]),
                linestyle="none" if base is None else "-", capsize=3, label=shown.label,
                **shown.line,
            )  # fmt: skip
            tables.append(table)
    falls.axhline(0, color=BLACK, linewidth=0.8)
    for panel in axes:
        log_ticks(panel, sizes.tolist())
        panel.set_xlabel("parameters N (without embeddings)")
    losses.set_ylabel("test loss (nats per token)")
    falls.set_ylabel("less that of the tuned single model")
    legend_beside(falls, handles=losses.get_legend_handles_labels()[0])
    columns = ["series", "recipe", "width", N, "draw_seed", LOSS, "low", "high"]
    return axes, pd.concat(tables, ignore_index=True)[columns]
