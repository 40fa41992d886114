"""Fitters on tables of known truth, laws on public tables, and the time of each law.

`python -m tests.benchmarks.leaderboard` measures all of it and writes docs/tables/leaderboard.csv,
docs/tables/goals.csv and docs/leaderboard.md; `--tables 2` is a quick look, which writes nothing.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.optimize import curve_fit, least_squares, minimize

from scaling import LAWS, audit, compare_laws, design, fit_law, load_dataset
from scaling.fit import best_parameters
from tests.benchmarks.coverage import DESIGNS, DOCS, HOLDS, LIMIT, NOISE, WRONG
from tests.scaling import designs
from tests.scaling.conftest import TRUTHS, _law_values

Array = np.ndarray
Parameters = tuple[float, float, float]
"""E, A and alpha of E + A (N / 1e6)^-alpha."""

TABLES = 10
BEYOND = 1e10
"""Size at which losses are predicted: ten times the largest of every design."""
CHOSEN = (
    *("5 sizes x 3", "8 sizes x 3, exponent 1", "6 sizes x 1"),
    *("two powers, 8 sizes x 3", "break to flatter, 8 sizes x 3", "break to steeper, 8 sizes x 3"),
    *("tuning error 0.01, 5 sizes x 3", "10 % outliers, 8 sizes x 3"),
)
HUBER = 1e-3
"""Transition of the Huber loss of Hoffmann et al. 2022, arXiv 2203.15556, section 3.3."""
ROWS = 240


def _power(n: Array, limit: float, size: float, exponent: float) -> Array:
    return limit + size * (n / 1e6) ** -exponent


def _one_start(n: Array, y: Array) -> Parameters:
    """scipy's curve_fit from one start, as in docs/coverage.md."""
    start = (y.min(), max(np.ptp(y), 1e-6), 0.5)
    return tuple(curve_fit(_power, n, y, p0=start, maxfev=2000)[0])


def _robust(n: Array, y: Array) -> Parameters:
    """scipy's least_squares with a Huber loss of ln(loss), from one start, within bounds."""
    start = (0.9 * y.min(), max(np.ptp(y), 1e-6), 0.5)
    found = least_squares(
        lambda p: np.log(_power(n, *p) / y), start, bounds=(0, np.inf), loss="huber", f_scale=HUBER
    )
    return tuple(found.x)


def _grid_of_starts(n: Array, y: Array) -> Parameters:
    """L-BFGS from 48 starts under the loss of Hoffmann et al., E and A as logarithms."""
    log_n, log_y = np.log(n / 1e6), np.log(y)

    def cost(p: Array) -> tuple[float, Array]:
        terms = np.stack([np.full(len(n), p[0]), p[1] - p[2] * log_n])
        total = np.logaddexp(*terms)
        share = np.exp(terms - total)
        score = np.clip(total - log_y, -HUBER, HUBER)
        value = float((score * (total - log_y - 0.5 * score)).sum())
        slopes = (share[0], share[1], -share[1] * log_n)
        return value, np.array([score @ slope for slope in slopes])

    starts = itertools.product((-1.0, 0.0, 0.5, 1.0), (-3.0, -1.0, 1.0), (0.0, 0.5, 1.0, 2.0))
    best = min(
        (minimize(cost, s, jac=True, method="L-BFGS-B") for s in starts), key=lambda r: r.fun
    )
    return float(np.exp(best.x[0])), float(np.exp(best.x[1])), float(best.x[2])


def _ours(n: Array, y: Array) -> Parameters:
    """`fit_law`, whose time contains both intervals and the diagnosis."""
    p = fit_law(x=n, y=y, law="power", n_boot=0).params
    return p["E"], p["A"] * 1e6 ** -p["alpha"], p["alpha"]


def _ours_without_intervals(n: Array, y: Array) -> Parameters:
    """`best_parameters`: the optimum of least squares in ln(loss), alone."""
    p = best_parameters(None, "power", x=n, y=y)
    return p["E"], p["A"] * 1e6 ** -p["alpha"], p["alpha"]


FITTERS: dict[str, Callable[[Array, Array], Parameters]] = {
    "fit_law": _ours,
    "best_parameters": _ours_without_intervals,
    "curve_fit, one start": _one_start,
    "least_squares, Huber": _robust,
    "L-BFGS, 48 starts": _grid_of_starts,
}


