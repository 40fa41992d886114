"""Losses of single documents against the loss of all."""

import numpy as np
import pytest

from models.config import ModelConfig
from models.training.evaluate import document_losses, held_out_loss
from models.training.train import init_params

MODEL = ModelConfig.from_width(16, vocab_size=11, context=8, n_layers=1)


def test_losses_by_document_are_those_of_its_tokens_alone():
    params = init_params(MODEL, 0)
    windows = np.random.default_rng(0).integers(11, size=(6, 9))
    documents = np.repeat([0, 0, 0, 3, 3, 5], 8).reshape(6, 8)
    losses = document_losses(MODEL, params, windows, documents)
    alone = [held_out_loss(MODEL, params, windows[rows]) for rows in ([0, 1, 2], [3, 4], [5])]
    assert losses == pytest.approx(alone, abs=1e-6)
    documents[0, :4] = 7  # a window of two documents
    losses = document_losses(MODEL, params, windows, documents)
    weights = np.unique(documents, return_counts=True)[1]
    assert len(losses) == 4
    whole = held_out_loss(MODEL, params, windows)
    assert np.average(losses, weights=weights) == pytest.approx(whole, abs=1e-6)
