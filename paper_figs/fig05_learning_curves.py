"""Figure 5: training and test loss against the size of the training set (Cortes et al. 1993)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.recipes.learning_curves import learning_curves
from experiments.story.story import Story
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, MARKERS, log_ticks, spread_x
from scaling import load_dataset
from scaling.fit import best_parameters

NAME = "fig05"
CLAIMS = ("P19",)
NEEDS = (learning_curves,)
TITLE = "Learning curves: large-data loss from small data"
CAPTION = (
    "Left: loss of the smallest model on its training tokens (final weights) and on the test set "
    "against the number of training tokens, for the same number of steps; one point per seed and "
    "draw of the corpus. Lines: E + B / l^alpha and E - C / l^beta with a common asymptote E "
    "(Cortes et al. 1993), fitted to the filled points, with a 95 % band; dashed where they "
    "extrapolate to the hollow points, which test the prediction. If the two curves were mirror "
    "images, half their sum would be constant. Right: their difference, which would then be a "
    "straight line on these axes. The talk shows the curves of the paper, without numbers."
)
N_CURVE = 100
N_BAND = 10  # points of a band, whose intervals take time
CURVES = {0.0: ("test", 0), 1.0: ("training", 1)}
PUBLISHED_TITLE = "Learning curves on little data predict the loss on more data"
PUBLISHED_CAPTION = (
    "Published curves (Alabdulmohsin et al. 2022, arXiv 2209.06640; 36 tasks from their benchmark "
    "of image classifiers), refitted here following Cortes et al. 1993, E_test = a + b / l^alpha. "
    "Left: three tasks; filled points were fitted, hollow points predicted, the law is dashed "
    "beyond the fitted points. Right: all tasks, root mean square error of ln(loss) over the "
    "hollow points, for the law fitted to all filled points and to the last half of them; black: "
    "medians. Training losses, which Cortes et al. use to fix the common asymptote, are not "
    "published for these curves."
)
_SHOWN = (("inet_10", "ViT/B/16"), ("inet_25", "BiT/50/1"), ("bird_10", "MiX/L/16"))
_WINDOWS = {"all points": 1.0, "last half": 0.5}


def draw(story: Story, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw both curves with their law, their sum and their difference.

    The frame has columns `what` (run, law, band, mean or asymptote), those of
    `LearningCurves.table`, `in_fit`, `test`, `training`, `half_sum`, `gap`, `low` and `high`.
    """
    curves = story[learning_curves]
    axes = ax, gaps = panels(ax, 1, 2, wide=1.5, width_ratios=(1.6, 1))
    known, largest = curves.known["n_examples"], float(curves.largest)
    drawn: dict[str, np.ndarray] = {}
    bands: list[pd.DataFrame] = []
    sizes = np.union1d(spread_x(known.min(), 2 * largest, N_CURVE), [known.max()])
    law = curves.law.evaluate
    for is_train, (label, i) in CURVES.items():
        rows = curves.table[curves.table["is_train"] == is_train]
        for held_out, of in rows.groupby(rows["n_examples"] == largest):
            ax.plot(
                of["n_examples"], of["loss"], MARKERS[i], color=COLORS[i],
                fillstyle="none" if held_out else "full", label=None if held_out else label,
            )  # fmt: skip
        drawn[label] = law(pd.DataFrame({"n_examples": sizes, "is_train": is_train}))
        _draw_law(ax, sizes, drawn[label], sizes <= known.max(), COLORS[i])
        few = spread_x(known.min(), 2 * largest, N_BAND)
        band = curves.law.predict(pd.DataFrame({"n_examples": few, "is_train": is_train}))
        ax.fill_between(few, band["low"], band["high"], color=COLORS[i], alpha=0.12, lw=0)
        bands.append(band[["low", "high"]].assign(n_examples=few, is_train=is_train))
    asymptote = curves.law.params["E"]
    ax.axhline(
        asymptote, color=BLACK, linestyle=":", linewidth=1, label=f"asymptote {asymptote:.3f}"
    )
    low, high = curves.table["loss"].min(), curves.table["loss"].max()
    ax.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
    log_ticks(ax, sorted(curves.table["n_examples"].unique()))
    ax.set(xlabel="training tokens", ylabel="loss (nats per token)", title=f"width {curves.width}")

    means = curves.table.pivot_table(index="n_examples", columns="is_train", values="loss")
    ax.plot(
        means.index, means.sum(axis=1) / 2, MARKERS[6], color=BLACK, label="half the sum",
        markersize=4,
    )  # fmt: skip
    ax.legend()
    gaps.plot(means.index, means[0.0] - means[1.0], MARKERS[2], color=COLORS[2])
    _draw_law(gaps, sizes, drawn["test"] - drawn["training"], sizes <= known.max(), COLORS[2])
    log_ticks(gaps, means.index.tolist())
    gaps.set(xlabel="training tokens", ylabel="test minus training loss (nats per token)")
    log_ticks(gaps, [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5], axis="y")
    points = curves.table.assign(what="run", in_fit=curves.table["n_examples"] < largest)
    at_means = means.rename(columns={0.0: "test", 1.0: "training"}).reset_index()
    frames = {
        "law": pd.DataFrame({"n_examples": sizes, **drawn}),
        "band": pd.concat(bands),
        "mean": at_means,
    }
    for name in ("law", "mean"):
        of = frames[name]
        frames[name] = of.assign(
            half_sum=(of["test"] + of["training"]) / 2, gap=of["test"] - of["training"]
        )
    frames["asymptote"] = pd.DataFrame({"loss": [asymptote]})
    tables = [of.assign(what=name) for name, of in frames.items()]
    return axes, pd.concat([points, *tables], ignore_index=True)


