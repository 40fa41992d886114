"""Coverage of intervals of the asymptote on tables made from a known truth.

`python -m tests.benchmarks.coverage` judges every method on every design and writes
docs/tables/coverage.csv and docs/coverage.md; with `--design`, it replaces the rows of these
designs. `--tables 20` is a quick look, which writes nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import curve_fit
from scipy.stats import t as student_t

from scaling import fit_law, joint_limit
from tests.scaling import designs

DOCS = Path(__file__).resolve().parents[2] / "docs"
CSV = DOCS / "tables" / "coverage.csv"
LIMIT = 3.43
TABLES = 200
RESAMPLES = 60
ENSEMBLES = {
    "independent": designs.independent,
    "nested": designs.nested,
    "subsets": designs.subset_means,
}
Array = np.ndarray
Truth = Callable[[Array], Array]


@dataclass(frozen=True, kw_only=True)
class Design:
    """How the tables of a design are made.

    Attributes:
        kind: heading under which it stands in the table.
        truth: losses without noise at sizes (n_rows,).
        sizes: number of sizes, over three decades.
        repeats: runs at each size.
        noise: standard deviation of a run.
        tuning: scale of the half-normal error that all runs of a size share.
        outliers: share of runs that end far too high.
        shrinking: whether the noise falls with size.
        checkpoints: rows of a run that share its error (then a size has one run).
        columns: "n", "collinear" (N and D = 20 N), "grid" (N x D), "members" (N x K), or how
            ensembles share members, which `joint_limit` has to find out.
    """

    kind: str
    truth: Truth
    sizes: int = 8
    repeats: int = 3
    noise: float = 0.005
    tuning: float = 0.0
    outliers: float = 0.0
    shrinking: bool = False
    checkpoints: int = 1
    columns: str = "n"

    def table(self, rng: np.random.Generator) -> pd.DataFrame:
        """Columns n, y and, by design, d, k and run."""
        size = np.geomspace(1e6, 1e9, self.sizes)
        if self.columns in ENSEMBLES:
            frame = ENSEMBLES[self.columns](int(rng.integers(2**31)), most=self.repeats)
            return frame.assign(loss=frame["loss"] + LIMIT - designs.LIMIT)
        if self.columns in ("grid", "members"):
            return self._two_columns(size, rng)
        n = np.repeat(size, self.repeats)
        noise = rng.normal(0, self.noise, len(n))
        if self.shrinking:
            noise *= 2 * (n / 1e6) ** -0.25
        noise[rng.random(len(n)) < self.outliers] += abs(rng.normal(0, 10 * self.noise))
        noise += np.repeat(abs(rng.normal(0, 1, self.sizes)) * self.tuning, self.repeats)
        frame = pd.DataFrame({"n": n, "y": self.truth(n) + noise, "d": 20 * n})
        if self.checkpoints == 1:
            return frame
        # further rows of each run: other sizes, the same error, a little noise of their own
        parts = []
        for step in range(self.checkpoints):
            at = n * 1.3**-step
            own = rng.normal(0, 0.2 * self.noise, len(n))
            parts.append(
                pd.DataFrame({"n": at, "y": self.truth(at) + noise + own, "run": range(len(n))})
            )
        return pd.concat(parts, ignore_index=True)

    def _two_columns(self, size: Array, rng: np.random.Generator) -> pd.DataFrame:
        if self.columns == "grid":
            n, d = (part.ravel() for part in np.meshgrid(size, 20 * size))
            truth = LIMIT + 0.3 * (1e6 / n) ** 0.45 + 0.3 * (2e7 / d) ** 0.4
            return pd.DataFrame({"n": n, "d": d, "y": truth + rng.normal(0, self.noise, len(n))})
        n, k = (part.ravel() for part in np.meshgrid(size, [1.0, 2, 4, 8]))
        truth = LIMIT + 0.3 * (1e6 / n) ** 0.6 + 0.15 * (1e6 / n) ** 0.2 / k
        return pd.DataFrame({"n": n, "k": k, "y": truth + rng.normal(0, self.noise, len(n))})


def power(exponent: float) -> Truth:
    """One power of size."""
    return lambda n: LIMIT + 0.3 * (1e6 / n) ** exponent


def bent(first: float, turn: float, place: float) -> Truth:
    """A power whose exponent changes by `turn` at size `place`."""
    return lambda n: LIMIT + 0.3 * (1e6 / n) ** first * (1 + n / place) ** -turn


def two_powers(n: Array) -> Array:
    """A fast and a slow power."""
    return LIMIT + 0.15 * (1e6 / n) ** 1.02 + 0.2 * (1e6 / n) ** 0.3


HOLDS, WRONG, NOISE, ROWS, MEMBERS, OUTSIDE = (
    "the law holds", "another law holds", "the noise is not as assumed", "rows or columns depend",
    "ensembles share members or not",
    "a break beyond the data",
)  # fmt: skip
DESIGNS = {
    "4 sizes x 3": Design(kind=HOLDS, truth=power(0.6), sizes=4),
    "5 sizes x 3": Design(kind=HOLDS, truth=power(0.6), sizes=5),
    "5 sizes x 3, exponent 1": Design(kind=HOLDS, truth=power(1.0), sizes=5),
    "5 sizes x 3, exponent 0.3": Design(kind=HOLDS, truth=power(0.3), sizes=5),
    "8 sizes x 3": Design(kind=HOLDS, truth=power(0.6)),
    "8 sizes x 3, exponent 1": Design(kind=HOLDS, truth=power(1.0)),
    "12 sizes x 3": Design(kind=HOLDS, truth=power(0.6), sizes=12),
    "5 sizes x 5, noise 0.02": Design(kind=HOLDS, truth=power(0.6), sizes=5, repeats=5, noise=0.02),
    "6 sizes x 1": Design(kind=HOLDS, truth=power(0.6), sizes=6, repeats=1),
    "8 sizes x 1": Design(kind=HOLDS, truth=power(0.6), repeats=1),
    "20 sizes x 1": Design(kind=HOLDS, truth=power(0.6), sizes=20, repeats=1),
    "two powers, 5 sizes x 3": Design(kind=WRONG, truth=two_powers, sizes=5),
    "two powers, 8 sizes x 3": Design(kind=WRONG, truth=two_powers),
    "two powers, 8 sizes x 1": Design(kind=WRONG, truth=two_powers, repeats=1),
    "break to flatter, 5 sizes x 3": Design(kind=WRONG, truth=bent(0.9, -0.6, 3e7), sizes=5),
    "break to flatter, 8 sizes x 3": Design(kind=WRONG, truth=bent(0.9, -0.6, 3e7)),
    "break to steeper, 5 sizes x 3": Design(kind=WRONG, truth=bent(0.3, 0.6, 3e7), sizes=5),
    "break to steeper, 8 sizes x 3": Design(kind=WRONG, truth=bent(0.3, 0.6, 3e7)),
    "break to steeper, 8 sizes x 1": Design(kind=WRONG, truth=bent(0.3, 0.6, 3e7), repeats=1),
    "tuning error 0.005, 5 sizes x 3": Design(kind=NOISE, truth=power(0.6), sizes=5, tuning=0.005),
    "tuning error 0.01, 5 sizes x 3": Design(kind=NOISE, truth=power(0.6), sizes=5, tuning=0.01),
    "tuning error 0.01, 8 sizes x 3": Design(kind=NOISE, truth=power(0.6), tuning=0.01),
    "10 % outliers, 8 sizes x 3": Design(kind=NOISE, truth=power(0.6), outliers=0.1),
    "shrinking noise, 8 sizes x 3": Design(kind=NOISE, truth=power(0.6), shrinking=True),
    "4 checkpoints of 8 runs": Design(kind=ROWS, truth=power(0.6), repeats=1, checkpoints=4),
    "D = 20 N, 8 sizes x 3": Design(kind=ROWS, truth=power(0.6), columns="collinear"),
    "6 x 6 grid of N and D": Design(kind=ROWS, truth=power(0.6), sizes=6, columns="grid"),
    "5 sizes, 1 to 8 members": Design(kind=ROWS, truth=power(0.6), sizes=5, columns="members"),
    "members of their own": Design(
        kind=MEMBERS, truth=power(0.6), repeats=5, columns="independent"),
    "nested members": Design(kind=MEMBERS, truth=power(0.6), repeats=5, columns="nested"),
    "means over subsets": Design(kind=MEMBERS, truth=power(0.6), repeats=5, columns="subsets"),
    "break to flatter beyond": Design(kind=OUTSIDE, truth=bent(0.9, -0.6, 3e9)),
    "break to steeper beyond": Design(kind=OUTSIDE, truth=bent(0.3, 0.6, 3e9)),
}  # fmt: skip

Found = tuple[float, float, bool]
"""Ends of an interval, and whether the method calls its result usable."""


def ours(frame: pd.DataFrame, design: Design) -> dict[str, Found]:
    """Both intervals of the fit, from one call."""
    if design.columns in ENSEMBLES:
        limit = joint_limit(frame)
        return {
            "law": (*limit.interval, limit.identified),
            "model": (*limit.model_interval, limit.identified),
        }
    if design.columns == "members":
        fit = joint_limit(frame, "n", "k", "y", shared_members=False).joint
    elif design.columns in ("grid", "collinear"):
        fit = fit_law(frame, "chinchilla", x=["n", "d"], y="y", n_boot=0)
    else:
        groups = "run" if "run" in frame else None
        fit = fit_law(frame, "power", x="n", y="y", groups=groups, n_boot=0)
    assert fit.asymptote_interval is not None
    assert fit.model_interval is not None
    usable = fit.status.usable
    return {"law": (*fit.asymptote_interval, usable), "model": (*fit.model_interval, usable)}


def _curve(n: Array, limit: float, size: float, exponent: float) -> Array:
    return limit + size * (n / 1e6) ** -exponent


def delta_method(frame: pd.DataFrame) -> Found:
    """scipy's curve_fit from one start, with its covariance and Student's t."""
    n, y = frame["n"].to_numpy(), frame["y"].to_numpy()
    start = (y.min(), max(np.ptp(y), 1e-6), 0.5)
    try:
        best, covariance = curve_fit(_curve, n, y, p0=start, maxfev=2000)
    except RuntimeError:
        return -np.inf, np.inf, False
    reach = student_t.ppf(0.975, len(y) - 3) * np.sqrt(covariance[0, 0])
    return best[0] - reach, best[0] + reach, bool(np.isfinite(reach))


def parametric_bootstrap(frame: pd.DataFrame) -> Found:
    """Percentiles of the asymptote in refits to tables drawn from scipy's fit."""
    n, y = frame["n"].to_numpy(), frame["y"].to_numpy()
    start = (y.min(), max(np.ptp(y), 1e-6), 0.5)
    rng, drawn = np.random.default_rng(0), []
    try:
        best, _ = curve_fit(_curve, n, y, p0=start, maxfev=2000)
    except RuntimeError:
        return -np.inf, np.inf, False
    spread = np.sqrt(((y - _curve(n, *best)) ** 2).sum() / (len(y) - 3))
    for _ in range(RESAMPLES):
        try:
            again = _curve(n, *best) + rng.normal(0, spread, len(y))
            drawn.append(curve_fit(_curve, n, again, p0=best, maxfev=500)[0][0])
        except RuntimeError:
            continue
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high), True


