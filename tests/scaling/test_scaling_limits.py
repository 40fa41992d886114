"""Joint limits, data efficiency, forecasts."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from scaling import (
    FitStatus,
    data_efficiency,
    fit_law,
    forecast,
    joint_limit,
    read_runs,
)
from scaling.forecast import weighted_median
from scaling.limits import asymptotes_among, predict_members
from tests.data import needed
from tests.scaling import designs

SIZES = np.array([0.15, 0.3, 0.6, 1.4])
MEMBERS = np.arange(1.0, 6.0)


def world(seed: int, member_noise: float = 0.004) -> pd.DataFrame:
    """4 sizes, K = 1..5 that share members, with the limit 3.17 of arXiv 2509.14786."""
    rng = np.random.default_rng(seed)
    rows = []
    for size in SIZES:
        noise = rng.normal(0, member_noise, 5)
        for k in range(1, 6):
            loss = 3.17 + 0.10 * size**-0.9 + 0.16 * size**-0.35 / k + noise[:k].mean()
            rows.append((size, k, loss))
    return pd.DataFrame(rows, columns=["n_params", "n_members", "loss"])


def test_noise_free_world_gives_the_limit_three_ways():
    limit = joint_limit(world(0, member_noise=0.0))
    assert limit.limit == pytest.approx(3.17, abs=1e-6)
    assert limit.members_first == pytest.approx(3.17, abs=2e-3)
    # at fixed K the curve in N is a sum of two powers, so one power misses the limit
    assert limit.params_first == pytest.approx(3.17, abs=0.15)
    assert limit.identified


@pytest.mark.long
def test_the_joint_fit_halves_the_spread_of_the_nested_one():
    limits = [joint_limit(world(seed)) for seed in range(20)]
    joint = np.array([limit.limit for limit in limits])
    nested = np.array([limit.members_first for limit in limits])
    assert joint.std() <= 0.5 * np.sqrt(np.mean((nested - 3.17) ** 2))
    assert abs(np.median(joint) - 3.17) < 0.005


def test_a_limit_that_is_not_identified_says_so():
    frame = world(0)
    noise = np.exp(np.random.default_rng(0).normal(0, 1e-3, len(frame)))
    frame["loss"] = 2.5 * frame.n_params**-0.05 / frame.n_members**0.02 * noise
    limit = joint_limit(frame)
    assert limit.status is FitStatus.NOT_IDENTIFIED
    assert not limit.identified
    assert "not identified" in limit.summary()
    flat = joint_limit(frame.assign(loss=3.0))
    assert flat.status is FitStatus.FLAT


def test_seeds_as_rows_are_accepted():
    frame = pd.concat([world(seed).assign(seed=seed) for seed in range(3)])
    limit = joint_limit(frame, groups="seed", n_boot=0)
    low, high = limit.interval
    assert low < 3.17 < high
    assert high - low < 0.05


@pytest.mark.long
def test_shared_members_widen_the_interval():
    covered = {True: 0, False: 0}
    for seed in range(12):
        frame = world(seed)
        shared = joint_limit(frame, shared_members=True)
        apart = joint_limit(frame, shared_members=False)
        assert shared.shared_members
        assert not apart.shared_members
        for sharing, limit in ((True, shared), (False, apart)):
            covered[sharing] += limit.interval[0] < 3.17 < limit.interval[1]
    assert covered[True] >= 10  # 95 % nominal: fewer than 10 of 12 has a chance of 2 %
    assert covered[False] < covered[True]
    with pytest.raises(ValueError, match="two rows with the same number of members"):
        joint_limit(pd.concat([world(0), world(1)]), shared_members=True)


def test_means_over_subsets_count_as_one_row_a_size():
    frame = designs.subset_means(0)
    seen = joint_limit(frame, n_boot=0)
    assert seen.sharing == "subsets"
    assert "are means over all subsets of a pool" in seen.summary()
    n_subsets = [math.comb(5, int(k)) for k in frame.n_members]
    stated = joint_limit(frame.assign(n_subsets=n_subsets), n_boot=0)
    assert "as column n_subsets shows" in stated.notes[0]
    assert stated.interval == seen.interval
    apart = joint_limit(frame, n_boot=0, shared_members="independent")
    assert np.diff(seen.interval) > 3 * np.diff(apart.interval)


def test_an_exponent_of_members_that_is_not_one_is_freed_with_a_sentence():
    frame = designs.nested(0, gamma=0.45, most=16, noise=0.002)
    found = joint_limit(frame, n_boot=0)
    low, high = found.interval
    assert low < designs.LIMIT < high
    assert found.joint.params["gamma"] == pytest.approx(0.45, abs=0.1)
    assert "The loss does not fall as 1/K" in found.summary()
    held = joint_limit(frame, n_boot=0, fixed={"gamma": 1.0})
    assert held.joint.params["gamma"] == 1.0
    assert held.joint.objective > found.joint.objective


def test_as_many_rows_as_parameters_give_no_interval():
    frame = designs.independent(0).iloc[[0, 4, 8, 12, 17]]
    found = joint_limit(frame, n_boot=0)
    assert found.interval == (0.0, np.inf)
    assert found.status is FitStatus.NOT_IDENTIFIED


def test_a_table_of_one_size_names_the_way_out():
    frame = designs.nested(0)
    with pytest.raises(
        ValueError, match=r"'n_params' has one value.*fit_law\(frame, 'power', x='n_m"
    ):
        joint_limit(frame[frame.n_params == 0.3])
    with pytest.raises(
        ValueError, match=r"'n_members' has one value.*fit_law\(frame, 'power', x='n_p"
    ):
        joint_limit(frame[frame.n_members == 2])
    with pytest.raises(ValueError, match="`shared_members` must be 'independent', 'nested'"):
        joint_limit(frame, shared_members="some")


def test_more_members_of_a_nested_ensemble_are_predicted():
    """In 40 simulated tables; fewer than 34 of 40 covered has a chance of .3 % at 95 %."""
    covered = 0
    for seed in range(40):
        frame = designs.nested(seed, sizes=np.array([0.3]), most=20, noise=0.004)
        fit = fit_law(frame[:12], "power", x="n_members", loss="squared_log", n_boot=0)
        found = predict_members(fit, [20]).iloc[0]
        covered += found["low"] < frame.loss.iloc[-1] < found["high"]
    assert covered >= 34
    with pytest.raises(ValueError, match="above those of the fit, 12"):
        predict_members(fit, [12])


def test_the_nested_ensemble_of_slowrun_is_predicted_from_half_of_it():
    """Published: losses of the first K of 19 members, github.com/qlabs-eng/slowrun, request 80."""
    frame = read_runs(needed("fits/slowrun/ensemble_80.csv"))
    fit = fit_law(frame[frame.n_members <= 10], "power", x="n_members", n_boot=0)
    found = predict_members(fit, [19]).iloc[0]
    assert frame.loss.iloc[-1] == 3.0014
    assert found["low"] < 3.0014 < found["high"]
    # one power misses by .0030, as the exponent grows from .38 (K <= 10) to .43 (K <= 19)
    assert found["mean"] == pytest.approx(3.0014, abs=0.0035)
    with pytest.raises(ValueError, match="predict_members"):
        joint_limit(frame.assign(n_params=1.0))


def test_data_efficiency_inverts_the_data_law():
    data = np.geomspace(1, 64, 7)
    rng = np.random.default_rng(0)
    loss = 1.94 + 1.5 * data**-0.235 + rng.normal(0, 0.003, 7)
    law = fit_law(x=data, y=loss)
    reached = 1.94 + 1.5 * (4.0 * 5.17) ** -0.235
    found = data_efficiency(law, reached, 4.0)
    assert found.interval[0] < 5.17 < found.interval[1]
    assert found.tokens == pytest.approx(found.multiplier * 4.0)
    band = law.predict(4.0 * np.array(found.if_law_holds))
    assert band["low"][0] == pytest.approx(reached, abs=2e-4)
    assert band["high"][1] == pytest.approx(reached, abs=2e-4)
    drawn = fit_law(x=data, y=loss, resample="wild", n_boot=500)
    other = data_efficiency(drawn, reached, 4.0)
    assert other.multiplier == pytest.approx(found.multiplier)
    assert other.if_law_holds[0] < 5.17 < other.if_law_holds[1]
    for one in (found, other):
        low, high = one.if_law_holds
        assert one.interval[0] <= low < high <= one.interval[1]
    wider = data_efficiency(law, reached, 4.0, loss_interval=(reached - 0.02, reached + 0.02))
    assert wider.interval[0] < found.interval[0]
    assert wider.interval[1] > found.interval[1]


def test_data_efficiency_below_the_asymptote_is_infinite():
    data = np.geomspace(1, 1e4, 9)
    law = fit_law(x=data, y=2.0 + 1.5 * data**-0.5)
    found = data_efficiency(law, 1.9, 4.0)
    assert found.multiplier == np.inf
    assert "no amount of data" in found.message
    with pytest.raises(ValueError, match="`at` must be a finite number above 0"):
        data_efficiency(law, 3.0, -1.0)


def test_weighted_median_is_the_median_for_equal_weights():
    values = np.random.default_rng(0).normal(size=(7, 5))
    assert weighted_median(values, np.full(7, 0.2)) == pytest.approx(np.median(values, axis=0))
    heavy = np.array([1e-9, 1.0, 1e-9, 1e-9, 1e-9, 1e-9, 1e-9])
    assert weighted_median(values, heavy) == pytest.approx(values[1], abs=1e-6)


def test_forecast_of_a_power_law_is_that_power_law():
    sizes = np.geomspace(1e3, 1e6, 24)
    loss = (0.2 + 3 * sizes**-0.3) * np.exp(np.random.default_rng(0).normal(0, 0.002, 24))
    made = forecast(x=sizes, y=loss, laws=["power", "shifted_power"], windows=[1.0, 0.5])
    band = made.predict([2e6, 4e6])
    truth = 0.2 + 3 * np.array([2e6, 4e6]) ** -0.3
    assert band["mean"].to_numpy() == pytest.approx(truth, rel=0.01)
    assert (band["low"] < truth).all()
    assert (truth < band["high"]).all()
    assert sum(c.weight for c in made.candidates) == pytest.approx(1.0)
    assert list(made.table()["weight"]) == sorted(made.table()["weight"], reverse=True)


def test_a_limit_that_is_next_to_nothing_is_no_asymptote():
    """A fit may end beside its bound at zero, at 1e-35 say, where a logarithm is not taken."""
    limits = pd.DataFrame({"n_params": [1.0, 2, 3, 4], "limit": [3.2, 1e-35, 0.0, 3.0]})
    kept = asymptotes_among(limits, losses=pd.Series([3.5, 4.0]))
    assert kept["limit"].tolist() == [3.2, 3.0]
