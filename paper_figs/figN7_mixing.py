"""Figure N7: the gain of synthetic text by its share, how it is read, and its quality."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis.intervals import mean_estimate
from experiments.recipes.mixing import Mix, mixing
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, GREY, error_bars, log_ticks

NAME = "figN7"
CLAIMS = ("N20", "N21", "N22")
NEEDS = (mixing,)
TITLE = "When synthetic text pays: its share, how it is read, and its quality"
CAPTION = (
    "Gain in test loss over the tuned baseline at equal training tokens: against the synthetic "
    "share of these tokens; passes over the synthetic documents, of which so many times fewer are "
    "written; documents from one source that are joined to one; and the share of values in them "
    "that are not those of the concept that they name, by several synthesizers. Documents are "
    "written until they fill their share. Grey dots are sets of invented concepts, points their "
    "means with 95 % intervals over sets. Weight decay is chosen for each point."
)


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw one panel for each way in which the arm is changed.

    The frame has columns `panel`, `series` (set of concepts or mean), `synthesizer` (width and
    epochs), `world`, `x`, `gain`, `low` and `high`.
    """
    found = story[mixing]
    axes = panels(ax, 1, 4, wide=1.9)
    drawn: list[tuple[str, Sequence[Mix], str]] = [
        ("share of synthetic tokens", found.shares, "share"),
        ("passes over synthetic text", found.passes, "synthetic_passes"),
        ("documents joined", found.stitched, "stitched"),
        ("share of wrong values", found.synthesizers, "wrong"),
    ]
    rows = []
    for panel, (label, arms, column) in zip(axes, drawn, strict=True):
        at_means, means = [], []
        for mix in arms:
            at, gains = found.of(mix, column), found.of(mix)
            panel.plot(at, gains, "o", color=GREY, markersize=2.5, alpha=0.6)
            at_means.append(at.mean())
            means.append(mean_estimate(gains))
            name = {
                "panel": label,
                "synthesizer": f"width {mix.synthesizer_width}, {mix.synthesizer_epochs} epochs",
            }
            rows += [
                {**name, "series": "set of concepts", "world": world, "x": x, "gain": gain}
                for world, x, gain in zip(found.of(mix, "world"), at, gains, strict=True)
            ]
            rows.append(
                {**name, "series": "mean", "x": at.mean(), "gain": means[-1].value,
                 "low": means[-1].low, "high": means[-1].high}
            )  # fmt: skip
        values = [one.value for one in means]
        panel.errorbar(
            at_means, values,
            yerr=error_bars(values, [one.low for one in means], [one.high for one in means]),
            color=COLORS[0], marker="o", capsize=3, linestyle="none" if column == "wrong" else "-",
        )  # fmt: skip
        panel.axhline(0, color=BLACK, linewidth=0.8)
        panel.set_xlabel(label)
    log_ticks(axes[1], [mix.synthetic_passes for mix in found.passes], base=2)
    log_ticks(axes[2], [mix.stitched for mix in found.stitched], base=2)
    axes[0].set_ylabel("gain over the tuned baseline (nats)")
    columns = ["panel", "series", "synthesizer", "world", "x", "gain", "low", "high"]
    return axes, pd.DataFrame(rows)[columns]
