"""Speed and accuracy of the fitting core, each goal printed beside the measured figure.

Run with `make benchmark`, or only the quick ones with `-k "not slow"`. Peers are timed in the same
run. The number of simulated sets is DATAWALL_BENCH_SETS (500 by default).
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special

from scaling import (
    LAWS,
    MEMBER_LIMITS,
    data_multiplier,
    fit_law,
    forecast,
    joint_limit,
    load_dataset,
    read_runs,
)
from scaling.forecast import evaluate_law, fit_window
from scaling.published.datasets import DATASETS
from tests.data import needed

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7200)]

SETS = int(os.environ.get("DATAWALL_BENCH_SETS", "500"))
EPOCH = {"x": ["n_params", "n_tokens"], "delta": 1e-3}


def report(what: str, goal: str, measured: str) -> None:
    print(f"\n{what:58s} goal {goal:24s} measured {measured}", flush=True)


def table(name: str) -> pd.DataFrame:
    needed(DATASETS[name].path)
    return load_dataset(name)


def cpu(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def epoch_objective(rows: pd.DataFrame, weights: np.ndarray | None = None):
    """Besiroglu et al.'s objective: log-sum-exp, Huber, the sum over rows."""
    log_n, log_d, log_l = (np.log(rows[c].to_numpy()) for c in ("n_params", "n_tokens", "loss"))
    weights = np.ones(len(rows)) if weights is None else weights

    def cost(p: np.ndarray) -> float:
        a, b, e, alpha, beta = p
        terms = np.stack([a - alpha * log_n, b - beta * log_d, np.full(len(log_n), e)])
        return float(weights @ special.huber(1e-3, log_l - special.logsumexp(terms, axis=0)))

    def gradient(p: np.ndarray) -> np.ndarray:
        a, b, e, alpha, beta = p
        terms = np.stack([a - alpha * log_n, b - beta * log_d, np.full(len(log_n), e)])
        total = special.logsumexp(terms, axis=0)
        slope = -weights * np.clip(log_l - total, -1e-3, 1e-3)
        by_a, by_b, by_e = np.exp(terms - total) * slope
        return np.array([by_a.sum(), by_b.sum(), by_e.sum(), -by_a @ log_n, -by_b @ log_d])

    return cost, gradient


def test_global_fit_against_the_grid_of_starts(benchmark):
    rows = table("chinchilla_epoch")
    fit = benchmark(lambda: fit_law(rows, "chinchilla", **EPOCH, n_boot=0))
    ours = min(cpu(lambda: fit.problem.solve()) for _ in range(5))
    cost, gradient = epoch_objective(rows)
    rng = np.random.default_rng(0)
    grid = [np.linspace(0, 25, 6), np.linspace(0, 25, 6), [-1, -0.5, 0, 0.5, 1]]
    grid += [np.linspace(0, 2, 5), np.linspace(0, 2, 5)]
    starts = [np.array([rng.choice(axis) for axis in grid]) for _ in range(20)]
    report("epoch objective", "<= .00101827403", f"{fit.objective:.13f}")
    ratios = []
    for jac in (None, gradient):
        peer = cpu(lambda: [optimize.minimize(cost, s, method="L-BFGS-B", jac=jac) for s in starts])  # noqa: B023
        ratios.append(peer * 4500 / 20 / ours)
    # 4,500 starts are the published recipe, not what the problem needs
    report("global fit against 4,500 starts", ">= 5,000x", f"{ratios[0]:,.0f}x ({ours:.3f} CPU s)")
    report("  with the analytic gradient", ">= 1,000x", f"{ratios[1]:,.0f}x")
    assert fit.objective <= 0.00101827403
    assert ratios[0] >= 5000
    assert ratios[1] >= 1000


