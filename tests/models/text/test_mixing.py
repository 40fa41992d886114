import numpy as np
import pytest

from models.config import TrainConfig
from models.text.batches import window_starts
from models.text.mixing import mixed_ring, mixed_starts, mixed_steps_per_epoch

CONTEXT, D, N_SYNTHETIC = 4, 43, 7
TRAIN = TrainConfig(n_epochs=3, batch_size=4)
REAL = np.arange(D)
SYNTHETIC = 1000 + np.arange(N_SYNTHETIC * (CONTEXT + 1)).reshape(N_SYNTHETIC, -1)
RING = mixed_ring(REAL, SYNTHETIC, context=CONTEXT)


def starts(first, last, *, share=0.5, seed=0, train=TRAIN):
    return mixed_starts(
        D, N_SYNTHETIC, context=CONTEXT, train=train, share=share, seed=seed,
        first_step=first, last_step=last,
    )  # fmt: skip


def windows(rows):
    return RING[rows[..., None] + np.arange(CONTEXT + 1)]


@pytest.mark.parametrize(("share", "n_synthetic"), [(0, 0), (0.25, 1), (0.75, 3), (1, 4)])
def test_every_batch_has_its_share_of_synthetic_windows(share, n_synthetic):
    found = windows(starts(0, 20, share=share))
    assert ((found >= 1000).all(axis=-1).sum(axis=1) == n_synthetic).all()
    assert ((found < 1000).all(axis=-1).sum(axis=1) == 4 - n_synthetic).all()


def test_synthetic_windows_are_read_whole_and_all_before_any_again():
    found = windows(starts(0, 14))
    read = found[(found >= 1000).all(axis=-1)]
    for turn in read.reshape(4, N_SYNTHETIC, CONTEXT + 1):
        np.testing.assert_array_equal(np.sort(turn[:, 0]), SYNTHETIC[:, 0])
        np.testing.assert_array_equal(np.diff(turn, axis=1), 1)
    assert (read[:N_SYNTHETIC] != read[N_SYNTHETIC : 2 * N_SYNTHETIC]).any()


def test_real_windows_are_those_of_training_without_synthetic_ones():
    alone = window_starts(
        D, context=CONTEXT, train=TrainConfig(n_epochs=3, batch_size=2), seed=5,
        first_step=0, last_step=15,
    )  # fmt: skip
    np.testing.assert_array_equal(starts(0, 15, seed=5)[:, :2], alone)
    assert mixed_steps_per_epoch(D, context=CONTEXT, train=TRAIN, share=0.5) == 5  # 10 windows


def test_any_step_can_be_drawn_by_itself():
    whole = starts(0, 20, seed=3)
    np.testing.assert_array_equal(
        np.concatenate([starts(i, i + 1, seed=3) for i in range(20)]), whole
    )
    assert (starts(0, 20, seed=4) != whole).any()


def test_bad_mixtures_are_refused():
    with pytest.raises(ValueError, match=r"synthetic_share must lie in \[0, 1\]; not 1.5"):
        starts(0, 1, share=1.5)
    with pytest.raises(ValueError, match=r"windows \[n_windows, 5\]; not of shape \(7, 4\)"):
        mixed_ring(REAL, SYNTHETIC[:, 1:], context=CONTEXT)
