"""Figure 5, published: the beginning of a learning curve predicts its end."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figs.style import COLORS, MARKERS
from scaling import load_dataset
from scaling.fit import best_parameters

NAME = "fig05"
TITLE = "Learning curves predict the loss on more data from that on less"
CAPTION = (
    "Published curves (Alabdulmohsin et al. 2022, arXiv 2209.06640; 36 tasks of their benchmark "
    "of image classifiers), refitted here after Cortes et al. 1993, E_test = a + b / l^alpha. "
    "Left: three tasks; filled points were fitted, hollow ones predicted, the law dashed beyond "
    "what it was fitted to. Right: all tasks, root mean square error of ln(loss) over the hollow "
    "points, for the law fitted to all filled points and to their last half; black: the medians. "
    "Training losses, with which Cortes et al. pin the common asymptote, are not published for "
    "these."
)
_SHOWN = (("inet_10", "ViT/B/16"), ("inet_25", "BiT/50/1"), ("bird_10", "MiX/L/16"))
_WINDOWS = {"all points": 1.0, "last half": 0.5}


def draw(context: object) -> tuple[Figure, pd.DataFrame]:
    """Draw three curves with their predictions, and the errors of all.

    Raises:
        FileNotFoundError: the curves are not in the data folder.
    """
    table = load_dataset("learning_curves")
    figure, (ax, errors) = plt.subplots(
        1, 2, figsize=(9.6, 4.2), gridspec_kw={"width_ratios": [1.7, 1]}
    )
    rows = []
    for (task, model), curve in table.groupby(["task", "model"]):
        curve = curve.sort_values("n_examples")
        for window, share in _WINDOWS.items():
            law = _fit(curve[curve["is_fit"] == 1], share)
            rows.append((f"{task}, {model}", window, _error(law, curve[curve["is_fit"] == 0])))
    for i, (task, model) in enumerate(_SHOWN):
        curve = table[(table["task"] == task) & (table["model"] == model)]
        _curve(ax, curve.sort_values("n_examples"), i, f"{task}, {model}")
    ax.set(xscale="log", yscale="log", xlabel="examples", ylabel="test loss")
    ax.legend()
    found = pd.DataFrame(rows, columns=["series", "window", "error"])
    _errors(errors, found)
    return figure, found


def _fit(curve: pd.DataFrame, share: float) -> dict[str, float]:
    kept = curve.iloc[-max(4, round(share * len(curve))) :]
    return best_parameters(kept, "power", x="n_examples", y="loss")


def _predict(law: dict[str, float], examples: np.ndarray) -> np.ndarray:
    return law["E"] + law["A"] * examples ** -law["alpha"]


def _error(law: dict[str, float], held_out: pd.DataFrame) -> float:
    predicted = _predict(law, held_out["n_examples"].to_numpy())
    return float(np.sqrt(np.mean(np.log(predicted / held_out["loss"]) ** 2)))


def _curve(ax: Axes, curve: pd.DataFrame, i: int, label: str) -> None:
    fitted = curve["is_fit"] == 1
    law = _fit(curve[fitted], 0.5)
    for part, fill in ((fitted, "full"), (~fitted, "none")):
        shown = curve[part].iloc[:: max(1, part.sum() // 25)]
        ax.plot(
            shown["n_examples"], shown["loss"], MARKERS[i], color=COLORS[i], fillstyle=fill,
            label=label if fill == "full" else None,
        )  # fmt: skip
    last = curve.loc[fitted, "n_examples"].max()
    examples = np.geomspace(last / 10, curve["n_examples"].max(), 80)
    for inside, linestyle in ((examples <= last, "-"), (examples > last, "--")):
        ax.plot(
            examples[inside], _predict(law, examples[inside]), color=COLORS[6],
            linestyle=linestyle, linewidth=1,
        )  # fmt: skip


def _errors(ax: Axes, found: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    for place, (_, rows) in enumerate(found.groupby("window", sort=False)):
        across = place + rng.uniform(-0.12, 0.12, len(rows))
        ax.plot(across, rows["error"], MARKERS[place], color=COLORS[place], alpha=0.5)
        middle = rows["error"].median()
        ax.plot([place - 0.25, place + 0.25], [middle, middle], color=COLORS[6])
        ax.annotate(f"{middle:.3f}", (place + 0.27, middle), va="center", fontsize=8.5)
    ax.set_xticks(range(len(_WINDOWS)), list(_WINDOWS))
    ax.set(yscale="log", xlim=(-0.5, 1.7), xlabel="fitted to", ylabel="error of the prediction")