@np.errstate(all="ignore")
def fitters(tables: int = TABLES) -> pd.DataFrame:
    """A row per design and fitter: median errors of E, alpha and of the loss at `BEYOND`, CPU ms.

    Columns kind, design, fitter, tables, E (nats), alpha (missing where no power law holds), beyond
    (%), failed (share of tables), cpu_ms.
    """
    rows = []
    for name in CHOSEN:
        design, rng = DESIGNS[name], np.random.default_rng(2)
        known = [design.truth(np.array([size]))[0] - LIMIT for size in (1e6, 1e9)]
        exponent = np.log(known[0] / known[1]) / np.log(1e3) if design.kind != WRONG else np.nan
        truth = design.truth(np.array([BEYOND]))[0]
        drawn = [design.table(rng) for _ in range(tables)]
        for fitter, work in FITTERS.items():
            errors, begun = [], time.process_time()
            for frame in drawn:
                try:
                    p = work(frame["n"].to_numpy(), frame["y"].to_numpy())
                except RuntimeError:
                    continue
                beyond = np.log(_power(np.array([BEYOND]), *p)[0] / truth)
                errors.append((abs(p[0] - LIMIT), abs(p[2] - exponent), 100 * abs(beyond)))
            spent = 1e3 * (time.process_time() - begun) / tables
            middle = np.median(np.nan_to_num(errors, nan=np.inf), axis=0)
            rows.append(
                {
                    "kind": design.kind,
                    "design": name,
                    "fitter": fitter,
                    "tables": tables,
                    "E": round(float(middle[0]), 4),
                    "alpha": round(float(middle[1]), 3) if np.isfinite(middle[1]) else None,
                    "beyond": round(float(middle[2]), 2),
                    "failed": round(1 - len(errors) / tables, 2),
                    "cpu_ms": round(spent, 1),
                }
            )
    return pd.DataFrame(rows)


def _public() -> dict[str, pd.DataFrame]:
    tables = {name: load_dataset(name) for name in ("chinchilla_epoch", "gemstones_hot")}
    tables |= {f"kempner {k}": rows for k, rows in load_dataset("kempner").groupby("corpus")}
    return tables | {"steplaw, best of size": load_dataset("steplaw")}


def _held_out(frame: pd.DataFrame, laws: list[str], way: str) -> tuple[dict[str, float], float]:
    """Error of each law outside in one direction, and of an average that never saw these rows.

    The average is made from the rows inside alone: its weights come from a hold-out among them.
    """
    whole = compare_laws(frame, laws, directions=[way])
    outside = whole.directions[0].outside
    inside = compare_laws(frame[~outside], laws, directions=[way])
    predicted = inside.predict(frame[outside])["mean"].to_numpy()
    error = np.log(predicted / frame["loss"].to_numpy()[outside])
    known = {one.fit.law.name: one.errors.get(way, np.inf) for one in whole.judgements}
    return known, float(np.sqrt(np.mean(error**2)))


def _goal(what: str, goal: str, reached: str, met: bool) -> dict[str, str]:
    return {"what": what, "goal": goal, "reached": reached, "met": "yes" if met else "no"}


def public_tables() -> list[dict[str, str]]:
    """Goals of laws and their average on public tables, as rows of `goals.csv`."""
    rows, laws = [], ["chinchilla", "tied_chinchilla", "skaling"]
    for name, frame in _public().items():
        frame = frame.reset_index(drop=True)
        known, average = _held_out(frame, laws, "compute")
        one, other, best = known["skaling"], known["chinchilla"], min(known.values())
        rows.append(
            _goal(f"`skaling` / `chinchilla` beyond the compute, {name}", "below 1",
                  f"{one / other:.2f} ({100 * one:.2f} % / {100 * other:.2f} %)", one < other)
        )  # fmt: skip
        rows.append(
            _goal(f"average / best law beyond the compute, {name}", "at most 1.1",
                  f"{average / best:.2f}", average <= 1.1 * best)
        )  # fmt: skip
    frame = load_dataset("data_constrained")
    laws = [*laws, "data_constrained", "lovelace", "overfitting"]
    for way in ("compute", "n_params", "n_tokens", "repetitions"):
        known, average = _held_out(frame, laws, way)
        best, worst = min(known.values()), max(known.values())
        rows.append(
            _goal(f"average / best law in {way}, data_constrained", "at most 1.2",
                  f"{average / best:.2f} (worst law {worst / best:.1f})", average <= 1.2 * best)
        )  # fmt: skip
    return rows


