"""Figure N6: held-out texts as edits of real ones, against the tuned baseline."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.analysis.intervals import mean_estimate
from experiments.recipes.prototypes import prototypes
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, GREY, error_bars, log_ticks

NAME = "figN6"
CLAIMS = ("N19",)
NEEDS = (prototypes,)
TITLE = "Prototype-then-edit: every text as an edit of a text of the corpus"
CAPTION = (
    "Left: test loss of excerpts against the number of nearest prototypes whose edits are summed, "
    "thin lines a draw of excerpts each, points their means with 95 % intervals over draws; each "
    "sum is an upper bound of the loss with all prototypes, of which the broken line is an "
    "estimate. Right: what each model gains over the tuned baseline, paired by draw: the baseline "
    "that reads the same prototypes, the prototype model, the baseline mixed with it, and, for "
    "comparison, with a second baseline."
)
MODELS = {
    "prompted baseline": "prompted\nbaseline",
    "prototypes": "prototypes",
    "mixture": "baseline and\nprototypes",
    "two baselines": "two\nbaselines",
}


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw bounds against the number of prototypes, and gains over the baseline.

    The frame has columns `series` (draw, mean, all prototypes, baseline, gain, gain of a draw),
    `model`, `n_nearest`, `world`, `test_loss` (or the gain in nats), `low` and `high`.
    """
    found = story[prototypes]
    axes = bounds, gains = panels(ax, 1, 2, wide=1.3)
    tables = [found.bounds.assign(series="draw", model="prototypes")]
    for _, of_draw in found.bounds.groupby("world"):
        bounds.plot(
            of_draw["n_nearest"], of_draw["test_loss"], color=COLORS[0], linewidth=0.6, alpha=0.5
        )
    counts = sorted(found.bounds["n_nearest"].unique().tolist())
    rows = [
        {"series": "mean", "model": "prototypes", "n_nearest": n,
         "loss": mean_estimate(of_count["test_loss"].to_numpy(float))}
        for n, of_count in found.bounds.groupby("n_nearest")
    ]  # fmt: skip
    rows += [
        {"series": series, "model": model, "loss": mean_estimate(found.of(model))}
        for series, model in (("all prototypes", "prototypes"), ("baseline", "baseline"))
    ]
    rows += [
        {"series": "gain", "model": model,
         "loss": mean_estimate(found.of("baseline") - found.of(model))}
        for model in MODELS
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table["test_loss"], table["low"], table["high"] = zip(
        *((one.value, one.low, one.high) for one in table.pop("loss")), strict=True
    )
    means, drawn = (table[table["series"] == series] for series in ("mean", "gain"))
    bounds.errorbar(
        means["n_nearest"], means["test_loss"],
        yerr=error_bars(means["test_loss"], means["low"], means["high"]),
        color=COLORS[0], marker="o", capsize=3, label="nearest prototypes",
    )  # fmt: skip
    for series, color, style in (("all prototypes", COLORS[0], "--"), ("baseline", BLACK, "-")):
        bounds.axhline(
            table.loc[table["series"] == series, "test_loss"].item(),
            color=color, linestyle=style, linewidth=1, label=series,
        )  # fmt: skip
    log_ticks(bounds, counts, base=2)
    bounds.set(xlabel="nearest prototypes summed", ylabel="test loss (nats per token)")
    bounds.legend()
    for place, model in enumerate(MODELS):
        each = found.of("baseline") - found.of(model)
        gains.plot([place] * len(each), each, "o", color=GREY, markersize=3)
        tables.append(
            pd.DataFrame(
                {"series": "gain of a draw", "model": model, "world": found.of(model, "world"),
                 "test_loss": each}
            )
        )  # fmt: skip
    gains.errorbar(
        range(len(MODELS)), drawn["test_loss"],
        yerr=error_bars(drawn["test_loss"], drawn["low"], drawn["high"]),
        color=COLORS[0], marker="o", linestyle="none", capsize=3,
    )  # fmt: skip
    gains.axhline(0, color=BLACK, linewidth=0.8)
    gains.set_xticks(range(len(MODELS)), MODELS.values())
    gains.set_ylabel("gain over the tuned baseline (nats)")
    columns = ["series", "model", "n_nearest", "world", "test_loss", "low", "high"]
    return axes, pd.concat([*tables, table], ignore_index=True)[columns]
