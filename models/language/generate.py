"""Sample text from a model or an ensemble: whole batches in one compiled loop with a KV cache.

Shapes in names: M members, B samples, P positions of the padded prompts, V vocabulary. Each sample
has its own random key, so it does not depend on how many are drawn beside it (up to rounding, which
differs between batch sizes).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.config import ModelConfig
from models.ensembles.ensemble import Average, average_log_probs, member_weights
from models.ensembles.member_stream import Member, MemberLike, checked_members
from models.network.transformer import NEVER, Cache
from models.training.devices import worker_devices
from models.training.train import Params, graph_of

BATCH_SAMPLES = 256
"""Most samples drawn together on one device."""

PROMPT_LOGITS = 2**26
"""Most numbers in the predictions over a batch of prompts (256 MiB)."""

TINY_TEMPERATURE = 1e-6
"""Divides the logits where the temperature is 0 and the division's result is not used."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Generated:
    """Sampled tokens.

    Attributes:
        ids: int32 [n_samples, n_tokens], without the prompts; end-of-text after the end.
        lengths: int32 [n_samples] tokens before generation stopped, the end-of-text included.
    """

    ids: np.ndarray
    lengths: np.ndarray

    def texts(self) -> list[np.ndarray]:
        """Return the token ids of each sample [length], cut at its length."""
        return [row[:n] for row, n in zip(self.ids, self.lengths, strict=True)]


class Knobs(NamedTuple):
    """Settings of the sampling program, as arguments: changing them compiles nothing."""

    temperature: np.float32
    top_k: np.int32
    top_p: np.float32
    stop_at_end: np.bool_
    n_tokens: np.int32

    @classmethod
    def of(
        cls,
        model: ModelConfig,
        n_tokens: int,
        temperature: float,
        top_k: int | None,
        top_p: float | None,
        stop_at_end: bool,
    ) -> Knobs:
        """Return checked settings; None for a filter keeps everything.

        Args:
            model: architecture; gives the size of the vocabulary.
            n_tokens: tokens to draw.
            temperature: sampling temperature.
            top_k: tokens kept.
            top_p: probability kept.
            stop_at_end: end a sample at its first end-of-text token.

        Raises:
            ValueError: a setting out of range.
        """
        if not 0 <= temperature < math.inf:
            raise ValueError(f"temperature must be a number >= 0; not {temperature!r}")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be a whole number >= 1 or None; not {top_k!r}")
        if top_p is not None and not 0 < top_p <= 1:
            raise ValueError(f"top_p must lie in (0, 1] or be None; not {top_p!r}")
        if n_tokens < 1:
            raise ValueError(f"n_tokens must be a whole number >= 1; not {n_tokens!r}")
        return cls(
            np.float32(temperature),
            np.int32(min(top_k or model.vocab_size, model.vocab_size)),
            np.float32(1.0 if top_p is None else top_p),
            np.bool_(stop_at_end),
            np.int32(n_tokens),
        )