def _columns(law: str) -> dict[str, Array]:
    """Columns of `ROWS` rows that identify a law."""
    grid = {
        ("n_params", "n_tokens"): (np.geomspace(1e6, 1e9, 16), np.geomspace(1e8, 1e11, 15)),
        ("n_params", "n_members"): (np.geomspace(1e6, 1e9, 24), np.arange(1.0, 11.0)),
        ("n_examples", "is_train"): (np.geomspace(100, 1e5, 120), np.array([0.0, 1.0])),
        ("task_loss",): (np.linspace(0.3, 2.5, ROWS),),
        ("time",): (np.geomspace(1, 1e4, ROWS),),
        ("n_params",): (np.geomspace(1e6, 1e9, ROWS),),
    }
    names = LAWS[law].columns
    if names in grid:
        return dict(zip(names, (v.ravel() for v in np.meshgrid(*grid[names])), strict=True))
    axes = np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e10, 5), 2.0 ** np.arange(8)
    n, unique, epochs = (v.ravel() for v in np.meshgrid(*axes))
    return {"n_params": n, "n_tokens": unique * epochs, "n_unique_tokens": unique}


def speed() -> list[dict[str, str]]:
    """Goals of time and of the audit, as rows of `goals.csv`."""
    rows, tables = [], {}
    for law, truth in TRUTHS.items():
        columns = _columns(law)
        noise = np.random.default_rng(0).normal(0, 0.005, ROWS)
        tables[law] = pd.DataFrame(
            {**columns, "loss": _law_values(law, columns, truth) * np.exp(noise)}
        )
        fit_law(tables[law].iloc[::6], law, n_boot=0)  # the first call imports
        spent = []
        for _ in range(2):
            begun = time.process_time()
            fit_law(tables[law], law, n_boot=0)
            spent.append(1e3 * (time.process_time() - begun))
        rows.append(
            _goal(f"CPU of a fit of `{law}` to {ROWS} rows, with intervals", "at most 100 ms",
                  f"{min(spent):.0f} ms", min(spent) <= 100)
        )  # fmt: skip
    repeated = tables["data_constrained"]
    frame = pd.concat([repeated, repeated, repeated.iloc[:20]], ignore_index=True)
    frame["loss"] *= np.exp(np.random.default_rng(1).normal(0, 0.005, len(frame)))
    begun = time.process_time()
    n_laws = len(compare_laws(frame).judgements)
    seconds = time.process_time() - begun
    rows.append(
        _goal(f"CPU of `compare` of {n_laws} laws in 4 directions, {len(frame)} rows",
              "at most 10 s", f"{seconds:.1f} s", seconds <= 10)
    )  # fmt: skip
    n = np.geomspace(1e6, 163e6, 8)
    sweep = pd.DataFrame({"n_params": n, "n_tokens": 20 * n, "loss": designs.chinchilla(n, 20 * n)})
    said = "read up to 28 times" in audit(sweep, unique_tokens=117e6).summary()
    rows.append(
        _goal("audit of 8 sizes at 20 tokens per parameter on 117M tokens",
              "says `read up to 28 times`", "it does" if said else "it does not", said)
    )  # fmt: skip
    return rows


def suggested_runs(worlds: int = 100) -> list[dict[str, str]]:
    """The goal of `design`, a row of `goals.csv`: three runs suggested to a table of a grid.

    Both designs spend the FLOPs of the largest run of the grid. A test finds no others at equal
    FLOPs that are expected to do better, so the goal asks for more than any three runs give.
    """
    budget, ratios = 6 * 1e9 * 3e10, []
    for seed in range(worlds):
        frame, widths = designs.grid(seed), []
        found = design(fit_law(frame, "chinchilla", n_boot=0), budget)
        for runs in (found.runs, found.uniform):
            noise = np.random.default_rng(seed).normal(0, 0.005, len(runs))
            loss = designs.chinchilla(runs["n_params"], runs["n_tokens"]) * np.exp(noise)
            more = pd.concat([frame, runs.assign(loss=loss)], ignore_index=True)
            low, high = fit_law(more, "chinchilla", n_boot=0).interval("E", method="sandwich")
            widths.append(high - low)
        ratios.append(widths[0] / widths[1])
    half, low, middle, high = np.mean(np.array(ratios) <= 0.5), *np.quantile(ratios, [0, 0.5, 1])
    return [
        _goal("interval of E after 3 runs of `design` / after a uniform design",
              f"at most .5 in 80 of 100 worlds, here {worlds}",
              f"in {half * worlds:.0f}; median {middle:.2f}, {low:.2f} to {high:.2f}", half >= 0.8)
    ]  # fmt: skip


