"""Figure 6, published: tuned regularisation, its limit, and how the best decay grows."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figs.published import KIM, infinite_compute
from paper_figs.style import COLORS, MARKERS, human
from scaling import PUBLISHED_FIGURES
from scaling.published import talk

NAME = "fig06"
TITLE = "With tuned weight decay the loss falls with size towards a limit"
CAPTION = (
    f"Published ({KIM}), 200M tokens. Left: the law 3.43 + 0.05 / (N/1e9)^1.02 of single models "
    "with learning rate, epochs and weight decay tuned at each size (below it), its limit, "
    "the one loss that is printed (300M), and the standard recipe. The losses behind the law are "
    "not published, so it cannot be refitted. Right: the best weight decay against parameters per "
    "unique token, four sizes and four stocks; the line is least squares in logarithms, made here."
)


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw the law with its limit, and tuned decay against N/D."""
    figure, (ax, decay) = plt.subplots(
        1, 2, figsize=(9.6, 4.2), gridspec_kw={"width_ratios": [1.4, 1]}
    )
    return figure, pd.concat([_law(ax), _decay(decay)], ignore_index=True)


def _law(ax: Axes) -> pd.DataFrame:
    law, sizes = talk.REGULARIZED_LAW, np.geomspace(150e6, 14e9, 120)
    loss = law["E"] + law["A"] / (sizes / talk.BILLION) ** law["alpha"]
    inside = sizes <= 1.4e9
    ax.plot(
        talk.STANDARD["n_params"], talk.STANDARD["loss"], color=COLORS[1], marker=MARKERS[1],
        label="standard recipe",
    )  # fmt: skip
    ax.plot(sizes[inside], loss[inside], color=COLORS[0], label="regularised, law")
    ax.plot(sizes[~inside], loss[~inside], color=COLORS[0], linestyle="--")
    one = PUBLISHED_FIGURES["single_loss"].value
    ax.plot(300e6, one, MARKERS[0], color=COLORS[0], label=f"regularised 300M: {one}")
    ax.axhline(law["E"], color=COLORS[2], linestyle="--", label=f"limit {law['E']}")
    for row in talk.TUNED.itertuples():
        ax.annotate(
            f"lr {row.learning_rate:g}\nwd {row.weight_decay:g}\n{row.n_epochs} ep",
            (row.n_params, law["E"] - 0.03), ha="center", va="top", fontsize=8, color=COLORS[0],
        )  # fmt: skip
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: human(value))
    ax.set(
        ylim=(3.2, 3.9),
        xlim=(1.1e8, 1.5e10),
        xlabel="parameters",
        ylabel="held-out loss (nats per token)",
    )
    ax.legend(loc="upper right")
    return pd.DataFrame({"panel": "law", "x": sizes, "y": loss})


def _decay(ax: Axes) -> pd.DataFrame:
    rows = infinite_compute("tuned_hparams")
    rows = rows[(rows["recipe"] == "regularized") & rows["n_params"].notna()]
    rows = rows.assign(ratio=rows["n_params"] / rows["n_unique_tokens"])
    slope, at_one = np.polyfit(np.log(rows["ratio"]), np.log(rows["weight_decay"]), 1)
    for i, (tokens, part) in enumerate(rows.groupby("n_unique_tokens")):
        ax.plot(
            part["ratio"], part["weight_decay"], MARKERS[i], color=COLORS[i],
            label=f"{human(float(str(tokens)))} tokens",
        )  # fmt: skip
    ends = np.array([rows["ratio"].min(), rows["ratio"].max()])
    ax.plot(
        ends, np.exp(at_one) * ends**slope, color=COLORS[6], linewidth=1,
        label=f"(N/D)^{slope:.2f}",
    )  # fmt: skip
    ax.axhline(0.1, color="#777777", linestyle=":", label="the usual 0.1")
    ax.set(xscale="log", yscale="log", xlabel="parameters per unique token", ylabel="best decay")
    ax.set_yticks([0.1, 0.4, 1.6, 6.4], ["0.1", "0.4", "1.6", "6.4"])
    ax.minorticks_off()
    ax.legend(fontsize=8)
    return pd.DataFrame({"panel": "decay", "x": rows["ratio"], "y": rows["weight_decay"]})