def _draw_law(
    ax: Axes, sizes: np.ndarray, values: np.ndarray, is_fitted: np.ndarray, color: str
) -> None:
    """Draw a curve, dashed beyond the sizes that were fitted."""
    last = int(np.flatnonzero(is_fitted)[-1])
    for part, linestyle in ((slice(None, last + 1), "-"), (slice(last, None), "--")):
        ax.plot(sizes[part], values[part], color=color, linestyle=linestyle, linewidth=1.2)


def draw_published(ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw three curves with their predictions, and the errors of all.

    The frame has columns `what` (point, law, error or median error), `series`, `x`, `y`, `window`
    and `error`.

    Raises:
        FileNotFoundError: the curves are not in the data folder.
    """
    table = load_dataset("learning_curves")
    axes = ax, errors = panels(ax, 1, 2, wide=1.5, width_ratios=(1.7, 1))
    rows = []
    for (task, model), curve in table.groupby(["task", "model"]):
        curve = curve.sort_values("n_examples")
        for window, share in _WINDOWS.items():
            law = _fit(curve[curve["is_fit"] == 1], share)
            rows.append((f"{task}, {model}", window, _error(law, curve[curve["is_fit"] == 0])))
    shown = []
    for i, (task, model) in enumerate(_SHOWN):
        curve = table[(table["task"] == task) & (table["model"] == model)]
        shown += _curve(ax, curve.sort_values("n_examples"), i, f"{task}, {model}")
    ax.set(xscale="log", yscale="log", xlabel="examples", ylabel="test loss")
    ax.legend()
    found = pd.DataFrame(rows, columns=["series", "window", "error"])
    medians = _errors(errors, found)
    return axes, pd.concat([found.assign(what="error"), medians, *shown], ignore_index=True)


def _fit(curve: pd.DataFrame, share: float) -> dict[str, float]:
    kept = curve.iloc[-max(4, round(share * len(curve))) :]
    return best_parameters(kept, "power", x="n_examples", y="loss")


def _predict(law: dict[str, float], examples: np.ndarray) -> np.ndarray:
    return law["E"] + law["A"] * examples ** -law["alpha"]


def _error(law: dict[str, float], held_out: pd.DataFrame) -> float:
    predicted = _predict(law, held_out["n_examples"].to_numpy())
    return float(np.sqrt(np.mean(np.log(predicted / held_out["loss"]) ** 2)))


def _curve(ax: Axes, curve: pd.DataFrame, i: int, label: str) -> list[pd.DataFrame]:
    """Draw a curve and its law; return both."""
    frames = []
    fitted = curve["is_fit"] == 1
    law = _fit(curve[fitted], 0.5)
    for part, fill in ((fitted, "full"), (~fitted, "none")):
        shown = curve[part].iloc[:: max(1, part.sum() // 25)]
        ax.plot(
            shown["n_examples"], shown["loss"], MARKERS[i], color=COLORS[i], fillstyle=fill,
            label=label if fill == "full" else None,
        )  # fmt: skip
        points = {"what": "point", "series": label, "x": shown["n_examples"], "y": shown["loss"]}
        frames.append(pd.DataFrame(points))
    last = curve.loc[fitted, "n_examples"].max()
    examples = np.geomspace(last / 10, curve["n_examples"].max(), 80)
    for inside, linestyle in ((examples <= last, "-"), (examples > last, "--")):
        ax.plot(
            examples[inside], _predict(law, examples[inside]), color=BLACK,
            linestyle=linestyle, linewidth=1,
        )  # fmt: skip
    predicted = {"what": "law", "series": label, "x": examples, "y": _predict(law, examples)}
    return [*frames, pd.DataFrame(predicted)]


def _errors(ax: Axes, found: pd.DataFrame) -> pd.DataFrame:
    """Draw the errors of all curves; return their medians."""
    medians = found.groupby("window", sort=False)["error"].median()
    rng = np.random.default_rng(0)
    for place, (_, rows) in enumerate(found.groupby("window", sort=False)):
        across = place + rng.uniform(-0.12, 0.12, len(rows))
        ax.plot(across, rows["error"], MARKERS[place], color=COLORS[place], alpha=0.5)
        middle = float(medians.iloc[place])
        ax.plot([place - 0.25, place + 0.25], [middle, middle], color=BLACK)
        ax.annotate(f"{middle:.3f}", (place + 0.27, middle), va="center", fontsize="small")
    ax.set_xticks(range(len(_WINDOWS)), list(_WINDOWS))
    ax.set(yscale="log", xlim=(-0.5, 1.7), xlabel="fitted to", ylabel="error of the prediction")
    return medians.reset_index().assign(what="median error")
