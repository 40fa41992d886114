"""Exponents and predictions from mean losses of one, two and K members."""

import math

import pytest

from experiments.analysis.members import exponent_of, predicted_loss


@pytest.mark.parametrize("alpha", [0.43, 1.0, 1.7])
@pytest.mark.parametrize("n_members", [3, 4, 14])
def test_the_exponent_of_a_power_law_is_found(alpha, n_members):
    losses = {k: 3.1 + 0.4 * k**-alpha for k in (1, 2, n_members)}
    assert exponent_of(losses, n_members) == pytest.approx(alpha)


@pytest.mark.parametrize(
    "losses", [{1: 4, 2: 4.1, 4: 3}, {1: 4, 2: 3.5, 4: 3.6}, {1: 4, 2: 3.9, 4: 3}]
)
def test_losses_that_no_power_joins_have_no_exponent(losses):
    """They rise, or fall faster than the logarithm of K."""
    assert math.isnan(exponent_of(losses, 4))


def test_the_prediction_is_exact_where_the_loss_falls_as_one_over_k():
    losses = {k: 3.1 + 0.4 / k for k in (1, 2, 6)}
    assert predicted_loss(losses, 6) == pytest.approx(losses[6])
