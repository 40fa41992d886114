import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from models.ensembles.mixture import fit_mixture_weights, mixture_log_probs, mixture_loss
from models.ensembles.nonnegative import OptimumStatus


def random_table(n_models: int, n_tokens: int, *, spread: float = 1.0, seed: int = 0):
    """Models that agree on which tokens are hard and differ by `spread` nats on each."""
    rng = np.random.default_rng(seed)
    common = -rng.gamma(2.0, 2.0, size=n_tokens) - 1
    quality = rng.random((n_models, 1))
    return np.minimum(common + spread * rng.normal(size=(n_models, n_tokens)) - quality, -1e-9)


def residual_by_definition(table: np.ndarray, weights: np.ndarray) -> float:
    """Return the violation of: mean p_i / mix <= 1, with equality where w_i > 0."""
    p = np.exp(table - table.max(axis=0))
    ratio = (p / (weights @ p)).mean(axis=1)
    return max(ratio.max() - 1, np.abs(ratio[weights > 0] - 1).max())


def expectation_maximisation(table: np.ndarray, n_steps: int) -> np.ndarray:
    p = np.exp(table)
    weights = np.full(len(table), 1 / len(table))
    for _ in range(n_steps):
        weights = weights * (p / (weights @ p)).mean(axis=1)
    return weights


def test_weights_are_those_of_expectation_maximisation():
    table = random_table(5, 3000, spread=2.0)
    fit = fit_mixture_weights(table)
    np.testing.assert_allclose(fit.weights, expectation_maximisation(table, 3000), atol=1e-6)
    assert fit.loss == pytest.approx(-np.log(fit.weights @ np.exp(table)).mean(), rel=1e-12)


def test_no_worse_than_a_general_solver():
    table = random_table(7, 2000)
    p = np.exp(table)
    peer = minimize(
        lambda w: -np.log(w @ p).mean(), np.full(7, 1 / 7), method="SLSQP", bounds=[(0, 1)] * 7,
        jac=lambda w: -(p / (w @ p)).mean(axis=1), options={"ftol": 1e-14, "maxiter": 1000},
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )  # fmt: skip
    fit = fit_mixture_weights(table)
    assert fit.loss == pytest.approx(peer.fun, abs=1e-7)
    assert fit.loss <= peer.fun + 1e-12
    assert fit.converged


@settings(max_examples=60, deadline=None)
@given(
    n_models=st.integers(1, 9),
    n_tokens=st.integers(1, 300),
    spread=st.sampled_from([0.0, 1e-8, 1e-4, 0.1, 1.0, 10.0, 200.0]),
    share_zero=st.sampled_from([0.0, 0.3]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 10_000),
)
def test_the_optimum_is_certified(n_models, n_tokens, spread, share_zero, dtype, seed):
    table = random_table(n_models, n_tokens, spread=spread, seed=seed).astype(dtype)
    rng = np.random.default_rng(seed)
    zeros = rng.random(table.shape) < share_zero
    zeros[rng.integers(n_models, size=n_tokens), np.arange(n_tokens)] = False
    table[zeros] = -np.inf
    fit = fit_mixture_weights(table)
    assert fit.status is OptimumStatus.OPTIMAL
    assert fit.weights.sum() == pytest.approx(1, abs=1e-12)
    assert (fit.weights >= 0).all()
    exact = table.astype(np.float64)
    assert residual_by_definition(exact, fit.weights) <= 1e-6
    assert fit.kkt_residual == pytest.approx(residual_by_definition(exact, fit.weights), abs=1e-9)
    # Jensen, and a mixture of one: never worse than the average of all or than the best alone.
    alone = np.append(-exact.mean(axis=1), mixture_loss(exact, np.full(n_models, 1 / n_models)))
    assert fit.loss <= alone.min() + 1e-9 * (1 + abs(alone.min()))


def test_experts_on_separate_tokens_get_their_share():
    """Where p_i is zero but on its own tokens, w_i is the share of those, whatever the p_i."""
    table = np.full((3, 10), -np.inf)
    table[0, :5], table[1, 5:8], table[2, 8:] = -0.1, -4.0, -700.0
    fit = fit_mixture_weights(table)
    np.testing.assert_allclose(fit.weights, [0.5, 0.3, 0.2], atol=1e-9)