def generate(
    members: Sequence[MemberLike],
    *,
    n_tokens: int,
    n_samples: int | None = None,
    prompts: Sequence[Sequence[int] | np.ndarray] | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    stop_at_end: bool = False,
    how: Average = "logit",
) -> Generated:
    """Return sampled continuations of prompts, or texts without a prompt.

    Every token is sampled from the members' averaged prediction at `temperature`, filtered in this
    order: the `top_k` most probable tokens, then the nucleus, the fewest most probable of these
    whose probabilities sum to at least `top_p`. Ties with the last kept token are kept too.

    Args:
        members: one model or an ensemble, as for `ensemble.subset_losses`.
        n_tokens: tokens to draw for each sample.
        n_samples: number of samples that begin a new document, after the end-of-text token.
        prompts: instead of `n_samples`, token ids that samples continue, of any lengths >= 1.
        seed: random seed of the sampling.
        temperature: sampling temperature; 0 always takes the most probable token.
        top_k: tokens kept (default: all).
        top_p: probability kept (default: all).
        stop_at_end: end a sample at its first end-of-text token.
        how: how the predictions of an ensemble are averaged, see `ensemble`.

    Raises:
        ValueError: settings out of range, ids outside the vocabulary, members that cannot be
            averaged, or prompts and tokens longer than the context: the last sampled token is not
            read, so prompt + n_tokens may be context + 1.

    Source:
        Holtzman et al. 2020, arXiv 1904.09751 (nucleus sampling).
    """
    pool = checked_members(members)
    model = pool[0].model
    member_weights(len(pool), how)
    knobs = Knobs.of(model, n_tokens, temperature, top_k, top_p, stop_at_end)
    starts = _checked_prompts(model, n_samples, prompts, n_tokens)
    longest = max(map(len, starts))
    n_prompt = min(_power_of_two(longest), model.context)
    n_slots = _power_of_two(n_prompt + n_tokens - 1)
    n_rows = _rows_of_batch(len(starts), n_prompt * model.vocab_size * len(pool))
    models, params = stacked_members(pool)
    program = partial(_sample, models, how, n_slots)
    devices = worker_devices()

    def draw(device: jax.Device, firsts: Sequence[int]) -> list[tuple[int, Any]]:
        held = jax.device_put(params, device)
        key = jax.device_put(jax.random.key(seed), device)
        found = []
        for first in firsts:
            ids_BP, lengths_B = _padded(starts[first : first + n_rows], n_rows, n_prompt)
            drawn = program(held, ids_BP, lengths_B, key, np.int32(first), knobs)
            found.append((first, jax.device_get(drawn)))
        return found

    firsts = range(0, len(starts), n_rows)
    shares = [firsts[i :: len(devices)] for i in range(min(len(devices), len(firsts)))]
    with ThreadPoolExecutor(len(shares)) as threads:
        parts = dict(itertools.chain(*threads.map(draw, devices, shares)))
    ids, lengths = (
        np.concatenate([parts[first][i] for first in firsts])[: len(starts)] for i in range(2)
    )
    return Generated(ids=ids[:, :n_tokens], lengths=lengths)


