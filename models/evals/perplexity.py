"""Loss of a text: nats per token, perplexity, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.evals.continuations import Continuation, score_continuations
from models.evals.estimates import Metric, clustered_mean
from models.language.language_model import Predictor


@dataclass(frozen=True, kw_only=True)
class TextLoss:
    """Loss of a text in several units.

    Attributes:
        loss: cross-entropy in nats per token.
        perplexity: its exponential.
        bits_per_byte: bits per UTF-8 byte, comparable across tokenizers; None if the number of
            bytes is unknown.
        stride: tokens scored by one window, see `evaluate_tokens`.
    """

    loss: Metric
    perplexity: Metric
    bits_per_byte: Metric | None
    stride: int

    def summary(self) -> str:
        """Return the scores with their standard errors as text, one a line."""
        lines = [
            f"nats per token  {self.loss.summary()}",
            f"perplexity      {self.perplexity.summary()}",
        ]
        if self.bits_per_byte is not None:
            lines.append(f"bits per byte   {self.bits_per_byte.summary()}")
        return "\n".join(lines)


def evaluate_texts(
    predictor: Predictor, texts: Sequence[str], *, stride: int | None = None
) -> TextLoss:
    """Return the loss of documents, each scored separately and from its first token on.

    The standard errors treat documents as independent; for a single document, as `evaluate_tokens`.

    Args:
        predictor: a model or an ensemble, with its tokenizer.
        texts: the documents; empty ones are ignored.
        stride: as for `evaluate_tokens`.

    Raises:
        ValueError: no text, a model without tokenizer, or a stride not in [1, context].
    """
    if isinstance(texts, str):
        raise ValueError("texts must be a sequence of documents; not one string")
    full = [text for text in texts if text]
    if not full:
        raise ValueError("there is no text to score")
    encoded = [np.array(predictor.encode(text)) for text in full]
    n_bytes = [len(text.encode()) for text in full]
    if len(full) == 1:
        return evaluate_tokens(predictor, encoded[0], n_bytes=n_bytes[0], stride=stride)
    stride = _stride(predictor, stride)
    totals = [-scores.sum(dtype=np.float64) for scores in _scores(predictor, encoded, stride)]
    loss = clustered_mean(totals, [len(ids) for ids in encoded])
    bits = clustered_mean(np.array(totals) / math.log(2), n_bytes)
    return TextLoss(loss=loss, perplexity=loss.exponential(), bits_per_byte=bits, stride=stride)


def evaluate_tokens(
    predictor: Predictor,
    ids: np.ndarray,
    *,
    n_bytes: int | None = None,
    stride: int | None = None,
) -> TextLoss:
    """Return the loss of a stream of tokens, scored with sliding windows, each token once.

    Every token sees at least `context - stride + 1` of the tokens before it, if there are so many;
    with a stride of 1, as many as the context allows. The standard errors treat runs of `stride`
    tokens as independent.

    Args:
        predictor: a model or an ensemble.
        ids: token ids [n_tokens].
        n_bytes: UTF-8 bytes of the text, for bits per byte.
        stride: tokens between consecutive windows (default: half the context).

    Raises:
        ValueError: no tokens, ids outside the vocabulary, or a stride not in [1, context].
    """
    ids = np.asarray(ids)
    if ids.ndim != 1 or not len(ids):
        raise ValueError(f"ids must be a row of token ids, at least one; not of shape {ids.shape}")
    stride = _stride(predictor, stride)
    [scores] = _scores(predictor, [ids], stride)
    starts = np.arange(0, len(ids), stride)
    totals = np.add.reduceat(-scores.astype(np.float64), starts)
    loss = clustered_mean(totals, np.diff(starts, append=len(ids)))
    bits = None
    if n_bytes is not None:
        bits = loss.scaled(len(ids) / (math.log(2) * n_bytes))
    return TextLoss(loss=loss, perplexity=loss.exponential(), bits_per_byte=bits, stride=stride)


def _stride(predictor: Predictor, stride: int | None) -> int:
    return max(1, predictor.model.context // 2) if stride is None else stride


def _scores(predictor: Predictor, documents: Sequence[np.ndarray], stride: int) -> list[np.ndarray]:
    start = predictor.model.start_id
    requests = [Continuation(np.append(start, ids), len(ids)) for ids in documents]
    return [scored.log_probs for scored in score_continuations(predictor, requests, stride=stride)]