def test_four_thousand_bootstraps_against_bfgs():
    rows = table("chinchilla_epoch")
    alone = cpu(lambda: fit_law(rows, "chinchilla", **EPOCH, n_boot=0))
    ours = cpu(lambda: fit_law(rows, "chinchilla", **EPOCH, n_boot=4000)) - alone
    fit = fit_law(rows, "chinchilla", **EPOCH, n_boot=0)
    p = fit.params
    start = np.array([np.log(p["A"]), np.log(p["B"]), np.log(p["E"]), p["alpha"], p["beta"]])
    rng = np.random.default_rng(0)
    draws = [rng.multinomial(240, np.full(240, 1 / 240)).astype(float) for _ in range(20)]
    costs = [epoch_objective(rows, w) for w in draws]
    peers = [
        cpu(lambda: [optimize.minimize(cost, start, method="BFGS") for cost, _ in costs]),
        cpu(
            lambda: [
                optimize.minimize(cost, start, method="BFGS", jac=gradient)
                for cost, gradient in costs
            ]
        ),
    ]
    plain, with_gradient = (peer * 4000 / 20 / ours for peer in peers)
    report("4,000 row bootstraps", "", f"{ours:.2f} CPU s")
    report("  against one-start BFGS", ">= 40x", f"{plain:.0f}x")
    report("  with the analytic gradient", ">= 8x", f"{with_gradient:.0f}x")
    goals = {"A": 124.52, "B": 1293.28, "E": 0.02566, "alpha": 0.01540, "beta": 0.02060}
    # numpy's legacy generator with seed 42 gives the very draws of Besiroglu et al.; other seeds
    # move the s.e. of A and B, whose draws have heavy tails, by up to 5 % and 12 %
    picked = np.random.RandomState(42).choice(240, size=(4000, 240))
    weights = np.stack([np.bincount(draw, minlength=240) for draw in picked]).astype(float)
    place = np.repeat(fit.coordinates[:, None], 4000, axis=1)
    drawn = fit.problem.model.printed(fit.problem.refine(place, weights).coordinates)
    errors = dict(zip(fit.law.parameters, drawn.std(axis=1), strict=True))
    for name, goal in goals.items():
        off = 100 * (errors[name] / goal - 1)
        report(f"  s.e. of {name}", f"{goal} within 3 %", f"{errors[name]:.5g} ({off:+.2f} %)")
        assert abs(off) < 3
    assert plain >= 40
    assert with_gradient >= 8


def test_published_fits():
    """Objectives and figures of published fits; pinned in tests/scaling, printed here."""
    for name, goal in (
        ("gemstones_hot", 0.0019816129),
        ("gemstones_hot_100b", 0.0065925344),
        ("gemstones_cool_end", 0.0019640865),
    ):
        fit = fit_law(table(name), "chinchilla", **EPOCH, n_boot=0)
        report(f"{name} objective", f"<= {goal:.10f}", f"{fit.objective:.10f}")
        assert fit.objective <= goal * (1 + 1e-8)
    rows = table("data_constrained")
    frozen = {"A": np.exp(6.255414), "B": np.exp(7.3049974), "E": np.exp(0.6254804)}
    frozen |= {"alpha": 0.3526596, "beta": 0.3526596}
    sizes = ["n_params", "n_tokens", "n_unique_tokens"]
    fit = fit_law(rows, "data_constrained", x=sizes, delta=1e-3, fixed=frozen, n_boot=0)
    low, high = fit.interval("R_D", method="profile")
    report("data_constrained objective", "<= .0158046625", f"{fit.objective:.10f}")
    report("  R_D, profile interval", "95.4, no upper end",
           f"{fit.params['R_D']:.1f} [{low:.3g}, {high:.3g}]")  # fmt: skip
    assert fit.objective <= 0.0158046625
    assert high == np.inf
    limits = [
        fit_law({"n": list(c), "loss": list(c.values())}, x="n", loss="squared").asymptote
        for c in MEMBER_LIMITS.values()
    ]
    report("infinite compute, four columns", "3.169 2.980 2.789 2.657",
           " ".join(f"{v:.3f}" for v in limits))  # fmt: skip
    found = [data_multiplier(3.75, loss, 1.94, 0.235) for loss in (3.43, 3.34, 3.17)]
    report("infinite compute, multipliers", "2.29 3 5.17", " ".join(f"{v:.2f}" for v in found))


def test_ten_thousand_bayesian_bootstraps_of_eight_points():
    x = np.geomspace(1, 128, 8)
    y = (3.2 + 0.4 * x**-0.6) * np.exp(np.random.default_rng(0).normal(0, 0.002, 8))
    used = cpu(lambda: fit_law(x=x, y=y, resample="bayesian", n_boot=10_000))
    rng = np.random.default_rng(0)

    def law(x, e, a, alpha):
        return np.log(np.maximum(e + a * x**-alpha, 1e-9))

    def draw() -> None:
        sigma = rng.standard_exponential(8) ** -0.5
        optimize.curve_fit(law, x, np.log(y), (3.2, 0.4, 0.6), sigma, maxfev=5000)

    peer = cpu(lambda: [draw() for _ in range(100)]) * 100
    report("10,000 Bayesian bootstraps, 8 points", "", f"{used:.2f} CPU s")
    report("  against scipy's curve_fit", ">= 3x", f"{peer / used:.1f}x")
    assert peer / used >= 3


