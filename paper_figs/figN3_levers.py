"""Figure N3: what each lever gains alone, on top of weight decay, and on top of ensembles."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes

from experiments.recipes.levers.recipe import levers
from experiments.recipes.levers.trials import CONTROL, PURPOSES, STACK
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, MARKERS, error_bars

NAME = "figN3"
CLAIMS = ("N12", "N13", "N14", "N15", "N18")
NEEDS = (levers,)
TITLE = "What levers gain on top of weight decay and ensembles"
CAPTION = (
    "Left: gain in test loss of each lever over no lever, both tuned over equally many settings, "
    "paired by draw of the text: of one model at the usual weight decay, of one at the tuned "
    "decay, and of the limit of many members; 95 % intervals over draws, which for the limit allow "
    "for the exponent of 1/K that the members trained show and for one. Hollow: the weight decay "
    "selected is an end of the candidates. The dotted line is the gain of more data. The last row "
    "is a stack of several levers, where they have a lower limit on validation than any alone; it "
    "is selected among more settings. Right: validation loss of one model by the number of epochs, "
    "decay and strength tuned at each, on the first draw; that of masked diffusion is a bound. "
    "There is no published counterpart."
)
SHOWN = list(PURPOSES)[:3]


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw gains by lever, and losses by epochs.

    The frame has columns `what` ("gain", "gain of data" or "loss by epochs"), `lever`, `purpose`,
    `n_epochs`, `value`, `low`, `high` and `is_edge`.
    """
    found = story[levers]
    axes = gains, curves = panels(ax, 1, 2, wide=1.6, tall=1.25, width_ratios=(1.4, 1))
    rows, named = [], set()
    shown = [*found.tried, *([STACK] if found.is_stacked else [])]
    for place, lever in enumerate(shown):
        for i, purpose in enumerate(SHOWN):
            gain, is_edge = found.gain(purpose, lever), found.is_edge(purpose, lever)
            if not math.isfinite(gain.value):
                continue
            gains.errorbar(
                [gain.value], [place + 0.22 * (i - 1)],
                xerr=error_bars(gain.value, gain.low, gain.high), capsize=2,
                color=COLORS[i], marker=MARKERS[i], linestyle="none",
                markerfacecolor="white" if is_edge else None,
                label=None if purpose in named else PURPOSES[purpose],
            )  # fmt: skip
            named.add(purpose)
            rows.append(
                {
                    "what": "gain", "lever": lever, "purpose": purpose, "value": gain.value,
                    "low": gain.low, "high": gain.high, "is_edge": is_edge,
                }
            )  # fmt: skip
    data = found.gain_of_data
    rows.append({"what": "gain of data", "value": data.value, "low": data.low, "high": data.high})
    gains.axvline(0, color=BLACK, linewidth=0.8)
    gains.axvline(
        data.value, color=BLACK, linestyle=":", label=f"{found.more_data:g} times the data"
    )
    gains.set_yticks(range(len(shown)), shown)
    gains.invert_yaxis()
    gains.set(xlabel="gain in test loss (nats per token)")
    gains.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.2)
    for i, lever in enumerate([CONTROL, *found.tried]):
        losses = found.by_epochs(lever)
        curves.plot(
            losses.index, losses, color=COLORS[i % 7], marker=MARKERS[i % 7],
            linestyle="-" if i < 7 else "--", label=lever,
        )  # fmt: skip
        rows += [
            {"what": "loss by epochs", "lever": lever, "n_epochs": epochs, "value": value}
            for epochs, value in losses.items()
        ]
    ticks = sorted(found.by_epochs(CONTROL).index)
    curves.set_xscale("log", base=2)
    curves.set_xticks(ticks, [str(tick) for tick in ticks])
    curves.set(xlabel="epochs", ylabel="validation loss (nats per token)")
    curves.legend(fontsize="x-small")
    return axes, pd.DataFrame(rows)
