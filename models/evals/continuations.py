"""Log-likelihoods of continuations of any length, and predictions of the token after a prompt.

Every continuation is read as a separate document: it follows the token that texts begin with, which
for our own models is the end of text, so that its first token is scored too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from models.config import ModelConfig
from models.language.language_model import Predictor
from models.training.train import Params, token_log_probs

SHORTEST_BUCKET = 8
"""Windows are padded to a power of two of positions, at least this, to compile few shapes."""

CHUNK_TOKENS = 2**20
"""Tokens of padded windows in memory at a time."""


class Continuation(NamedTuple):
    """Token ids of which the last `n_scored` are to be scored, given the ones before."""

    ids: Sequence[int] | np.ndarray
    n_scored: int


class Scored(NamedTuple):
    """Scores of a continuation.

    Attributes:
        log_probs: log-probability of each scored token, float32 [n_scored] in nats.
        greedy: whether each is the most probable token, bool [n_scored].
        truncated: whether the ids exceeded the model's context, so that the leftmost ones were
            unseen by some or all of the scored tokens.
    """

    log_probs: np.ndarray
    greedy: np.ndarray
    truncated: bool

    @property
    def total(self) -> float:
        """Log-probability of the whole continuation, in nats."""
        return float(self.log_probs.sum(dtype=np.float64))


class _Window(NamedTuple):
    """Ids `start` to `end` - 1 of a continuation, of which those from `first` on are scored."""

    request: int
    start: int
    first: int
    end: int


def encode_continuation(predictor: Predictor, context: str, continuation: str) -> Continuation:
    """Return the ids of a continuation after its context, which may be empty.

    The two are encoded together. A token that spans the boundary counts as part of the
    continuation.

    Args:
        predictor: a model or an ensemble, with its tokenizer.
        context: text before the continuation.
        continuation: text to score.

    Raises:
        ValueError: the continuation has no tokens, or the tokenizer is unknown.
    """
    whole = predictor.encode(context + continuation)
    alone = predictor.encode(context) if context else []
    seam = next(
        (i for i, (a, b) in enumerate(zip(alone, whole, strict=False)) if a != b),
        min(len(alone), len(whole)),
    )
    if seam == len(whole):
        raise ValueError(f"the continuation {continuation!r} has no tokens of its own")
    return Continuation([predictor.model.start_id, *whole], len(whole) - seam)


def score_continuations(
    predictor: Predictor, requests: Sequence[Continuation], *, stride: int | None = None
) -> list[Scored]:
    """Return the scores of every continuation, in order.

    Args:
        predictor: a model or an ensemble.
        requests: continuations to score; each needs at least one id before the scored ones.
        stride: tokens scored by one window of a continuation that needs several windows. A token
            sees at least `context - stride + 1` tokens before it, if there are so many. By default
            a continuation that fits is scored in one window, a longer one by strides of half the
            context.

    Raises:
        ValueError: no ids to score or none before them, ids outside the vocabulary, or a stride
            not in [1, context].
    """
    context = predictor.model.context
    if stride is not None and not 1 <= stride <= context:
        raise ValueError(f"stride must lie between 1 and the context {context}; not {stride}")
    by_width: dict[int, list[_Window]] = defaultdict(list)
    for index, request in enumerate(requests):
        for window in _windows(index, request, context, stride):
            by_width[_bucket(window.end - window.start - 1, context) + 1].append(window)
    log_probs = [np.empty(request.n_scored, np.float32) for request in requests]
    greedy = [np.empty(request.n_scored, bool) for request in requests]
    for width, windows in by_width.items():
        step = max(1, CHUNK_TOKENS // width)
        for at in range(0, len(windows), step):
            chunk = windows[at : at + step]
            scores = predictor.gold_scores(_laid_out(requests, chunk, width))
            for window, gold, best in zip(chunk, scores.log_probs, scores.greedy, strict=True):
                ids, n_scored = requests[window.request]
                offset = len(ids) - n_scored
                into = slice(window.first - offset, window.end - offset)
                of = slice(window.first - window.start - 1, window.end - window.start - 1)
                log_probs[window.request][into] = gold[of]
                greedy[window.request][into] = best[of]
    return [
        Scored(log_probs[i], greedy[i], len(request.ids) > context + 1)
        for i, request in enumerate(requests)
    ]


def _windows(
    index: int, request: Continuation, context: int, stride: int | None
) -> Iterator[_Window]:
    n_ids = len(request.ids)
    if not 1 <= request.n_scored < n_ids:
        raise ValueError(
            f"a continuation needs ids to score and one before them; {request.n_scored} of its "
            f"{n_ids} ids are to be scored"
        )
    if stride is None:
        stride = context if request.n_scored <= context else max(1, context // 2)
    first = n_ids - request.n_scored
    end = min(n_ids, max(context + 1, first + stride))
    while first < n_ids:
        yield _Window(index, max(0, end - context - 1), first, end)
        first, end = end, min(n_ids, end + stride)


def _bucket(n_positions: int, context: int) -> int:
    power = 1 << (max(SHORTEST_BUCKET, n_positions) - 1).bit_length()
    return min(power, context)


def _laid_out(
    requests: Sequence[Continuation], windows: Sequence[_Window], width: int
) -> np.ndarray:
    """Return windows as an array [len(windows), width], padded at the right, where it is masked."""
    rows = np.zeros((len(windows), width), np.int64)
    for row, window in zip(rows, windows, strict=True):
        row[: window.end - window.start] = requests[window.request].ids[window.start : window.end]
    return rows


BATCH_PROMPTS = 256
"""Prompts per batch; smaller batches are padded, so that one shape is compiled per length."""


@partial(jax.jit, static_argnums=0)
def _next_log_probs(
    model: ModelConfig, params: Params, ids_BT: jax.Array, last_B: jax.Array
) -> jax.Array:
    return token_log_probs(model, params, ids_BT)[jnp.arange(len(ids_BT)), last_B]


def next_log_probs(
    model: ModelConfig, params: Params, prompts: Sequence[Sequence[int] | np.ndarray]
) -> np.ndarray:
    """Return log p(next token | prompt) in nats, float32 [n_prompts, vocab_size].

    Args:
        model: architecture.
        params: its weights.
        prompts: token ids of each prompt, 1 to context of them.

    Raises:
        ValueError: no prompts, an empty one, or one longer than the model's context.
    """
    lengths = np.array([len(prompt) for prompt in prompts])
    if not len(lengths) or lengths.min() < 1 or lengths.max() > model.context:
        raise ValueError(f"prompts must have 1 to {model.context} tokens, and there must be one")
    longest = max(SHORTEST_BUCKET, int(lengths.max()))
    width = min(1 << (longest - 1).bit_length(), model.context)
    found = []
    for first in range(0, len(prompts), BATCH_PROMPTS):
        ids_BT = np.zeros((BATCH_PROMPTS, width), np.int32)
        last_B = np.zeros(BATCH_PROMPTS, np.int32)
        batch = prompts[first : first + BATCH_PROMPTS]
        for row, prompt in enumerate(batch):
            ids_BT[row, : len(prompt)], last_B[row] = prompt, len(prompt) - 1
        found.append(np.asarray(_next_log_probs(model, params, ids_BT, last_B))[: len(batch)])
    return np.concatenate(found)
