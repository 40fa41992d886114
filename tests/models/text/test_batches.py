import numpy as np
import pytest

from models.config import TrainConfig
from models.text.batches import as_ring, evaluation_windows, steps_per_epoch, window_starts

CONTEXT = 8


def starts_of(n_tokens=256, first=0, last=None, seed=0, **settings):
    train = TrainConfig(n_epochs=4, batch_size=4, **settings)
    per_epoch = steps_per_epoch(n_tokens, context=CONTEXT, batch_size=4)
    last = 4 * per_epoch if last is None else last
    return window_starts(
        n_tokens, context=CONTEXT, train=train, seed=seed, first_step=first, last_step=last
    )


@pytest.mark.parametrize("jitter", [True, False])
def test_an_epoch_reads_every_token_once(jitter):
    ring = as_ring(np.arange(256), context=CONTEXT)
    for epoch in starts_of(window_jitter=jitter).reshape(4, -1):
        read = ring[epoch[:, None] + np.arange(CONTEXT)]
        assert sorted(read.ravel()) == list(range(256))


def test_steps_do_not_depend_on_where_reading_begins():
    whole = starts_of()
    for first, last in ((0, 3), (5, 21), (8, 8 + 8), (31, 32)):
        np.testing.assert_array_equal(starts_of(first=first, last=last), whole[first:last])


def test_orders_and_phases_do_what_they_say():
    fixed = starts_of(data_order="fixed", window_jitter=False).reshape(4, -1)
    assert (fixed == fixed[0]).all()
    reshuffled = starts_of(window_jitter=False).reshape(4, -1)
    assert not (reshuffled == reshuffled[0]).all()
    assert (reshuffled % CONTEXT == 0).all()
    jittered = starts_of().reshape(4, -1)
    phases = [set(epoch % CONTEXT) for epoch in jittered]
    assert all(len(phase) == 1 for phase in phases)
    assert len(set.union(*phases)) > 1
    assert not np.array_equal(starts_of(seed=1), starts_of(seed=0))


def test_too_little_text_says_how_much_is_needed():
    with pytest.raises(ValueError, match="= 32 tokens; there are only 31"):
        steps_per_epoch(31, context=CONTEXT, batch_size=4)
    with pytest.raises(ValueError, match="evaluation needs 9 tokens; there are only 8"):
        evaluation_windows(np.arange(8), context=CONTEXT)


def test_evaluation_scores_each_token_once():
    windows = evaluation_windows(np.arange(100), context=CONTEXT)
    assert windows.shape == (12, CONTEXT + 1)
    assert windows[:, 1:].ravel().tolist() == list(range(1, 97))


def test_the_order_of_the_data_may_have_a_seed_of_its_own():
    """Same order with other weights, or the same weights with another order."""
    from models.config import ModelConfig, OptimizerConfig
    from models.training.jobs import Job

    def starts(seed, order_seed):
        job = Job(
            id="", model=ModelConfig.from_width(8, vocab_size=300, context=CONTEXT),
            optimizer=OptimizerConfig(learning_rate=0.01, weight_decay=0.1),
            train=TrainConfig(n_epochs=2, batch_size=4, order_seed=order_seed), seed=seed,
            tokens=np.zeros(256, int), held_out={},
        )  # fmt: skip
        return job.reads(0)[0].tolist()

    assert starts(1, None) == starts(0, 1) == starts(1, 1)
    assert starts(1, 0) == starts(0, None) != starts(1, None)
    with pytest.raises(ValueError, match="order_seed must be a whole number >= 0, or None; not -1"):
        TrainConfig(n_epochs=1, order_seed=-1)