def page(measured: pd.DataFrame, goals: pd.DataFrame) -> str:
    """The Markdown page of both tables."""
    lines = [INTRODUCTION.format(tables=int(measured["tables"].iloc[0]))]
    for kind in (HOLDS, WRONG, NOISE):
        part = measured[measured["kind"] == kind]
        lines += [f"\n### Where {kind}\n", HEADER]
        for row in part.to_dict("records"):
            alpha = "" if np.isnan(row["alpha"]) else f"{row['alpha']:.3f}"
            failed = f", failed on {row['failed']:.0%}" if row["failed"] else ""
            lines.append(
                f"| {row['design']} | {row['fitter']}{failed} | {row['E']:.4f} | {alpha} "
                f"| {row['beyond']:.2f} | {row['cpu_ms']:.0f} |"
            )
    rivals = goals[goals["what"].str.startswith("`skaling` / ")]
    won = int((rivals["met"] == "yes").sum())
    lines.append(GOALS.format(won=won, rivals=len(rivals)))
    lines += [f"| {r.what} | {r.goal} | {r.reached} | {r.met} |" for r in goals.itertuples()]
    return "\n".join(lines) + "\n"


HEADER = """\
| design | fitter | error of E | error of alpha | error at 10 times the size, % | CPU ms |
|---|---|---|---|---|---|"""
INTRODUCTION = """\
# Fitters and laws, measured

Made by `python -m tests.benchmarks.leaderboard`; the numbers are in
[tables/leaderboard.csv](tables/leaderboard.csv) and [tables/goals.csv](tables/goals.csv).

## Fitters on known truth

Medians of absolute errors over {tables} tables a design, the designs of [coverage](coverage.md),
whose largest size is $10^9$: of the limit $E$ in nats, of the exponent where a power law holds, and
of the loss at $10^{{10}}$. So few tables rank fitters only where errors differ by a factor; how
often intervals hold the truth is measured there on 200. All fit $E + A / N^\\alpha$: where another
law holds, all are wrong alike, and only intervals and diagnoses help. `fit_law` also computes both
intervals and a status; `best_parameters` is its search alone, with squares instead of the Huber
loss. `least_squares` is scipy's with a Huber loss of ln(loss); L-BFGS starts at 48 places under the
loss of Hoffmann et al. 2022. CPU time is that of one fit, here on slow cores beside other work."""
GOALS = """
## Goals of laws and commands

What was asked of the laws, and what is reached. A law's error is the root mean square of
ln(prediction / loss) in the largest quarter, which it has not seen. The average has not seen it
either: its weights come from a hold-out among the remaining rows, whereas
[`compare`](command-line.md#compare) prints the error on the rows that chose its weights. The best
law is known only afterwards. Times are CPU times on slow cores beside other work, and vary by a
factor of two. `skaling` predicts better than `chinchilla` on {won} of {rivals} tables, under the
default loss of `fit_law`.

| what | goal | reached | met |
|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=TABLES, help="tables a design")
    options = parser.parse_args()
    measured = fitters(options.tables)
    print(measured.drop(columns="kind").to_string(index=False), flush=True)
    goals = pd.DataFrame([*public_tables(), *speed(), *suggested_runs()])
    print(goals.to_string(index=False))
    if options.tables >= TABLES:
        measured.to_csv(DOCS / "tables" / "leaderboard.csv", index=False)
        goals.to_csv(DOCS / "tables" / "goals.csv", index=False)
        (DOCS / "leaderboard.md").write_text(page(measured, goals), encoding="utf-8")


if __name__ == "__main__":
    main()