def judged(name: str, tables: int) -> list[dict[str, object]]:
    """A row per method on a design: coverage, width, share usable, share badly wrong, CPU ms."""
    design, rng = DESIGNS[name], np.random.default_rng(1)
    found: dict[str, list[Found]] = {}
    spent: dict[str, float] = {}

    def add(method: str, interval: Found, seconds: float) -> None:
        found.setdefault(method, []).append(interval)
        spent[method] = spent.get(method, 0.0) + seconds

    for _ in range(tables):
        frame = design.table(rng)
        begun = time.process_time()
        for method, interval in ours(frame, design).items():
            add(method, interval, time.process_time() - begun)
        peers = {"curve_fit": delta_method, "bootstrap": parametric_bootstrap}
        for method, peer in peers.items() if design.columns == "n" else ():
            begun = time.process_time()
            add(method, peer(frame), time.process_time() - begun)
    rows = []
    for method, intervals in found.items():
        low, high, usable = (np.array(part) for part in zip(*intervals, strict=True))
        half = (high - low) / 2
        off = np.maximum(low - LIMIT, LIMIT - high)
        rows.append(
            {
                "design": name,
                "kind": design.kind,
                "method": method,
                "tables": tables,
                "coverage": round(float((off <= 0).mean()), 3),
                "width": round(float(np.median(high - low)), 4),
                "usable": round(float(usable.mean()), 3),
                "badly_wrong": round(float((usable & (off + half > 3 * half)).mean()), 3),
                "cpu_ms": round(1e3 * spent[method] / tables, 1),
            }
        )
    return rows


