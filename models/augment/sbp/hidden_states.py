"""Embed documents by the averaged hidden states of a language model of this package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.augment.sbp.embeddings import batches_of_texts, normalized, stacked
from models.config import ModelConfig
from models.language.language_model import LanguageModel
from models.training.train import Params, graph_of

BATCH_WINDOWS = 64


@dataclass(frozen=True, eq=False)
class HiddenStates:
    """An embedder: the mean over a text's tokens of the final hidden state.

    The mean over a corpus is subtracted first, because hidden states of any two texts share a large
    common component (Mu and Viswanath 2018, arXiv 1702.01417).
    """

    model: LanguageModel
    _center: np.ndarray = field(repr=False)

    @classmethod
    def fit(cls, model: LanguageModel, texts: Iterable[str]) -> HiddenStates:
        """Return an embedder centred on the mean state of these texts.

        Raises:
            ValueError: the model has no tokenizer, or there are no texts.
        """
        states = _mean_states(model, texts)
        if not len(states):
            raise ValueError("hidden states need at least one text to be centred on")
        return cls(model, states.mean(axis=0))

    def embed(self, texts: Iterable[str]) -> np.ndarray:
        """Return unit vectors float32 [n_texts, width]; long texts are read in windows."""
        return normalized(_mean_states(self.model, texts) - self._center)


def _mean_states(model: LanguageModel, texts: Iterable[str]) -> np.ndarray:
    """Average the hidden states over each text's tokens, float32 [n_texts, width]."""
    end, context = model.model.end_of_text_id, model.model.context
    parts = []
    for batch in batches_of_texts(texts):
        windows, owners = [], []
        for owner, text in enumerate(batch):
            ids = model.encode(text)
            for first in range(0, len(ids), context - 1):
                windows.append([end, *ids[first : first + context - 1]])
                owners.append(owner)
        sums = np.zeros((len(batch), model.model.width))
        counts = np.zeros(len(batch))
        for at, states in enumerate(_summed_states(model, windows)):
            sums[owners[at]] += states
            counts[owners[at]] += len(windows[at]) - 1
        parts.append((sums / np.maximum(counts, 1)[:, None]).astype(np.float32))
    return stacked(parts, model.model.width)


def _summed_states(model: LanguageModel, windows: list[list[int]]) -> Iterator[np.ndarray]:
    """Yield, for each window, the sum of its hidden states without the first [width]."""
    for first in range(0, len(windows), BATCH_WINDOWS):
        batch = windows[first : first + BATCH_WINDOWS]
        # All batches have one shape, so that one program compiles.
        ids_BT = np.zeros((BATCH_WINDOWS, model.model.context), np.int32)
        counted_BT = np.zeros(ids_BT.shape, bool)
        for row, window in enumerate(batch):
            ids_BT[row, : len(window)] = window
            counted_BT[row, 1 : len(window)] = True
        yield from np.asarray(_sums(model.model, model.params, ids_BT, counted_BT))[: len(batch)]


@jax.jit(static_argnums=0)
def _sums(
    model: ModelConfig, params: Params, ids_BT: jax.Array, counted_BT: jax.Array
) -> jax.Array:
    states_BTD = nnx.merge(graph_of(model), params).hidden_states(ids_BT)
    return jnp.sum(jnp.where(counted_BT[..., None], states_BTD, 0), axis=1)
