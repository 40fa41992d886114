"""Trained models with their tokenizer, ensembles of them, and the interface of both."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from models.config import ModelConfig
from models.ensembles.ensemble import Average, member_weights
from models.ensembles.member_stream import (
    DEFAULT_MEMORY,
    WORKING_COPIES,
    Member,
    check_windows,
    checked_members,
)
from models.text.tokens import load_tokenizer
from models.training.checkpoint import load_model, save_params
from models.training.evaluate import BATCH_WINDOWS
from models.training.train import Params, token_log_probs

if TYPE_CHECKING:
    import tokenizers

PARAMS_FILE = "params.safetensors"
TOKENIZER_FILE = "tokenizer.json"


class GoldScores(NamedTuple):
    """Scores of every true next token of windows [B, T + 1].

    Attributes:
        log_probs: its log-probability, float32 [B, T] in nats.
        greedy: whether it is the most probable token, bool [B, T].
    """

    log_probs: np.ndarray
    greedy: np.ndarray


class Predictor(ABC):
    """Interface of everything that predicts the next token; evaluations take a predictor.

    Attributes:
        model: architecture, which gives vocabulary, context and end-of-text id.
        tokenizer: encodes text as token ids, if known.
    """

    model: ModelConfig
    tokenizer: tokenizers.Tokenizer | None

    @abstractmethod
    def predict(self, ids_BT: np.ndarray) -> jax.Array:
        """Return log p(next token) [B, T, V] in nats of one batch, at most `model.context` wide."""

    def next_token_log_probs(self, ids_BT: np.ndarray) -> np.ndarray:
        """Return the log-probabilities of every token after each position.

        Args:
            ids_BT: token ids [sequences, positions], at most `model.context` positions.

        Returns:
            float32 array [sequences, positions, vocab_size] in nats.

        Raises:
            ValueError: ids outside the vocabulary, or more positions than the context.
        """
        ids_BT = np.asarray(ids_BT)
        check_windows(np.pad(ids_BT, [(0, 0)] * (ids_BT.ndim - 1) + [(0, 1)]), self.model)
        parts = [np.asarray(self.predict(batch))[:n] for batch, n in self._batches(ids_BT)]
        return np.concatenate(parts)

    def gold_scores(self, windows: np.ndarray) -> GoldScores:
        """Return the scores of the true next tokens of windows [n_windows, positions + 1].

        Raises:
            ValueError: ids outside the vocabulary, or more positions than the context.
        """
        windows = np.asarray(windows)
        check_windows(windows, self.model)
        log_probs, greedy = [], []
        for batch, n in self._batches(windows):
            scores = _gold_scores(self.predict(batch[:, :-1]), batch[:, 1:])
            log_probs.append(np.asarray(scores.log_probs)[:n])
            greedy.append(np.asarray(scores.greedy)[:n])
        return GoldScores(np.concatenate(log_probs), np.concatenate(greedy))

    def gold_log_probs(self, windows: np.ndarray) -> np.ndarray:
        """Return log-probabilities [n_windows, positions] of true tokens, see `gold_scores`."""
        return self.gold_scores(windows).log_probs

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens.

        Raises:
            ValueError: the tokenizer is unknown.
        """
        if self.tokenizer is None:
            raise ValueError("scoring text needs a model with its tokenizer")
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _batches(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yield int32 batches and how many of their rows are data.

        All batches have one shape, with a power of two of rows, so that few programs are compiled.
        """
        of_one = 4 * rows.shape[1] * self.model.vocab_size * WORKING_COPIES
        most = min(BATCH_WINDOWS, max(1, DEFAULT_MEMORY // of_one))
        most = 1 << (min(most, 2 * len(rows) - 1).bit_length() - 1)
        for first in range(0, len(rows), most):
            batch = rows[first : first + most].astype(np.int32)
            yield np.pad(batch, ((0, most - len(batch)), (0, 0))), len(batch)


@dataclass(frozen=True, kw_only=True, eq=False)
class LanguageModel(Predictor):
    """A trained model.

    Attributes:
        model: architecture.
        params: its weights, put on the default device.
        tokenizer: encodes text as token ids, if known.

    Raises:
        ValueError: the tokenizer has more ids than the model's vocabulary.
    """

    model: ModelConfig
    params: Params = field(repr=False)
    tokenizer: tokenizers.Tokenizer | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        # Once, not with every batch.
        object.__setattr__(self, "params", jax.device_put(self.params))
        if self.tokenizer is not None:
            n_ids = self.tokenizer.get_vocab_size()
            if n_ids > self.model.vocab_size:
                raise ValueError(
                    f"the tokenizer has {n_ids:,} ids, more than the model's vocabulary of "
                    f"{self.model.vocab_size:,}"
                )

    @classmethod
    def load(
        cls, path: Path | str, *, tokenizer: tokenizers.Tokenizer | None = None
    ) -> LanguageModel:
        """Return the model in a folder that `save` wrote, a run's folder, or a file of weights.

        Args:
            path: the folder, or the file of weights in it.
            tokenizer: used instead of the `tokenizer.json` beside the weights.

        Raises:
            CheckpointError: weights are missing or damaged.
            ValueError: the tokenizer is damaged or has more ids than the model's vocabulary.
        """
        path = Path(path)
        file = path / PARAMS_FILE if path.is_dir() else path
        model, params = load_model(file)
        beside = file.with_name(TOKENIZER_FILE)
        if tokenizer is None and beside.is_file():
            tokenizer = load_tokenizer(beside)
        return cls(model=model, params=params, tokenizer=tokenizer)

    def save(self, folder: Path | str) -> None:
        """Write weights and tokenizer into a folder, which is created if missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if self.tokenizer is not None:
            self.tokenizer.save(str(folder / TOKENIZER_FILE))
        save_params(folder / PARAMS_FILE, self.model, self.params)

    @property
    def tokenizer_sha256(self) -> str | None:
        """Fingerprint of the tokenizer, None if it is unknown."""
        if self.tokenizer is None:
            return None
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()

    def predict(self, ids_BT: np.ndarray) -> jax.Array:
        """Return log p(next token) [B, T, V] in nats."""
        return _log_probs(self.model, self.params, ids_BT)


@dataclass(frozen=True, eq=False)
class Ensemble(Predictor):
    """Models whose predictions are averaged, see `models.ensembles.ensemble`.

    Only the running average and one member's predictions of a batch are held in memory.

    Attributes:
        members: models of one tokenizer, vocabulary and context.
        average: `logit` or `probability`.
        weights: weight of each member [M] (default: equal).
        model: the first member's architecture.
        tokenizer: the members' tokenizer.

    Raises:
        ValueError: members that cannot be averaged, or weights that the average does not allow.
    """

    members: Sequence[LanguageModel]
    _: KW_ONLY
    average: Average = "logit"
    weights: ArrayLike | None = None
    model: ModelConfig = field(init=False, repr=False)
    tokenizer: tokenizers.Tokenizer | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        checked_members(
            [
                Member(model=one.model, load=lambda: None, tokenizer=one.tokenizer_sha256)
                for one in self.members
            ]
        )
        member_weights(len(self.members), self.average, self.weights)
        known = [one.tokenizer for one in self.members if one.tokenizer is not None]
        object.__setattr__(self, "model", self.members[0].model)
        object.__setattr__(self, "tokenizer", known[0] if known else None)

    def predict(self, ids_BT: np.ndarray) -> jax.Array:
        """Return log p(next token) [B, T, V] of the average, in nats."""
        weights = member_weights(len(self.members), self.average, self.weights)
        logit = self.average == "logit"
        total = jnp.full((*ids_BT.shape, self.model.vocab_size), 0.0 if logit else -jnp.inf)
        add = _add_logits if logit else _add_probabilities
        for member, weight in zip(self.members, weights.astype(np.float32), strict=True):
            if weight > 0:
                total = add(total, member.predict(ids_BT), weight)
        return jax.nn.log_softmax(total) if logit else total


_log_probs = jax.jit(token_log_probs, static_argnums=0)


@jax.jit
def _gold_scores(log_probs_BTV: jax.Array, targets_BT: jax.Array) -> GoldScores:
    gold = jnp.take_along_axis(log_probs_BTV, targets_BT[..., None], axis=-1)[..., 0]
    return GoldScores(gold, jnp.argmax(log_probs_BTV, axis=-1) == targets_BT)  # type: ignore[arg-type]


@jax.jit
def _add_logits(total: jax.Array, log_probs: jax.Array, weight: jax.Array) -> jax.Array:
    return total + weight * log_probs


@jax.jit
def _add_probabilities(total: jax.Array, log_probs: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.logaddexp(total, jnp.log(weight) + log_probs)
