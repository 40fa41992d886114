"""Figure 8, published: ensembles against one ever larger model, at equal total size."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.planner.published_laws import member_gain
from paper_figs.published import KIM
from paper_figs.style import COLORS, MARKERS, human
from scaling import MEMBER_LIMITS, PUBLISHED_FIGURES
from scaling.published import talk

NAME = "fig08"
TITLE = "Ensembles of small models pass the limit of one ever larger model"
CAPTION = (
    f"Published ({KIM}), 200M tokens, loss against total parameters N x K: one regularised model, "
    "3.43 + 0.05 / (N/1e9)^1.02; K members of 300M with the hyperparameters of one model, 3.34 + "
    "0.25 / K^1.02; points, where losses are printed: 300M members tuned for the ensemble at K = "
    "1 and 8. Dotted: limit + B / K of tuned members, B made here from these points. Dashed: "
    "limits."
)


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw the three laws with their limits against total parameters."""
    small, one = talk.ENSEMBLE_LAW, talk.REGULARIZED_LAW
    size, members = 300e6, np.arange(1, 33)
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
    looks = (("black", "-", one["E"]), (COLORS[1], "-", small["E"]), (COLORS[0], ":", tuned_limit))
    figure, ax = plt.subplots(figsize=(6.8, 4.4))
    for (name, (x, y)), (color, linestyle, limit) in zip(series.items(), looks, strict=True):
        ax.plot(x, y, color=color, linestyle=linestyle, label=f"{name}; limit {limit:.2f}")
        ax.axhline(limit, color=color, linestyle="--", linewidth=0.8)
    printed = [PUBLISHED_FIGURES[name].value for name in ("member_loss", "eight_members_loss")]
    ax.plot(
        [size, 8 * size], printed, MARKERS[0], color=COLORS[0], label="printed losses, K = 1 and 8"
    )
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(lambda value, _: human(value))
    ax.set(xlabel="total parameters N x K", ylabel="held-out loss (nats per token)")
    ax.legend(loc="upper right")
    frames = [pd.DataFrame({"series": name, "x": x, "y": y}) for name, (x, y) in series.items()]
    frames.append(pd.DataFrame({"series": "printed", "x": [size, 8 * size], "y": printed}))
    return figure, pd.concat(frames, ignore_index=True)