def test_a_rare_expert_keeps_a_small_weight():
    """One token of many that only a poor model can explain costs it 1/T of the weight, not 0."""
    table = np.full((2, 10_000), -1.0)
    table[0, 7], table[1] = -np.inf, -np.inf
    table[1, 7] = -3.0
    np.testing.assert_allclose(fit_mixture_weights(table).weights, [1 - 1e-4, 1e-4], rtol=1e-6)


def test_a_worse_copy_gets_nothing_and_equal_copies_share():
    model = random_table(1, 500)
    other = random_table(1, 500, seed=1)
    fit = fit_mixture_weights(np.concatenate([model, model - 0.5, other]))
    assert fit.weights[1] == 0
    twice = fit_mixture_weights(np.concatenate([model, model, other]))
    assert twice.loss == pytest.approx(fit.loss, abs=1e-9)
    assert twice.weights[:2].sum() == pytest.approx(fit.weights[0], abs=1e-6)


def test_weights_fitted_on_one_table_score_another():
    validation, test = random_table(4, 900), random_table(4, 700, seed=2).reshape(4, 70, 10)
    fit = fit_mixture_weights(validation)
    mixed = np.log(np.tensordot(fit.weights, np.exp(test), axes=1))
    np.testing.assert_allclose(fit.log_probs(test), mixed, atol=1e-12)
    assert fit.log_probs(test).shape == (70, 10)
    assert fit.loss_on(test) == pytest.approx(-mixed.mean(), rel=1e-12)
    assert fit.loss_on(validation) == pytest.approx(fit.loss, rel=1e-12)


def test_tiny_probabilities_do_not_underflow():
    table = random_table(3, 400) - 2000
    assert fit_mixture_weights(table).loss == pytest.approx(
        fit_mixture_weights(table + 2000).loss + 2000, abs=1e-9
    )


def test_a_token_without_probability_costs_infinity_only_when_scored():
    table = np.array([[-1.0, -np.inf], [-2.0, -3.0]])
    assert mixture_loss(table, [1.0, 0.0]) == np.inf
    assert mixture_log_probs(table, [1.0, 0.0]).tolist() == [-1.0, -np.inf]


def test_blocks_do_not_matter(monkeypatch, tmp_path):
    """Also for a table on disk."""
    whole = random_table(3, 1000).astype(np.float32)
    np.save(tmp_path / "table.npy", whole)
    fit = fit_mixture_weights(whole)
    monkeypatch.setattr("models.ensembles.mixture.BLOCK_VALUES", 100)
    mapped = fit_mixture_weights(np.load(tmp_path / "table.npy", mmap_mode="r"))
    np.testing.assert_allclose(mapped.weights, fit.weights, atol=1e-9)
    assert mapped.loss == pytest.approx(fit.loss, rel=1e-12)


def test_stopping_early_is_said():
    fit = fit_mixture_weights(random_table(3, 100), max_iterations=1)
    assert not fit.converged
    assert "stopped before" in fit.status.value
    assert fit.kkt_residual > 1e-9


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (np.zeros(5), r"must be \[models, tokens\]"),
        (np.zeros((0, 5)), r"at least one of each; not of shape \(0, 5\)"),
        (np.zeros((2, 0)), "at least one of each"),
        ([np.zeros(3), np.zeros(4)], "must score the same tokens"),
        (np.array([[-1.0, np.nan]]), "model 0 gives token 1 nan"),
        (np.array([[-1.0, -1.0], [-2.0, 3.5]]), "at most 0; model 1 gives token 1 3.5"),
        (
            np.array([[-1.0, -2.0, -np.inf], [-1.0, -np.inf, -np.inf]]),
            "every model gives token 2 probability zero",
        ),
    ],
)
def test_bad_tables_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        fit_mixture_weights(table)


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be 2 numbers >= 0 that sum to 1"):
        mixture_loss(np.full((2, 3), -1.0), weights)
