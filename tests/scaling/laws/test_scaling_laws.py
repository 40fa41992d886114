"""Every law: its truth is recovered, and every interval method works on it."""

from __future__ import annotations

import dataclasses
import types

import numpy as np
import pytest

from scaling import LAWS, FitResult, FitStatus, Law, Linear, Nonlinear, fit_law
from scaling.laws import laws, registry
from scaling.laws.registry import laws_in
from scaling.uncertainty.intervals import METHODS

COSTLY = {"bounded", "data_constrained", "mixture_of_exponentials", "overfitting"}
"""Laws whose fits take seconds and whose profiles take up to a minute."""
ZOO = [
    pytest.param(law, method, marks=[pytest.mark.long] * (law in COSTLY or method != "profile"))
    for law in LAWS
    for method in METHODS
]


def test_every_law_has_a_truth_and_a_source(truths):
    assert truths.keys() == LAWS.keys()
    for name, law in LAWS.items():
        assert truths[name].keys() == set(law.parameters), name
        assert law.source, name


@pytest.mark.parametrize("name", [name for name in LAWS if LAWS[name].n_effective is None])
def test_noise_free_tables_give_the_truth(name, truths, design, law_values):
    columns = design(name)
    y = law_values(name, columns, truths[name])
    fit = fit_law({**columns, "loss": y}, name, loss="squared_log", n_boot=0)
    assert fit.params == pytest.approx(truths[name], rel=1e-4)
    assert fit.status is FitStatus.CONVERGED
    assert fit.objective < 1e-18


@pytest.mark.parametrize(("name", "method"), ZOO)
def test_every_law_has_intervals_by_every_method(
    name, method, truths, design, law_values, tmp_path
):
    columns, truth = design(name), truths[name]
    y = law_values(name, columns, truth)
    y = y * np.exp(0.002 * np.random.default_rng(0).normal(size=len(y)))
    options = {"n_boot": 20, "resample": "rows"} if method == "bootstrap" else {"n_boot": 0}
    fit = fit_law({**columns, "loss": y}, name, loss="squared_log", **options)
    free = [p.name for p in fit.law.nonlinear if p.name not in fit.problem.pinned]
    parameter = free[-1] if free and method != "model" else fit.law.asymptote
    if method == "model" and fit.model_interval is None:
        with pytest.raises(ValueError, match="for the asymptote of a law of power terms"):
            fit.interval(fit.law.parameters[0], 0.999, method)
        return
    low, high = fit.interval(parameter, 0.999, method)
    assert low <= fit.params[parameter] <= high
    assert low < high
    if method != "bootstrap":  # twenty draws have no such quantile
        assert low <= truth[parameter] <= high
    if method == "bootstrap":  # a file holds the intervals of all parameters, slow by profiles
        fit.to_json(tmp_path / "fit.json")
        again = FitResult.from_json(tmp_path / "fit.json")
        assert again.summary() == fit.summary()
    if method not in ("profile", "model"):  # whose predictions are tested on their own
        band = fit.predict({column: values[:3] for column, values in columns.items()}, 0.9)
        assert (band["low"] <= band["mean"]).all()
        assert (band["mean"] <= band["high"]).all()


def test_two_laws_of_one_name_are_refused():
    law = Law(
        name="twin",
        formula="E + A exp(-r x)",
        columns=("x",),
        linear=(Linear(name="E"), Linear(name="A")),
        nonlinear=(Nonlinear(name="r", low=1e-9, high=1e3, search=(1e-6, 10.0), log=True),),
        basis=lambda x, p: [1.0, np.exp(-p["r"] * x["x"])],
    )
    module = types.ModuleType("my_laws")
    module.ONE, module.SAME, module.OTHER = law, law, dataclasses.replace(law)
    with pytest.raises(ValueError, match="two laws are called 'twin', one in my_laws"):
        laws_in(module)


def test_laws_are_found_in_every_module_of_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "my_laws"
    folder.mkdir()
    (folder / "flat.py").write_text(
        "from scaling.laws.laws import POWER, Law, coefficients, constant\n"
        'FLAT = Law(name="flat", formula="E", columns=(), linear=coefficients("E"),'
        " terms=(constant(),))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "__file__", str(folder / "registry.py"))
    monkeypatch.setattr(registry, "__package__", "my_laws")
    assert list(laws_in(laws, *registry._others())) == [*laws_in(laws), "flat"]
