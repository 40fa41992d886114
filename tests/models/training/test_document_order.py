"""Documents in a new order every epoch, and the windows that are cut from them."""

import itertools

import numpy as np
import pytest

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.text.batches import as_ring, document_bounds, document_order, unscored
from models.training.job_list import Job
from models.training.train import init_params, init_state, mean_loss, train_segment

MODEL = ModelConfig.from_width(8, vocab_size=30, context=8, n_layers=1)
OPTIMIZER = OptimizerConfig(learning_rate=0.01, weight_decay=0.1)
DOCUMENTS = np.array([5, 6, 0, 7, 0, 8, 9, 10, 0, 11, 12] * 12)


def shuffling_job(tokens=DOCUMENTS, **changes):
    train = TrainConfig(n_epochs=3, batch_size=2, data_order="documents")
    return Job(
        id="job", model=MODEL, optimizer=OPTIMIZER, train=train, seed=3, tokens=tokens, held_out={},
        **changes,
    )  # fmt: skip


def test_every_epoch_has_all_documents_whole_in_a_new_order():
    orders = [document_order(DOCUMENTS, end_of_text_id=0, seed=3, epoch=epoch) for epoch in (0, 1)]
    assert not np.array_equal(*orders)
    bounds = document_bounds(DOCUMENTS, 0)
    whole = [tuple(range(*bound)) for bound in itertools.pairwise(bounds)]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), np.arange(len(DOCUMENTS)))
        cuts = np.flatnonzero(np.isin(order, [part[0] for part in whole]))
        assert sorted(map(tuple, np.split(order, cuts[1:]))) == sorted(whole)
    marked = DOCUMENTS.copy()
    marked[:20] = unscored(marked[:20])
    np.testing.assert_array_equal(
        document_order(marked, end_of_text_id=0, seed=3, epoch=0), orders[0]
    )


def test_windows_are_slices_of_the_documents_in_the_order_of_their_epoch():
    job = shuffling_job()
    reads, n_now = job.reads(0)
    per_epoch = job.steps_per_epoch
    assert n_now == 3 * per_epoch
    for epoch in range(3):
        order = document_order(DOCUMENTS, end_of_text_id=0, seed=3, epoch=epoch)
        ring = as_ring(order, context=8)
        slices = {ring[at : at + 9].tobytes() for at in range(len(order))}
        rows = reads[epoch * per_epoch : (epoch + 1) * per_epoch].reshape(-1, 9)
        assert {row.astype(ring.dtype).tobytes() for row in rows} <= slices
        targets = rows[:, 1:].ravel()
        assert len(set(targets.tolist())) == len(targets)  # each token once an epoch
    again, _ = job.reads(per_epoch + 1)  # as a resumed run asks
    np.testing.assert_array_equal(again[:3], reads[per_epoch + 1 : per_epoch + 4])


def test_synthetic_windows_among_shuffled_documents_are_read_as_they_are():
    synthetic = np.arange(5 * 9).reshape(5, 9) + 100
    job = shuffling_job(synthetic=synthetic, synthetic_share=0.5)
    reads, n_now = job.reads(0)
    read = job.ring[reads[:n_now]]
    assert {row.tobytes() for row in read[:, 1]} == {row.tobytes() for row in synthetic}
    assert read[:, 0].max() < 100


@pytest.mark.long
def test_a_segment_reads_the_positions_that_it_is_given():
    job = shuffling_job()
    program, hyper = job.program(), job.hyperparameters
    reads, _ = job.reads(0)
    _, losses = train_segment(program, init_state(program, 0), job.ring, reads, np.int32(1), hyper)
    windows = job.tokens[reads[0]]
    assert float(losses[0]) == pytest.approx(
        float(mean_loss(MODEL, init_params(MODEL, 0), windows)), abs=1e-5
    )


def test_one_document_cannot_be_shuffled():
    with pytest.raises(ValueError, match="needs two documents or more; these 100 tokens are one"):
        shuffling_job(np.ones(100, int))
