"""Figure 16, published: training on a small domain itself, and on paraphrases of it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paper_figs.style import COLORS, MARKERS
from scaling import load_dataset
from scaling.published.talk_tables import ENTIGRAPH_ACCURACY, ENTIGRAPH_PAPER

NAME = "fig16"
TITLE = "The texts themselves teach nothing; paraphrases teach, more and more slowly"
CAPTION = (
    f"Published ({ENTIGRAPH_PAPER}): closed-book accuracy on QuALITY of Llama 3 8B, of the same "
    "model after continued pre-training on the 1.3M source tokens (below it), and on paraphrases "
    "of them, against synthetic tokens; EntiGraph at equal tokens for comparison. Lines: least "
    "squares on the logarithm of the tokens, made here, dashed where they extrapolate; the legend "
    "gives points of accuracy per e-fold of tokens with a 95 % interval."
)
_SERIES = {"rephrase_cpt": ("paraphrases", 1), "entigraph_cpt": ("EntiGraph", 0)}


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw both curves with their log-linear fits.

    Raises:
        FileNotFoundError: the points are not in the data folder.
    """
    table = load_dataset("entigraph")
    table = table[table["setting"] == "closed_book"]
    figure, ax = plt.subplots(figsize=(7.0, 4.4))
    frames = []
    for series, (label, i) in _SERIES.items():
        rows = table[table["series"] == series]
        x, y = rows["n_million_tokens"].to_numpy(float), rows["accuracy"].to_numpy(float)
        slope, at_one, half = log_linear(x, y)
        ax.plot(
            x, y, MARKERS[i], color=COLORS[i],
            label=f"{label}: {slope:.2f} ± {half:.2f} per e-fold",
        )  # fmt: skip
        line = np.geomspace(x.min(), 455, 60)
        for inside, linestyle in ((line <= x.max(), "-"), (line > x.max(), "--")):
            ax.plot(
                line[inside], at_one + slope * np.log(line[inside]), color=COLORS[i],
                linestyle=linestyle, linewidth=1,
            )  # fmt: skip
        frames.append(pd.DataFrame({"series": label, "x": x, "y": y, "slope": slope}))
    for name, linestyle in (("base", "-"), ("raw", ":")):
        accuracy = ENTIGRAPH_ACCURACY[name]
        ax.axhline(
            accuracy, color=COLORS[6], linestyle=linestyle, linewidth=1,
            label=f"{'base model' if name == 'base' else 'on the texts themselves'}: {accuracy}",
        )  # fmt: skip
    ax.set(xscale="log", xlabel="synthetic tokens (millions)", ylabel="closed-book accuracy (%)")
    ax.legend()
    return figure, pd.concat(frames, ignore_index=True)


def log_linear(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Least squares of y on ln x: slope, value at one, half the 95 % interval of the slope."""
    from scipy import stats

    found = stats.linregress(np.log(x), y)
    half = float(stats.t.ppf(0.975, len(x) - 2) * found.stderr)
    return float(found.slope), float(found.intercept), half
