"""Figure 19: the mixture-of-exponentials law, as printed and corrected, against the process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.lab.source import source_of
from experiments.runs.archive import SHIPPED
from experiments.runs.records import keep_record, read_record
from graphsim import (
    EntityGraph,
    average_accuracy,
    expected_accuracy,
    finite_law,
    phases,
    printed_law,
    simulate_runs,
)
from paper_figs.layout import Place, panels
from paper_figs.style import BLACK, COLORS, MARKERS

NAME = "fig19"
CLAIMS = ("S7",)
NEEDS = ()
TITLE = "EntiGraph's accuracy has three phases; the printed law is too low, the corrected one holds"
CAPTION = (
    "Everything is computed here, on random directed graphs of the model in arXiv 2409.07431. "
    "Top: share of pairs known after s steps per ordered pair, for V = 100 (as in Figure 5 of the "
    "paper; mean of 30 runs on one graph, band of two standard deviations over runs) and V = "
    "100,000 (64 sampled sources, band of two standard errors); the exact expectation on the same "
    "graph; the law as printed (Section 6.3, summed with exp(-sk)) and the corrected law of "
    "graphsim, both averages over graphs. Grey: the linear phase, the log-linear window and the "
    "plateau of the corrected law. Bottom: relative error of both laws against the exact "
    "expectation averaged over graphs; left, against mean degree at s = 0.1 and V = 10,000, with "
    "two standard errors over graphs; right, against s at mean degree 3 for four sizes (standard "
    "errors are in the CSV file)."
)

_DEGREE = 3.0
_DEGREES = (1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
_AT = np.array([0.1])
# Rounded, because the last bit of a geometric series, and so a record's key, differs by processor.
_TIMES = np.array([float(f"{time:.4g}") for time in np.geomspace(1e-3, 20, 40)])
_N_GRAPHS = 24
_SIZES = {100: 800, 1_000: 80, 10_000: 12, 100_000: 3}  # V and how many graphs are averaged
RECORDS = "graph_averages"
"""Kind of the records of the averages; `python -m paper_figs.fig19_entigraph_law` writes them."""
_LAWS = {
    "printed": (printed_law, COLORS[1], "--", MARKERS[1]),
    "corrected": (finite_law, COLORS[2], "-", MARKERS[2]),
}


def draw(story: object = None, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw the curves and the errors of the laws.

    The frame has columns `panel`, `series`, `x`, `y`, `stderr`, and `low` and `high` of bands.
    """
    axes = panels(ax, 2, 2, wide=1.5, tall=1.7)
    frames = [
        _small(axes[0]),
        _large(axes[1]),
        _errors_over_degree(axes[2]),
        _errors_over_size(axes[3]),
    ]
    return axes, pd.concat(frames, ignore_index=True)


draw_published = draw


def _small(ax: Axes) -> pd.DataFrame:
    n_entities, n_runs = 100, 30
    graph = EntityGraph.random(n_entities, _DEGREE, seed=1)
    steps = np.unique(np.geomspace(1, 10 * graph.n_pairs, 80).astype(int))
    s = steps / graph.n_pairs
    runs = simulate_runs(graph, int(steps[-1]), n_runs, seed=2, times=steps)
    exact = expected_accuracy(graph, steps)
    band = _band(ax, s, runs.accuracy, runs.stderr * np.sqrt(n_runs))
    ax.plot(
        s, runs.accuracy, MARKERS[0], color=COLORS[0], fillstyle="none", markevery=3,
        label=f"simulation, mean of {n_runs} runs",
    )  # fmt: skip
    ax.plot(s, exact.accuracy, color=BLACK, linewidth=1.2, label="exact, same graph")
    frame = _curves(ax, n_entities, s)
    frame["simulation"], frame["stderr"] = runs.accuracy, runs.stderr
    frame["exact"] = exact.accuracy
    ax.set_title("V = 100, mean degree 3", pad=16)
    ax.set_ylabel("share of pairs known")
    return pd.concat([_long(frame, panel="V=100"), band.assign(panel="V=100")])


def _large(ax: Axes) -> pd.DataFrame:
    n_entities = 100_000
    graph = EntityGraph.random(n_entities, _DEGREE, seed=1)
    s = np.geomspace(1e-6, 10, 120)
    exact = expected_accuracy(graph, s, 64, per_pair=True)
    band = _band(ax, s, exact.accuracy, exact.stderr)
    ax.plot(s, exact.accuracy, color=BLACK, linewidth=1.2, label="exact, 64 sources")
    frame = _curves(ax, n_entities, s)
    frame["exact"], frame["stderr"] = exact.accuracy, exact.stderr
    ax.set_title("V = 100,000, mean degree 3", pad=16)
    return pd.concat([_long(frame, panel="V=100000"), band.assign(panel="V=100000")])