def measure(tables: int = TABLES, names: list[str] | None = None) -> pd.DataFrame:
    """All designs by all methods, a row each; on all cores."""
    names = names or list(DESIGNS)
    with ProcessPoolExecutor() as pool:
        parts = pool.map(judged, names, [tables] * len(names))
    return pd.DataFrame([row for part in parts for row in part])


def page(measured: pd.DataFrame) -> str:
    """The Markdown page of a measurement."""
    lines = [INTRODUCTION.format(tables=int(measured["tables"].iloc[0]))]
    for kind in measured["kind"].unique():
        part = measured[measured["kind"] == kind]
        lines += [f"\n## Where {kind}\n", HEADER]
        for name in part["design"].unique():
            cells = [f"| {name} "]
            rows = part[part["design"] == name].set_index("method")
            for method in ("law", "model", "curve_fit", "bootstrap"):
                if method not in rows.index:
                    cells.append("| ")
                    continue
                row = rows.loc[method]
                badly = f", **{row['badly_wrong']:.1%} badly**" if row["badly_wrong"] else ""
                cells.append(f"| {row['coverage']:.3f} ({row['width']:.3f}{badly}) ")
            cells.append(f"| {rows.loc['law', 'usable']:.2f} | {rows.loc['model', 'cpu_ms']:.0f} |")
            lines.append("".join(cells))
    return "\n".join(lines) + "\n"