COLD = """
import time
begun = time.perf_counter()
import scaling
imported = time.perf_counter() - begun
x = [1.0, 2.0, 4.0, 8.0, 16.0]
begun = time.perf_counter()
fit = scaling.fit_law(x=x, y=[3.6, 3.46, 3.38, 3.32, 3.29])
print(imported, time.perf_counter() - begun)
"""


def test_cold_start():
    runs = [subprocess.run([sys.executable, "-c", COLD], capture_output=True, text=True, check=True)
            for _ in range(3)]  # fmt: skip
    imported, first = np.min([[float(v) for v in run.stdout.split()] for run in runs], axis=0)
    report("cold import", "<= 1.5 s", f"{imported:.2f} s")
    report("first fit", "<= 2 s", f"{first:.2f} s")
    assert imported <= 1.5
    assert first <= 2.0


MILLION = """
import resource, time
import numpy as np
from scaling import fit_law
rng = np.random.default_rng(0)
n, d = np.exp(rng.uniform(14, 23, (2, 1_000_000)))
y = (1.8 + 480 * n**-0.35 + 2000 * d**-0.37) * np.exp(rng.normal(0, 0.01, 1_000_000))
begun = time.perf_counter()
fit = fit_law({"n": n, "d": d, "loss": y}, "chinchilla", x=["n", "d"])
took = time.perf_counter() - begun
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, fit.params["E"])
"""


def test_a_million_rows():
    done = subprocess.run(
        [sys.executable, "-c", MILLION], capture_output=True, text=True, check=True
    )
    took, memory, asymptote = (float(v) for v in done.stdout.split())
    report("1e6 rows, chinchilla", "<= 10 s", f"{took:.1f} s")
    report("  memory", "<= 2 GB", f"{memory:.2f} GB")
    assert took <= 10
    assert memory <= 2
    assert asymptote == pytest.approx(1.8, abs=0.01)


def test_a_table_of_a_million_rows(tmp_path):
    n_rows, rng = 1_000_000, np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "run": [f"r{row}" for row in range(n_rows)],
            "n_params": rng.integers(10**6, 10**9, n_rows),
            "n_tokens": rng.integers(10**6, 10**11, n_rows),
            "loss": rng.uniform(2, 5, n_rows).round(5),
        }
    )
    frame.to_csv(tmp_path / "runs.csv", index=False)
    ours = min(cpu(lambda: read_runs(tmp_path / "runs.csv")) for _ in range(3))
    pandas = min(cpu(lambda: pd.read_csv(tmp_path / "runs.csv")) for _ in range(3))
    report("CSV of 1e6 rows, CPU s", "<= 3", f"{ours:.2f} (pandas {pandas:.2f})")
    pd.testing.assert_frame_equal(read_runs(tmp_path / "runs.csv"), frame, check_dtype=False)
    assert ours <= 3.0


def test_joint_limit_against_the_nested_order_slow():
    """300 worlds of 4 sizes and K = 1..5 with shared members; truth 3.17."""
    found = []
    for seed in range(min(SETS, 300)):
        rng = np.random.default_rng(seed)
        rows = []
        for size in (0.15, 0.3, 0.6, 1.4):
            noise = rng.normal(0, 0.004, 5)
            rows += [
                (size, k, 3.17 + 0.10 * size**-0.9 + 0.16 * size**-0.35 / k + noise[:k].mean())
                for k in range(1, 6)
            ]
        frame = pd.DataFrame(rows, columns=["n_params", "n_members", "loss"])
        limit = joint_limit(frame, n_boot=0)
        found.append((limit.limit, limit.members_first, limit.params_first))
    joint, nested, reverse = np.std(found, axis=0)
    report(
        "joint limit sd / nested sd", "<= .5", f"{joint:.4f} / {nested:.4f} = {joint / nested:.2f}"
    )
    report("  nested, parameters first", "(.035 in the notes)", f"{reverse:.4f}")
    assert joint <= 0.5 * nested


def power_world(points: int, noise: float):
    def draw(rng: np.random.Generator):
        x = np.geomspace(1, 2.0 ** (points - 1), points)
        y = (3.2 + 0.4 * x**-0.6) * np.exp(rng.normal(0, noise, points))
        return {"n_params": x, "loss": y}, "power", 3.2

    return draw