def sample_windows(
    members: Sequence[MemberLike],
    *,
    n_tokens: int,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    how: Average = "logit",
    stock: np.ndarray | None = None,
) -> np.ndarray:
    """Return `n_tokens` tokens of sampled text, as training text for a student.

    A long text consists of windows: each begins with one token that is given and holds as many
    sampled tokens as the context; several documents may follow one another in it, and the last one
    is cut. With the teacher's training tokens, a window begins as its training windows do, which
    may begin at any token; without them, with the end-of-text token, which a teacher of a single
    document has never read: what it predicts there was not learned. A student that reads the
    windows unchanged is trained on exactly the teacher's predictions, and nothing is learned across
    window boundaries.

    Args:
        members: one model or an ensemble, as for `generate`.
        n_tokens: sampled tokens, rounded up to whole windows.
        seed: random seed of the sampling.
        temperature: as for `generate`, like the following.
        top_k: tokens kept.
        top_p: probability kept.
        how: how the predictions of an ensemble are averaged.
        stock: training tokens of the members [D], of which windows begin with one drawn at random.

    Returns:
        int32 [n_windows, context + 1] with n_windows = ceil(n_tokens / context).

    Raises:
        ValueError: as `generate`; a stock without tokens.
    """
    model = checked_members(members)[0].model
    first = _first_tokens(model, stock, max(0, -(-n_tokens // model.context)), seed)
    drawn = generate(
        members,
        n_tokens=model.context,
        prompts=list(first),
        seed=seed,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        how=how,
    )
    return np.concatenate([first, drawn.ids], axis=1)


def _first_tokens(
    model: ModelConfig, stock: np.ndarray | None, n_windows: int, seed: int
) -> np.ndarray:
    """Return the first token of each window, int32 [n_windows, 1]."""
    if stock is None:
        return np.full((n_windows, 1), model.start_id, np.int32)
    if not len(stock):
        raise ValueError("a stock to begin windows with must hold one token or more")
    places = np.random.default_rng(seed).integers(len(stock), size=(n_windows, 1))
    return np.asarray(stock)[places].astype(np.int32)


def _checked_prompts(
    model: ModelConfig,
    n_samples: int | None,
    prompts: Sequence[Sequence[int] | np.ndarray] | None,
    n_tokens: int,
) -> list[np.ndarray]:
    if (n_samples is None) == (prompts is None):
        raise ValueError("give either n_samples or prompts")
    if prompts is None:
        prompts = [[model.start_id]] * (n_samples or 0)
    found = [np.asarray(prompt, np.int64) for prompt in prompts]
    if not found:
        raise ValueError("there must be at least one sample to draw")
    for i, ids in enumerate(found):
        if ids.ndim != 1 or not len(ids):
            raise ValueError(f"prompt {i} must be a list of one token id or more")
        if ids.min() < 0 or ids.max() >= model.vocab_size:
            raise ValueError(
                f"token ids must lie in the vocabulary, 0 to {model.vocab_size - 1}; "
                f"prompt {i} holds {ids.min() if ids.min() < 0 else ids.max()}"
            )
        if len(ids) + n_tokens > model.context + 1:
            raise ValueError(
                f"prompt {i} of {len(ids)} tokens and {n_tokens} to draw are more than the "
                f"{model.context + 1} that a context of {model.context} allows"
            )
    return found


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _rows_of_batch(n_samples: int, logits_of_prompt: int) -> int:
    """Return the rows of a batch: a power of two that splits over devices and fits memory."""
    wanted = _power_of_two(-(-n_samples // jax.local_device_count()))
    fitting = 1 << max(PROMPT_LOGITS // logits_of_prompt, 1).bit_length() - 1
    return min(wanted, fitting, BATCH_SAMPLES)


def _padded(prompts: list[np.ndarray], n_rows: int, n_prompt: int) -> tuple[np.ndarray, np.ndarray]:
    ids_BP, lengths_B = np.zeros((n_rows, n_prompt), np.int32), np.ones(n_rows, np.int32)
    for row, prompt in enumerate(prompts):
        ids_BP[row, : len(prompt)], lengths_B[row] = prompt, len(prompt)
    return ids_BP, lengths_B


def stacked_members(pool: Sequence[Member]) -> tuple[tuple[ModelConfig, ...], tuple[Params, ...]]:
    """Return architectures, and for each the stacked weights of its members."""
    models = tuple(dict.fromkeys(member.model for member in pool))
    loaded = [[member.load() for member in pool if member.model == model] for model in models]
    return models, tuple(
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *states) for states in loaded
    )


def extend_members(
    models: tuple[ModelConfig, ...],
    params: tuple[Params, ...],
    ids_BT: jax.Array,
    at_BT: jax.Array,
    slot: jax.Array | int,
    caches: tuple[Cache, ...],
) -> tuple[jax.Array, tuple[Cache, ...]]:
    """Return the logits of new tokens by all members, see `Transformer.extend`.

    Args:
        models: architecture of each group of members.
        params: stacked weights of each group.
        ids_BT: token ids.
        at_BT: position of each token in its sequence, or `NEVER` for padding.
        slot: first slot of the cache to write.
        caches: cache of each group.

    Returns:
        Logits [M, B, T, V] and the new caches.
    """
    read = [
        jax.vmap(
            lambda p, c, model=model: nnx.merge(graph_of(model), p).extend(ids_BT, at_BT, slot, c)
        )(stacked, cache)
        for model, stacked, cache in zip(models, params, caches, strict=True)
    ]
    return jnp.concatenate([logits for logits, _ in read]), tuple(cache for _, cache in read)


def empty_caches(
    models: tuple[ModelConfig, ...], params: tuple[Params, ...], n_samples: int, n_slots: int
) -> tuple[Cache, ...]:
    """Return an empty cache for every group of stacked members.

    Args:
        models: architecture of each group.
        params: stacked weights of each group.
        n_samples: sequences B.
        n_slots: tokens of each sequence.
    """
    return tuple(
        jax.vmap(
            lambda p, model=model: nnx.merge(graph_of(model), p).empty_cache(n_samples, n_slots)
        )(stacked)
        for model, stacked in zip(models, params, strict=True)
    )


def next_token(log_probs_BV: jax.Array, keys_B: jax.Array, knobs: Knobs) -> jax.Array:
    """Return one sampled token per row [B]: the argmax of log-probability plus Gumbel noise.

    Args:
        log_probs_BV: log-probabilities.
        keys_B: random key of each row.
        knobs: temperature and filters.
    """
    scaled = log_probs_BV / jnp.maximum(knobs.temperature, TINY_TEMPERATURE)
    is_filtered = (knobs.top_k < log_probs_BV.shape[1]) | (knobs.top_p < 1)
    kept = jax.lax.cond(is_filtered, _filtered, lambda x, _: x, scaled, knobs)
    noise = jax.vmap(lambda key: jax.random.gumbel(key, log_probs_BV.shape[1:]))(keys_B)
    drawn = jnp.argmax(kept + noise, axis=-1)
    return jnp.where(knobs.temperature > 0, drawn, jnp.argmax(log_probs_BV, axis=-1))


def _filtered(scaled_BV: jax.Array, knobs: Knobs) -> jax.Array:
    """Return logits with the tokens that top-k and the nucleus exclude set to -inf."""
    falling = -jnp.sort(-scaled_BV, axis=-1)
    within_k = falling >= jnp.take(falling, knobs.top_k - 1, axis=-1)[:, None]
    probs = jax.nn.softmax(jnp.where(within_k, falling, -jnp.inf), axis=-1)
    before = jnp.cumsum(probs, axis=-1) - probs
    # Rounded sums can reach 1 before the last token; a nucleus of 1 must keep all tokens.
    in_nucleus = (before < knobs.top_p) | (knobs.top_p >= 1)
    last = jnp.min(jnp.where(within_k & in_nucleus, falling, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(scaled_BV >= last, scaled_BV, -jnp.inf)


class _Progress(NamedTuple):
    """State of the sampling loop."""

    step: jax.Array
    logits_MBV: jax.Array
    caches: tuple[Cache, ...]
    ids: jax.Array
    lengths_B: jax.Array
    ended_B: jax.Array


@jax.jit(static_argnums=(0, 1, 2))
def _sample(
    models: tuple[ModelConfig, ...],
    how: Average,
    n_slots: int,
    params: tuple[Params, ...],
    prompts_BP: jax.Array,
    lengths_B: jax.Array,
    key: jax.Array,
    first_sample: jax.Array,
    knobs: Knobs,
) -> tuple[jax.Array, jax.Array]:
    """Read the prompts, then sample; return ids [B, n_slots] and lengths [B]."""
    n_samples = len(prompts_BP)
    end = models[0].end_of_text_id
    samples = first_sample + jnp.arange(n_samples)
    keys_B = jax.vmap(partial(jax.random.fold_in, key))(samples)
    at_BP = jnp.broadcast_to(jnp.arange(prompts_BP.shape[1]), prompts_BP.shape)
    at_BP = jnp.where(at_BP < lengths_B[:, None], at_BP, NEVER)
    caches = empty_caches(models, params, n_samples, n_slots)
    logits, caches = extend_members(models, params, prompts_BP, at_BP, 0, caches)
    last = logits[:, jnp.arange(n_samples), lengths_B - 1]
    nothing = jnp.full((n_samples, n_slots), end, jnp.int32)
    none = jnp.zeros(n_samples, jnp.int32)
    begun = _Progress(jnp.int32(0), last, caches, nothing, none, jnp.zeros(n_samples, bool))

    def goes_on(at: _Progress) -> jax.Array:
        return (at.step < knobs.n_tokens) & ~at.ended_B.all()

    def draw(at: _Progress) -> _Progress:
        log_probs_BV = average_log_probs(jax.nn.log_softmax(at.logits_MBV), how)
        step_keys = jax.vmap(lambda k: jax.random.fold_in(k, at.step))(keys_B)
        token_B = next_token(log_probs_BV, step_keys, knobs).astype(jnp.int32)
        token_B = jnp.where(at.ended_B, end, token_B)
        at_B, slot = lengths_B + at.step, prompts_BP.shape[1] + at.step
        logits, caches = extend_members(
            models, params, token_B[:, None], at_B[:, None], slot, at.caches
        )
        return _Progress(
            at.step + 1,
            logits[:, :, 0],
            caches,
            at.ids.at[:, at.step].set(token_B),
            at.lengths_B + ~at.ended_B,
            at.ended_B | (knobs.stop_at_end & (token_B == end)),
        )

    done = jax.lax.while_loop(goes_on, draw, begun)
    return done.ids, done.lengths_B
