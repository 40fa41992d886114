"""`fit_law`: recovery, options, reproducibility, statuses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from scaling import FitResult, FitStatus, Law, Linear, Nonlinear, fit_law
from scaling.fit import best_parameters, best_parameters_of_each
from scaling.uncertainty.diagnostics import identifying_scale


def power_table(noise: float = 0.004, seeds: int = 3, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    sizes = np.repeat([1.0, 2.0, 4.0, 8.0, 16.0], seeds)
    loss = 3.2 + 0.4 * sizes**-0.6 + rng.normal(0, noise, len(sizes))
    return pd.DataFrame({"n_params": sizes, "loss": loss})


def test_optimum_beats_differential_evolution():
    table = power_table(noise=0.02)
    fit = fit_law(table, loss="squared")
    x, y = table.n_params.to_numpy(), table.loss.to_numpy()

    def cost(p: np.ndarray) -> float:
        return float(np.sum((p[0] + p[1] * x ** -p[2] - y) ** 2))

    oracle = optimize.differential_evolution(cost, [(0, 4), (0, 4), (0.001, 10)], seed=0, tol=1e-12)
    assert fit.objective <= oracle.fun * (1 + 1e-9)
    assert fit.params["E"] == pytest.approx(oracle.x[0], abs=1e-4)


@pytest.mark.parametrize("loss", ["squared_log", "huber_log"])
def test_a_term_seen_at_the_smallest_size_alone_sends_the_exponent_to_its_bound(loss):
    """Only the smallest size is worse, and the others rise a little, as a falling law cannot."""
    sizes = np.array([6.7e3, 2.4e4, 1.0e5, 3.9e5])
    y = np.array([2.340, 2.280, 2.285, 2.288])
    fit = fit_law({"n_params": sizes, "loss": y}, loss=loss, n_boot=0)
    assert fit.params["alpha"] == pytest.approx(10, abs=1e-6)
    assert fit.status in (FitStatus.AT_BOUND, FitStatus.NOT_IDENTIFIED)
    if loss == "squared_log":
        assert fit.objective == pytest.approx(3 * np.log(y[1:]).var(), rel=1e-3)


def test_arrays_and_frames_agree():
    table = power_table()
    by_name = fit_law(table)
    by_array = fit_law(x=table.n_params.to_numpy(), y=table.loss.to_numpy())
    by_mapping = fit_law({"size": table.n_params, "l": table.loss}, x="size", y="l")
    assert by_name.params == by_array.params == by_mapping.params


def test_a_weight_of_two_is_a_row_twice():
    table = power_table()
    weights = np.ones(len(table))
    weights[[0, 7]] = 2.0
    twice = pd.concat([table, table.iloc[[0, 7]]])
    weighted = fit_law(table, weights=weights, loss="squared_log")
    repeated = fit_law(twice, loss="squared_log")
    assert weighted.params == pytest.approx(repeated.params, rel=1e-7)
    assert weighted.objective == pytest.approx(repeated.objective, rel=1e-9)


def test_units_do_not_matter():
    table = power_table()
    small = fit_law(table)
    large = fit_law(table.assign(n_params=table.n_params * 1e9))
    assert large.params["E"] == pytest.approx(small.params["E"], rel=1e-8)
    assert large.interval("E") == pytest.approx(small.interval("E"), rel=1e-5)
    assert large.params["A"] == pytest.approx(
        small.params["A"] * 1e9 ** small.params["alpha"], rel=1e-5
    )


def test_fixed_pins_and_frees():
    table = power_table()
    fit = fit_law(table, fixed={"alpha": 0.5})
    assert fit.params["alpha"] == 0.5
    assert fit.interval("alpha") == (0.5, 0.5)
    assert fit.stderr["alpha"] == 0.0
    pinned = fit_law(table, fixed={"E": 3.1, "A": 0.5})
    assert (pinned.params["E"], pinned.params["A"]) == pytest.approx((3.1, 0.5))
    sizes, members = np.meshgrid([1.0, 2.0, 4.0, 8.0], [1.0, 2.0, 3.0, 4.0, 5.0])
    loss = 3 + 0.3 * sizes**-0.8 + 0.2 * sizes**-0.3 * members**-1.4
    frame = {"n_params": sizes.ravel(), "n_members": members.ravel(), "loss": loss.ravel()}
    free = fit_law(frame, "ensemble", fixed={"gamma": None}, loss="squared_log", n_boot=0)
    assert free.params["gamma"] == pytest.approx(1.4, rel=1e-4)


@pytest.mark.parametrize("resample", ["rows", "wild", "bayesian"])
def test_draws_are_reproducible_and_sensible(resample):
    table = power_table(seeds=6)
    one, same, other = (
        fit_law(table, resample=resample, n_boot=300, seed=seed) for seed in (0, 0, 1)
    )
    assert np.array_equal(one.draws.parameters, same.draws.parameters)
    assert not np.array_equal(one.draws.parameters, other.draws.parameters)
    profile = fit_law(table).interval("E")
    low, high = one.interval("E")
    assert profile[0] - 0.02 < low < one.params["E"] < high < profile[1] + 0.02


def test_clusters_widen_what_copies_would_narrow():
    table = power_table(seeds=1, noise=0.01)
    copies = pd.concat([table] * 20, ignore_index=True)
    copies["run"] = np.tile(np.arange(5), 20)
    by_rows = fit_law(copies, resample="rows", n_boot=200)
    by_runs = fit_law(copies, groups="run", n_boot=200)
    assert by_runs.draws.resample == "clusters"
    assert by_runs.stderr["E"] > 2 * by_rows.stderr["E"]
    assert any("repeat another row" in sentence for sentence in by_rows.warnings)


def test_lower_envelope_lies_below_the_middle():
    rng = np.random.default_rng(0)
    sizes = np.repeat(np.geomspace(1, 100, 8), 6)
    excess = rng.exponential(0.05, len(sizes))  # badly tuned runs are only ever worse
    loss = (2 + sizes**-0.5) * np.exp(excess)
    low = fit_law(x=sizes, y=loss, loss="asymmetric", delta=1e-3, n_boot=0)
    middle = fit_law(x=sizes, y=loss, n_boot=0)
    assert abs(low.params["E"] - 2.0) < abs(middle.params["E"] - 2.0)
    assert (low.residuals < 0).mean() > 0.8


@pytest.mark.parametrize(
    ("loss", "status"),
    [
        (lambda x: np.full_like(x, 3.0), FitStatus.FLAT),
        (lambda x: 3.0 + 0.1 * np.log(x), FitStatus.FLAT),
        (lambda x: 3.0 - 0.1 * np.log(x), FitStatus.NOT_IDENTIFIED),
    ],
    ids=["flat", "rising", "logarithmic"],
)
def test_tables_without_an_asymptote_say_so(loss, status):
    sizes = np.repeat([1.0, 2.0, 4.0, 8.0], 3)
    fit = fit_law(x=sizes, y=loss(sizes))
    assert fit.status is status
    assert not fit.status.usable
    assert fit.message in fit.summary()
    assert np.isfinite(fit.predict(np.array([1.0, 100.0])).to_numpy()).all()


def test_unidentified_asymptote_names_the_run_that_would_identify_it():
    rng = np.random.default_rng(0)
    sizes = np.repeat([1.0, 2.0, 4.0, 8.0], 3)
    fit = fit_law(x=sizes, y=(1.5 + 2 * sizes**-0.15) * np.exp(rng.normal(0, 0.01, 12)))
    assert fit.status is FitStatus.NOT_IDENTIFIED
    assert "times the largest n_params" in fit.message
    assert fit.interval("E")[0] == 0.0


def test_collinear_designs_are_warned_about():
    sizes = np.geomspace(1e6, 1e9, 12)
    loss = 1.8 + 400 * sizes**-0.35 + 400 * (20 * sizes) ** -0.35
    fit = fit_law(
        {"n_params": sizes, "n_tokens": 20 * sizes, "loss": loss}, "tied_chinchilla", n_boot=0
    )
    assert any("cannot be distinguished" in sentence for sentence in fit.warnings)


def test_influence_names_the_odd_row():
    table = power_table(noise=0.002)
    table.loc[3, "loss"] += 0.05
    pull = fit_law(table, loss="squared_log").influence()
    assert pull["residual"].abs().idxmax() == 3
    assert pull["alpha"].abs().idxmax() == 3


def test_delta_sensitivity_runs_from_nearly_absolute_to_nearly_squared():
    table = power_table(noise=0.01)
    fit = fit_law(table)
    moved = fit.delta_sensitivity().set_index("delta")
    assert moved.loc[fit.problem.delta, "E"] == pytest.approx(fit.params["E"], rel=1e-9)
    squared = fit_law(table, loss="squared_log").params["E"]
    assert moved["E"].iloc[-1] == pytest.approx(squared, rel=1e-6)
    with pytest.raises(ValueError, match="has no delta"):
        fit_law(table, loss="squared").delta_sensitivity()


def test_a_users_own_law():
    law = Law(
        name="exponential",
        formula="E + A exp(-r x)",
        columns=("step",),
        linear=(Linear(name="E"), Linear(name="A")),
        nonlinear=(Nonlinear(name="r", low=1e-9, high=1e3, search=(1e-6, 10.0), log=True),),
        basis=lambda x, p: [1.0, np.exp(-p["r"] * x["step"])],
    )
    steps = np.arange(1.0, 40.0)
    loss = 2.0 + 1.5 * np.exp(-0.1 * steps)
    loss *= np.exp(np.random.default_rng(0).normal(0, 0.002, len(steps)))
    fit = fit_law({"step": steps, "loss": loss}, law)
    low, high = fit.interval("r")
    assert low < 0.1 < high
    assert fit.asymptote == pytest.approx(2.0, abs=0.01)
    low, high = fit.interval("E")
    assert low < 2.0 < high


def test_mixture_of_exponentials_finds_the_plateau():
    time = np.geomspace(1, 1e4, 40)
    loss = 0.3 + 0.2 * np.exp(-time / 10) + 0.3 * np.exp(-time / 500)
    fit = fit_law({"time": time, "loss": loss}, "mixture_of_exponentials", loss="squared")
    assert fit.asymptote == pytest.approx(0.3, abs=2e-3)
    again = fit.predict({"time": time[::5]})
    assert again["mean"].to_numpy() == pytest.approx(loss[::5], rel=5e-3)


def test_json_round_trip(tmp_path):
    fit = fit_law(power_table(), resample="wild", n_boot=100)
    fit.to_json(tmp_path / "fit.json")
    again = FitResult.from_json(tmp_path / "fit.json")
    assert again.params == fit.params
    assert again.interval("E") == fit.interval("E")
    assert again.profile("E").interval() == pytest.approx(fit.profile("E").interval(), rel=1e-6)
    assert again.summary() == fit.summary()
    new = pd.DataFrame({"n_params": [1.0, 1e3]})
    pd.testing.assert_frame_equal(again.predict(new), fit.predict(new))


def test_summary_and_html_hold_every_parameter_and_warning():
    fit = fit_law(pd.concat([power_table()] * 2))
    text, html = fit.summary(), fit._repr_html_()
    for part in (*fit.params, "profile likelihood", "CONVERGED"):
        assert part in text
        assert part in html
    assert fit.warnings
    assert all(sentence in text for sentence in fit.warnings)


def test_plot_draws_data_fit_and_dashed_extrapolation():
    fit = fit_law(power_table())
    ax = fit.plot()
    points, seen, beyond, *_ = ax.get_lines()
    assert points.get_ydata() == pytest.approx(fit.problem.table.y)
    assert beyond.get_linestyle() == "--"
    assert seen.get_xdata().max() <= 16.0 < beyond.get_xdata().max()
    with pytest.raises(ValueError, match="must be one of 'n_params'; not 'width'"):
        fit.plot(along="width")


def test_import_is_light():
    code = "import sys, scaling; print([m for m in ('jax', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "losses", [[4.10, 3.97, 3.83, 3.71, 3.585, 3.46], [5, 4.3, 3.8, 3.5, 3.25, 3.1]]
)
def test_the_run_that_would_pin_an_asymptote_is_what_linear_algebra_says(losses):
    """In printed coordinates, where the design of all rows and one more is a plain Jacobian."""
    sizes, y = np.geomspace(1e5, 3e6, 6), np.array(losses)
    fit = fit_law({"n_params": sizes, "loss": y}, loss="squared_log", n_boot=0)
    scale, exponent = fit.params["A"], fit.params["alpha"]

    def jacobian(x):
        term = scale * x**-exponent
        return np.stack([x**0, term / scale, -np.log(x) * term]) / (fit.params["E"] + term)

    freedom = len(y) - 3
    noise = fit.objective / freedom
    expected = None
    for factor in 2.0 ** np.arange(1, 21):
        design = jacobian(np.append(sizes, factor * sizes[-1]))
        half = stats.t.ppf(0.975, freedom) * np.sqrt(noise * np.linalg.inv(design @ design.T)[0, 0])
        if half <= 0.05 * y.min():
            expected = factor
            break
    assert identifying_scale(fit.problem, fit.coordinates) == expected


@pytest.mark.long
def test_predictions_far_beyond_few_rows_are_as_wide_as_the_profile():
    """Against every law on a grid whose objective rises no more than the interval allows."""
    sizes = np.array([209e6, 419e6, 839e6, 1.68e9])
    y = np.array([3.75, 3.55, 3.38, 3.24])
    fit = fit_law({"n_params": sizes, "loss": y}, n_boot=0)
    factors = np.array([2.5, 1e2, 1e4, 1e8])
    found = fit.predict({"n_params": factors * sizes[0]})
    profile = fit.profile("E")
    allowed = fit.objective + profile.rise(0.95)
    x, low, high = sizes / sizes[0], np.full(4, np.inf), np.full(4, -np.inf)
    exponents, moves = np.geomspace(0.04, 0.9, 200), np.linspace(-0.02, 0.02, 41)
    for asymptote in np.concatenate([[0], np.linspace(0.01, 3.1, 200)]):
        terms = x ** -exponents[:, None]
        scales = ((y - asymptote) * terms / y**2).sum(1) / ((terms / y) ** 2).sum(1)
        scales, powers = np.outer(1 + moves, scales).ravel(), np.tile(exponents, len(moves))
        residual = np.log((asymptote + scales[:, None] * x ** -powers[:, None]) / y)
        possible = special.huber(fit.problem.delta, residual).sum(1) <= allowed
        if possible.any():
            at = asymptote + scales[possible, None] * factors ** -powers[possible, None]
            low, high = np.minimum(low, at.min(0)), np.maximum(high, at.max(0))
    assert found["low"].to_numpy() == pytest.approx(low, rel=0.03)
    assert found["high"].to_numpy() == pytest.approx(high, rel=0.03)


@pytest.mark.long
def test_a_prediction_does_not_depend_on_what_is_predicted_beside_it():
    sizes = np.array([209e6, 419e6, 839e6, 1.68e9])
    fit = fit_law(x=sizes, y=np.array([3.75, 3.55, 3.38, 3.24]))
    asked = 209e6 * np.geomspace(1e-2, 1e8, 41)
    together = fit.predict(asked)
    for row in (8, 10, 12):
        alone = fit.predict(asked[row : row + 1])
        np.testing.assert_allclose(together.iloc[[row]], alone, rtol=1e-7)


@pytest.mark.parametrize(("law", "x"), [("power", ["n"]), ("ensemble", ["n", "k"])])
def test_losses_on_the_same_rows_are_fitted_together_as_apart(law, x):
    rng = np.random.default_rng(0)
    n, k = (side.ravel() for side in np.meshgrid([1e5, 3e5, 1e6, 3e6, 1e7], [1.0, 2.0, 4.0, 8.0]))
    clean = 2 + 40 / n**0.35 + 5 / (n**0.2 * k)
    losses = clean * np.exp(0.01 * rng.standard_normal((6, len(n))))
    table = {"n": n, "k": k}
    together = best_parameters_of_each(table, law, x=x, losses=losses)
    for found, loss in zip(together, losses, strict=True):
        assert found == pytest.approx(best_parameters(table, law, x=x, y=loss), rel=1e-5)


def test_no_losses_have_no_parameters():
    assert best_parameters_of_each({"n": [1.0]}, "power", x="n", losses=[]) == []
