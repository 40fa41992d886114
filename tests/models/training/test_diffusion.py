"""Masked diffusion: what is masked, the bound against brute force, and what makes no sense."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from models.config import ModelConfig, OptimizerConfig, TrainConfig, check_together
from models.ensembles.ensemble import member_subsets, subset_losses
from models.language.distill import distill_soft
from models.language.generate import generate
from models.text.batches import unscored
from models.training import logits
from models.training.diffusion import masked_bound, subset_bounds, token_bounds
from models.training.evaluate import document_losses, gold_log_probs, held_out_loss
from models.training.job_list import Finished, Job, train_jobs
from models.training.masks import masks_of
from models.training.optimizers import Hyperparameters
from models.training.train import Program, graph_of, init_params, init_state, train_step

NEXT = ModelConfig.from_width(8, vocab_size=11, context=4, n_layers=1)
MODEL = dataclasses.replace(NEXT, objective="masked_diffusion")
WINDOWS = np.random.default_rng(0).integers(11, size=(6, 5))
OPTIMIZER = OptimizerConfig(learning_rate=0.01, weight_decay=0.1)


@functools.cache
def params():
    """Weights whose predictions are far from uniform."""
    return jax.tree.map(lambda leaf: 3 * leaf, init_params(MODEL, 0))


def log_probs(params, window, hidden):
    """Log-probabilities [T + 1, V] at every position of a window whose `hidden` ones are masked."""
    masked = np.isin(np.arange(5), list(hidden))[None]
    return np.asarray(jax.nn.log_softmax(logits_of(params, window[None], masked)[0]), np.float64)


@jax.jit
def logits_of(params, windows, masked):
    return nnx.merge(graph_of(MODEL), params)(windows, masked_BT=masked)


def loss_of_all_orders(window, *members):
    """Mean loss per token of the autoregressive models of all 24 orders of the four tokens.

    The logits of the members are averaged.
    """
    predictions = {}
    for k in range(1, 5):
        for hidden in itertools.combinations(range(1, 5), k):
            mean = np.mean([log_probs(params, window, hidden) for params in members], axis=0)
            predictions[hidden] = mean - np.log(np.exp(mean).sum(axis=-1, keepdims=True))
    losses = [
        -predictions[tuple(sorted(order[at:]))][order[at], window[order[at]]]
        for order in itertools.permutations(range(1, 5))
        for at in range(4)
    ]
    return np.mean(losses)


def test_the_bound_is_the_mean_loss_over_all_orders_of_the_tokens():
    exact = np.mean([loss_of_all_orders(window, params()) for window in WINDOWS])
    found = masked_bound(MODEL, params(), WINDOWS, n_draws=400)
    assert 0 < found.standard_error < 0.02 * exact
    assert abs(found.value - exact) < 4 * found.standard_error
    assert held_out_loss(MODEL, params(), WINDOWS) == masked_bound(MODEL, params(), WINDOWS).value


def test_the_bound_is_the_integral_over_masking_rates():
    """Of 1 / t times the loss of tokens masked at rate t, by quadrature (Sahoo et al. 2024)."""
    window = WINDOWS[0]
    rates, weights = np.polynomial.legendre.leggauss(8)  # exact for polynomials of t
    total = 0.0
    for t, weight in zip((rates + 1) / 2, weights / 2, strict=True):
        for k in range(1, 5):
            for hidden in itertools.combinations(range(1, 5), k):
                found = log_probs(params(), window, hidden)
                loss = -sum(found[at, window[at]] for at in hidden)
                total += weight / t * t**k * (1 - t) ** (4 - k) * loss
    assert total / 4 == pytest.approx(loss_of_all_orders(window, params()), rel=1e-5)


def test_the_standard_error_is_the_scatter_between_seeds():
    found = [masked_bound(MODEL, params(), WINDOWS, n_draws=8, seed=seed) for seed in range(40)]
    scatter = np.std([one.value for one in found], ddof=1)
    typical = math.sqrt(np.mean([one.standard_error**2 for one in found]))
    assert scatter == pytest.approx(typical, rel=0.35)  # 40 seeds know it to an eighth
    assert math.isnan(masked_bound(MODEL, params(), WINDOWS, n_draws=1).standard_error)


def test_masks_leave_the_first_token_and_spread_their_number_over_windows():
    def drawn(n_draws, n_windows):
        keys = jax.random.split(jax.random.key(0), n_draws)
        return np.asarray(jax.vmap(lambda key: masks_of(key, n_windows, 5))(keys))

    draws = drawn(500, 8)
    assert not draws[..., 0].any()
    counts = draws.sum(axis=2)
    assert counts.min() == 1
    # Eight windows, four numbers: two windows have each, whatever the draw.
    np.testing.assert_array_equal(
        np.sort(counts, axis=1), np.tile([1, 1, 2, 2, 3, 3, 4, 4], (500, 1))
    )
    np.testing.assert_allclose(draws[..., 1:].mean(axis=(0, 1)), 2.5 / 4, atol=0.03)
    np.testing.assert_allclose(counts.mean(axis=0), 2.5, atol=0.2)  # whichever the window
    few = drawn(800, 1)
    shares = np.bincount(few.sum(axis=(1, 2)), minlength=5)[1:] / 800
    np.testing.assert_allclose(shares, 1 / 4, atol=0.06)


def test_a_step_minimises_the_bound_of_its_masks_and_reports_it():
    train = TrainConfig(n_epochs=1, batch_size=6)
    program = Program.of(MODEL, OPTIMIZER, train)
    state = init_state(program, 0, jax.tree.map(jnp.copy, params()))
    hyper = Hyperparameters.of(OPTIMIZER, 1_000, train=train)
    step = jax.jit(train_step, static_argnums=0)
    losses = [
        float(step(program, state._replace(step=jnp.int32(at)), WINDOWS, hyper)[1])
        for at in range(300)
    ]
    exact = np.mean([loss_of_all_orders(window, params()) for window in WINDOWS])
    assert abs(np.mean(losses) - exact) < 4 * np.std(losses) / 300**0.5


def test_a_position_sees_both_sides_and_not_what_is_masked():
    params = init_params(MODEL, 0)  # with larger weights, attention looks at single positions
    window, masked = WINDOWS[:1], np.array([[False, False, True, False, False]])
    logits = logits_of(params, window, masked)[0, 2]
    for at in range(5):
        changed = window.copy()
        changed[0, at] = (changed[0, at] + 1) % 11
        differs = not np.allclose(logits_of(params, changed, masked)[0, 2], logits, atol=1e-6)
        assert differs == (at != 2)
    positions = np.ones((1, 5), bool)
    everywhere = logits_of(params, window, positions)
    np.testing.assert_allclose(everywhere, logits_of(params, window * 0, positions), atol=1e-6)


def test_averaged_members_have_the_bound_of_their_averaged_predictions():
    members = [params(), jax.tree.map(lambda leaf: 3 * leaf, init_params(MODEL, 1))]
    subsets = member_subsets(2)
    found = subset_bounds([(MODEL, one) for one in members], WINDOWS[:2], subsets, n_draws=300)
    for at, of in enumerate(([members[0]], [members[1]], members)):
        exact = np.mean([loss_of_all_orders(window, *of) for window in WINDOWS[:2]])
        assert found["logit"][at] == pytest.approx(exact, rel=0.04)
    assert found["probability"][0] == pytest.approx(found["logit"][0], rel=1e-5)
    assert found["probability"][2] <= found["probability"][:2].mean()
    default = subset_losses([(MODEL, one) for one in members], WINDOWS, subsets)
    assert default["logit"][0] == pytest.approx(held_out_loss(MODEL, params(), WINDOWS), rel=1e-5)


def test_losses_of_documents_add_up_to_the_bound():
    documents = np.repeat([3, 3, 5, 5, 5, 9], 4).reshape(6, 4)
    found = document_losses(MODEL, params(), WINDOWS, documents)
    total = found @ [8, 12, 4] / 24
    assert total == pytest.approx(held_out_loss(MODEL, params(), WINDOWS), rel=1e-6)
    assert token_bounds(MODEL, params(), WINDOWS, n_draws=2).shape == (2, 6, 4)


@pytest.mark.long
def test_training_learns_and_its_bound_lies_above_the_entropy():
    """Of a text of independent tokens, whose loss no model can undercut."""
    rng = np.random.default_rng(0)
    chances = np.array([0.5, 0.3, 0.2])
    tokens = rng.choice(3, size=4_096, p=chances)
    held_out = {"validation": rng.choice(3, size=(128, 5), p=chances)}
    train = TrainConfig(n_epochs=2, batch_size=16)
    job = Job(
        id="job", model=MODEL, optimizer=OPTIMIZER, train=train, seed=0, tokens=tokens,
        held_out=held_out, score_every=1,
    )  # fmt: skip
    events = []
    train_jobs([job], events.append)
    (done,) = [event for event in events if isinstance(event, Finished)]
    entropy = -(chances * np.log(chances)).sum()
    assert entropy - 0.05 < done.scores["validation"] < entropy + 0.1
    assert job.flops == job.n_steps * 64 * NEXT.train_flops_per_token * 5 / 4


def generated():
    generate([(MODEL, params())], n_tokens=1, n_samples=1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: check_together(MODEL, TrainConfig(n_epochs=1, reversed_share=0.5)),
         "masked diffusion reads a window in both directions at once, so that reversed_share"),
        (lambda: check_together(MODEL, TrainConfig(n_epochs=1, masked_share=0.5)),
         "masked diffusion masks its input at rates of its own"),
        (lambda: check_together(MODEL, TrainConfig(n_epochs=1, replaced_share=0.5)),
         "masked diffusion masks its input at rates of its own"),
        (lambda: dataclasses.replace(MODEL, future_tokens=1), "future_tokens continue the"),
        (lambda: dataclasses.replace(MODEL, attend_across_documents=False),
         "masked diffusion needs attend_across_documents: the ends of documents are masked"),
        (lambda: dataclasses.replace(NEXT, objective="causal"), "objective must be one of"),
        (lambda: masked_bound(NEXT, init_params(NEXT, 0), WINDOWS), "a model predicts next tokens"),
        (lambda: masked_bound(MODEL, params(), unscored(WINDOWS)), "needs every token"),
        (lambda: Program.of(MODEL, OPTIMIZER, TrainConfig(n_epochs=1), has_unscored=True),
         "needs every token to be scored"),
        (generated, "gives no probabilities of next tokens"),
        (lambda: gold_log_probs(MODEL, params(), WINDOWS), "gives no probabilities of next tokens"),
        (lambda: subset_losses([(MODEL, params()), (NEXT, init_params(NEXT, 0))], WINDOWS,
                               np.ones((1, 2), bool)), "members must share one objective"),
        (lambda: distill_soft(MODEL, [(NEXT, init_params(NEXT, 0))], np.zeros(64, int),
                              optimizer=OPTIMIZER, train=TrainConfig(n_epochs=1), seed=0),
         "gives no probabilities of next tokens"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_the_reason(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_next_tokens_are_refused_where_logits_are_computed_in_blocks_too(monkeypatch):
    monkeypatch.setattr(logits, "LARGE_LOGITS", 1)
    with pytest.raises(ValueError, match="gives no probabilities of next tokens"):
        gold_log_probs(MODEL, params(), WINDOWS)