def _curves(ax: Axes, n_entities: int, s: np.ndarray) -> pd.DataFrame:
    """Draw both laws, the phases and the axes of a top panel."""
    frame = pd.DataFrame({"x": s})
    for name, (law, color, linestyle, _) in _LAWS.items():
        frame[name] = law(_DEGREE, n_entities, s, per_pair=True)
        ax.plot(s, frame[name], color=color, linestyle=linestyle, label=f"{name} law")
    found = phases(_DEGREE, n_entities)
    spans = {
        "linear": (s[0], found.linear_end),
        "log-linear": (found.window_start, found.window_end),
        "plateau": (found.plateau_start, s[-1]),
    }
    for name, (low, high) in spans.items():
        ax.axvspan(low, high, color="#bbbbbb", alpha=0.3, linewidth=0)
        middle = np.sqrt(low * high)
        ax.text(middle, 1.03, name, ha="center", va="bottom", fontsize="small")
    ax.set(xscale="log", xlabel="steps per ordered pair, s", ylim=(-0.02, 1.02))
    ax.legend(loc="center left")
    return frame


def _band(ax: Axes, s: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> pd.DataFrame:
    """Draw two standard deviations on both sides of a mean."""
    low, high = mean - 2 * spread, mean + 2 * spread
    ax.fill_between(s, low, high, color=COLORS[5], alpha=0.4, lw=0)
    return pd.DataFrame({"series": "band", "x": s, "low": low, "high": high})


def _errors_over_degree(ax: Axes) -> pd.DataFrame:
    frame = pd.concat([_errors(10_000, degree, _AT, _N_GRAPHS) for degree in _DEGREES])
    frame["x"] = _DEGREES
    for name, (_, color, linestyle, marker) in _LAWS.items():
        ax.errorbar(
            frame["x"], 100 * frame[name], yerr=200 * frame["stderr"], color=color,
            linestyle=linestyle, marker=marker, capsize=2, label=f"{name} law",
        )  # fmt: skip
    ax.axhline(0, color=BLACK, linewidth=0.8)
    ax.set(xscale="log", xlabel="mean degree", ylabel="law / exact - 1 (%)")
    ax.set_title("s = 0.1, V = 10,000")
    ax.set_xticks(_DEGREES, [f"{degree:g}" for degree in _DEGREES])
    ax.minorticks_off()
    ax.legend(loc="center right")
    return _long(frame, panel="degree")


def _errors_over_size(ax: Axes) -> pd.DataFrame:
    frames = []
    for (n_entities, n_graphs), marker in zip(_SIZES.items(), MARKERS, strict=False):
        frame = _errors(n_entities, _DEGREE, _TIMES, n_graphs)
        for name, (_, color, linestyle, _) in _LAWS.items():
            ax.plot(
                _TIMES, 100 * frame[name], color=color, linestyle=linestyle, marker=marker,
                markevery=4, linewidth=0.9, fillstyle="none",
                label=f"V = {n_entities:,}" if name == "printed" else None,
            )  # fmt: skip
        frames.append(_long(frame, panel=f"error V={n_entities}"))
    ax.axhline(0, color=BLACK, linewidth=0.8)
    ax.set(xscale="log", xlabel="steps per ordered pair, s", title="mean degree 3")
    ax.legend(loc="upper right", title="printed dashed, corrected solid", title_fontsize="small")
    return pd.concat(frames)


def _errors(n_entities: int, mean_degree: float, s: np.ndarray, n_graphs: int) -> pd.DataFrame:
    """Return relative errors of both laws at times s and the standard error over graphs."""
    mean, stderr = averages(n_entities, mean_degree, s, n_graphs)
    frame = pd.DataFrame({"x": s, "stderr": stderr / mean})
    for name, (law, *_) in _LAWS.items():
        frame[name] = law(mean_degree, n_entities, s, per_pair=True) / mean - 1
    return frame


def averages(
    n_entities: int, mean_degree: float, s: np.ndarray, n_graphs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact accuracy averaged over graphs and its standard error, both [n_times].

    They are read from a record that comes with the package, if the code that computed it is that of
    today; otherwise they are computed, which takes seconds.

    Args:
        n_entities: V.
        mean_degree: of the graphs.
        s: steps per ordered pair, [n_times].
        n_graphs: number of graphs.
    """
    settings = _settings(n_entities, mean_degree, s, n_graphs)
    kept = read_record(SHIPPED, RECORDS, settings, source_of(average_accuracy))
    mean, stderr = average_accuracy(**settings) if kept is None else kept
    return np.array(mean), np.array(stderr)


def _settings(n_entities: int, mean_degree: float, s: np.ndarray, n_graphs: int) -> dict[str, Any]:
    """Return the arguments of `average_accuracy`, which name its record."""
    return {
        "n_entities": n_entities, "mean_degree": mean_degree, "times": np.asarray(s).tolist(),
        "n_graphs": n_graphs, "n_sources": None if n_entities <= 1000 else 16,
    }  # fmt: skip


def keep_averages() -> None:
    """Compute all averages that the figure shows, and write the records of the package."""
    shown = [_settings(10_000, degree, _AT, _N_GRAPHS) for degree in _DEGREES]
    shown += [_settings(n, _DEGREE, _TIMES, n_graphs) for n, n_graphs in _SIZES.items()]
    for settings in shown:
        values = [part.tolist() for part in average_accuracy(**settings)]
        keep_record(SHIPPED, RECORDS, settings, values, source=source_of(average_accuracy))


def _long(frame: pd.DataFrame, panel: str) -> pd.DataFrame:
    """Return one row per plotted value; the standard error is that of the measured series."""
    values = frame.melt(id_vars=["x", "stderr"], var_name="series", value_name="y")
    return values.assign(panel=panel)[["panel", "series", "x", "y", "stderr"]]


if __name__ == "__main__":
    keep_averages()
