"""Draw `limits.svg`, the picture of the first page: published losses and limits at 200M tokens.

python docs/pictures/limits.py docs/pictures/limits.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from experiments.display.quantities import human
from paper_figs.style import STYLE, look
from scaling.published import talk


def draw(path: Path) -> None:
    """Draw the picture and write it to a file, which is the same for the same numbers."""
    sizes = np.geomspace(1.5e8, 1.4e9, 60)
    law, members = talk.REGULARIZED_LAW, talk.ENSEMBLE_LIMITS
    with plt.style.context({**STYLE, "svg.hashsalt": "datawall", "figure.figsize": (6.8, 3.8)}):
        figure, ax = plt.subplots()
        standard, single = look("standard"), look("regularized")
        ensemble, joint = look("ensemble limit"), look("joint limit")
        ax.plot(
            talk.STANDARD["n_params"], talk.STANDARD["loss"], label=standard.label, **standard.line
        )
        regularized = law["E"] + law["A"] / (sizes / talk.BILLION) ** law["alpha"]
        ax.plot(sizes, regularized, color=single.color, label="regularized: 3.43 + 0.05 / N^1.02")
        ax.plot(
            members["n_params"], members["loss"], label=f"{ensemble.label} of size N",
            **ensemble.line,
        )  # fmt: skip
        for value, color, name in (
            (talk.STANDARD_BEST, standard.color, "best standard"),
            (law["E"], single.color, "limit, one model"),
            (talk.ENSEMBLE_LAW["E"], ensemble.color, "limit, members of 300M"),
            (talk.JOINT_LIMIT, joint.color, "joint limit"),
        ):
            ax.axhline(value, color=color, linestyle="--", linewidth=1)
            ax.annotate(f"{name} {value}", (1.5e9, value), color=color, va="bottom", fontsize=8.5)
        ax.set(xscale="log", xlim=(1.4e8, 4e9), ylim=(3.1, 3.95))
        ax.set_xticks([1.5e8, 3e8, 6e8, 1.4e9], [human(n) for n in (1.5e8, 3e8, 6e8, 1.4e9)])
        ax.minorticks_off()
        ax.set(xlabel="parameters of a model, N", ylabel="loss, nats per token")
        ax.legend(loc="upper right")
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