def ensemble_world(rng: np.random.Generator):
    n, k = (v.ravel() for v in np.meshgrid([0.15, 0.3, 0.6, 1.4], np.arange(1.0, 6.0)))
    y = 3.17 + 0.1 * n**-0.9 + 0.16 * n**-0.35 / k + rng.normal(0, 0.004, 20)
    return {"n_params": n, "n_members": k, "loss": y}, "ensemble", 3.17


def epoch_world(rng: np.random.Generator):
    """Epoch's design and law; errors are its own residuals with random signs."""
    rows = table("chinchilla_epoch")
    p = {"E": 1.81722, "A": 477.826, "B": 2143.417, "alpha": 0.34731, "beta": 0.36717}
    mean = p["E"] + p["A"] * rows.n_params ** -p["alpha"] + p["B"] * rows.n_tokens ** -p["beta"]
    residual = np.log(rows.loss / mean).to_numpy()
    noise = rng.choice(residual, len(rows)) * rng.choice([-1, 1], len(rows))
    return rows.assign(loss=mean * np.exp(noise)), "chinchilla", p["E"]


@pytest.mark.parametrize(
    ("name", "world"),
    [
        ("5-point power law", power_world(5, 0.001)),
        ("8-point power law", power_world(8, 0.002)),
        ("4 x 5 ensembles", ensemble_world),
        ("Epoch's design", epoch_world),
    ],
)
def test_coverage_slow(name, world):
    hits = []
    for seed in range(SETS):
        frame, law, truth = world(np.random.default_rng(seed))
        low, high = fit_law(frame, law).interval("E")
        hits.append(low <= truth <= high)
    covered = float(np.mean(hits))
    report(f"coverage of E, {name}, {SETS} sets", "92-98 %", f"{100 * covered:.1f} %")
    assert 0.92 <= covered <= 0.98


def rival(name: str, pinned: dict[str, float] | None = None):
    """A single published law fitted to all fit rows, as `forecast` fits its candidates."""
    law = LAWS[name]
    if pinned:
        from dataclasses import replace

        law = replace(law, fixed=pinned)

    def predict(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
        return evaluate_law(law, fit_window(law, 1.0, x, y), at)

    return predict


def test_forecast_of_learning_curves_slow():
    """36 development curves of Alabdulmohsin et al. 2022; root mean square of ln(pred / y)."""
    curves = table("learning_curves")
    rivals = {
        "M1 (no asymptote)": rival("power", {"E": 0.0}),
        "M2 (power law)": rival("power"),
        "M3 (saturating)": rival("saturating_power"),
        "M4 (bounded)": rival("bounded"),
        "BNSL, one break": rival("broken_power"),
    }
    scores: dict[str, list[float]] = {name: [] for name in (*rivals, "forecast")}
    inside, whole, seconds = [], [], []
    for _, curve in curves.groupby(["domain", "task", "model"]):
        seen, later = (curve[curve.is_fit == flag].sort_values("n_examples") for flag in (1, 0))
        x, y, at = (part.to_numpy() for part in (seen.n_examples, seen.loss, later.n_examples))
        begun = time.process_time()
        made = forecast(x=x, y=y).predict(at)
        seconds.append(time.process_time() - begun)
        truth = later.loss.to_numpy()
        inside.append(((made.low <= truth) & (truth <= made.high)).mean())
        whole.append(((made.curve_low <= truth) & (truth <= made.curve_high)).all())
        predictions = {name: predict(x, y, at) for name, predict in rivals.items()}
        predictions["forecast"] = made["mean"].to_numpy()
        for name, values in predictions.items():
            scores[name].append(
                float(np.sqrt(np.mean(np.log(values / later.loss.to_numpy()) ** 2)))
            )
    goals = {"M4 (bounded)": ".0192 published", "BNSL, one break": ".0159 published",
             "M2 (power law)": ".063 published", "forecast": "<= .0125"}  # fmt: skip
    for name, values in scores.items():
        report(f"learning curves, {name}", goals.get(name, ""),
               f"{np.exp(np.mean(np.log(values))):.4f}")  # fmt: skip
    report("  rows inside the forecast's 95 % band", "93-97 %", f"{100 * np.mean(inside):.0f} %")
    report("  curves inside the band of curves", "", f"{100 * np.mean(whole):.0f} %")
    report("  CPU seconds a curve", "", f"{np.mean(seconds):.2f}")
    assert np.exp(np.mean(np.log(scores["forecast"]))) <= 0.0125