HEADER = """\
| design | if the law holds | whatever law holds | curve_fit | bootstrap of it | usable | CPU ms |
|---|---|---|---|---|---|---|"""
INTRODUCTION = """\
# Coverage of the intervals

How often an interval of the asymptote that is called a 95 % interval holds the truth, on {tables}
tables a design made from a known law. In brackets: its median width, and the share of tables that
were called usable and were wrong by more than three half-widths. The first two columns are the two
intervals of one `fit_law`: *if the law holds*, and *whatever smooth decreasing law holds* (with
exponents of at least 0.2); where ensembles share members or not, of one `joint_limit`. Peers:
scipy curve_fit with the delta method, and a bootstrap of it; they are not run where the law has two
columns. "Usable" is the share of tables whose fit may be quoted; CPU time is that of one fit with
both intervals, here on slow cores beside other work.

Made by `python -m tests.benchmarks.coverage`; the numbers are in
[tables/coverage.csv](tables/coverage.csv)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=TABLES, help="tables a design")
    parser.add_argument("--design", action="append", help="a design, by name; all by default")
    options = parser.parse_args()
    measured = measure(options.tables, options.design)
    with pd.option_context("display.width", 200, "display.max_rows", None):
        print(measured.drop(columns=["kind", "tables"]).to_string(index=False))
    if options.tables >= TABLES:
        kept = pd.read_csv(CSV) if CSV.is_file() else measured[:0]
        rows = pd.concat([kept[~kept["design"].isin(measured["design"])], measured])
        place = {name: at for at, name in enumerate(DESIGNS)}
        rows = rows.sort_values("design", key=lambda names: names.map(place), kind="stable")
        rows[rows["design"].isin(DESIGNS)].to_csv(CSV, index=False)
        (DOCS / "coverage.md").write_text(page(pd.read_csv(CSV)), encoding="utf-8")


if __name__ == "__main__":
    main()
