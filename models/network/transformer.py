"""A Llama-style decoder in flax nnx: RMSNorm, rotary attention, SwiGLU, no biases.

Shapes in names: B sequences, T positions, N = B * T positions side by side, S positions looked at,
D width, H query heads, G heads of keys and values, K channels of a head, F hidden width of the
SwiGLU layer, L layers, V vocabulary. Activations are kept flat as [N, D]: on a CPU this takes a
quarter off the gradient's time. The weights of all blocks are stacked along a first axis L, so
that a deep model compiles as one scanned block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.config import ModelConfig
from models.network.attention import attend

EMBEDDING_STD = 0.02

UNROLLED_LAYERS = 4
"""Models with at most this many blocks are compiled block by block: a scan costs them speed."""


class Dropout(NamedTuple):
    """Zeroes a share `rate` of channels, drawn from `key`, and scales up the others."""

    key: jax.Array
    rate: jax.Array | float

    def __call__(self, x_ND: jax.Array, *place: int | jax.Array) -> jax.Array:
        """Return [N, D] with channels dropped; each `place` in the network draws separately."""
        key = self.key
        for index in place:
            key = jax.random.fold_in(key, index)
        kept = jax.random.bernoulli(key, 1 - self.rate, x_ND.shape)
        return jnp.where(kept, x_ND / (1 - self.rate), 0).astype(x_ND.dtype)

    def whole(self, x_ND: jax.Array, n_sequences: int, place: int | jax.Array) -> jax.Array:
        """Return [N, D] with all positions of a sequence dropped together.

        Args:
            x_ND: positions of one sequence after another.
            n_sequences: their number, which divides N.
            place: where in the network; each draws separately.
        """
        kept = jax.random.bernoulli(
            jax.random.fold_in(self.key, place), 1 - self.rate, (n_sequences, 1, 1)
        )
        x_BTD = x_ND.reshape(n_sequences, -1, x_ND.shape[-1])
        dropped_BTD = jnp.where(kept, x_BTD / (1 - self.rate), 0)
        return dropped_BTD.reshape(x_ND.shape).astype(x_ND.dtype)


def check_next_token(config: ModelConfig) -> None:
    """Raise ValueError for a model that gives no probability of the next token."""
    if config.is_diffusion:
        raise ValueError(
            "a masked diffusion model gives no probabilities of next tokens, only a bound on those "
            "of whole windows, see models.training.diffusion"
        )


NEVER = np.iinfo(np.int32).max
"""Position of padding and empty slots: after all others, so that it is never attended to."""


class Cache(NamedTuple):
    """Keys and values of the tokens read so far: S slots, each for one token per sequence.

    `at_BS` is the token's position in its sequence, `NEVER` for padding and empty slots; `ends_BS`
    says whether it ends a document.
    """

    keys_LBSGK: jax.Array
    values_LBSGK: jax.Array
    at_BS: jax.Array
    ends_BS: jax.Array


class Positions(NamedTuple):
    """Position and document of each token.

    `at_BT` may be [1, T], the same for all; `documents_BT` is None if attention ignores documents.
    """

    at_BT: jax.Array
    documents_BT: jax.Array | None


class Past(NamedTuple):
    """The keys and values of all layers, the current layer, and the first slot to be written."""

    keys_LBSGK: jax.Array
    values_LBSGK: jax.Array
    layer: jax.Array
    slot: jax.Array

    def written(self, k_BTGK: jax.Array, v_BTGK: jax.Array) -> Past:
        """Return the past with keys and values of T tokens of this layer written."""
        start = (self.layer, 0, self.slot, 0, 0)
        return self._replace(
            keys_LBSGK=jax.lax.dynamic_update_slice(self.keys_LBSGK, k_BTGK[None], start),
            values_LBSGK=jax.lax.dynamic_update_slice(self.values_LBSGK, v_BTGK[None], start),
        )


def _matrix(rngs: nnx.Rngs, n_in: int, n_out: int, scale: float = 1.0) -> nnx.Param:
    """Draw an [n_in, n_out] matrix with standard deviation scale / sqrt(n_in)."""
    return nnx.Param(jax.random.normal(rngs.params(), (n_in, n_out)) * (scale * n_in**-0.5))


class RMSNorm(nnx.Module):
    """Divide by the root mean square over channels, then scale each channel."""

    def __init__(self, config: ModelConfig, n_channels: int | None = None) -> None:
        self.gain = nnx.Param(jnp.ones(n_channels or config.width))
        self.epsilon = config.norm_epsilon

    def __call__(self, x_ND: jax.Array) -> jax.Array:
        """Normalise [N, D] or [..., K], in float32 whatever the precision of x."""
        x32_ND = x_ND.astype(jnp.float32)
        mean_square = jnp.mean(jnp.square(x32_ND), axis=-1, keepdims=True)
        normed = x32_ND * jax.lax.rsqrt(mean_square + self.epsilon)
        return (normed * self.gain[...]).astype(x_ND.dtype)


def rope_frequencies(config: ModelConfig) -> np.ndarray:
    """Return the angle per position [K / 2] of each pair of channels, scaled if configured.

    Source:
        Su et al. 2021, arXiv 2104.09864; scaling of Grattafiori et al. 2024, arXiv 2407.21783.
    """
    half = config.head_width // 2
    frequency = config.rope_base ** (-np.arange(half) / half)
    scaling = config.rope_scaling
    if scaling is None:
        return frequency
    turns = scaling.original_context * frequency / (2 * np.pi)
    low, high = scaling.low_frequency, scaling.high_frequency
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return frequency * (kept + (1 - kept) / scaling.factor)


def rotate(x_BTHK: jax.Array, at_BT: jax.Array, frequency: np.ndarray) -> jax.Array:
    """Return [B, T, H, K] with pairs of channels rotated by angles proportional to position.

    Args:
        x_BTHK: queries or keys.
        at_BT: position of each token.
        frequency: angle per position of each pair [K / 2].

    Source:
        Su et al. 2021, arXiv 2104.09864.
    """
    angle_BTHK = (at_BT[..., None] * jnp.asarray(frequency, jnp.float32))[:, :, None, :]
    cos, sin = jnp.cos(angle_BTHK), jnp.sin(angle_BTHK)
    first, second = jnp.split(x_BTHK, 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x_BTHK.dtype)


class Attention(nnx.Module):
    """Multi-head self-attention with rotary positions and shared keys and values.

    It is causal unless the model predicts masked tokens.
    """

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        n_out = config.head_width * (config.n_heads + 2 * config.kv_heads)
        self.qkv = _matrix(rngs, config.width, n_out)
        self.out = _matrix(rngs, config.width, config.width, (2 * config.depth) ** -0.5)
        if config.qk_norm:
            self.q_norm = RMSNorm(config, config.head_width)
            self.k_norm = RMSNorm(config, config.head_width)

    def project(self, x_ND: jax.Array, at_BT: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return queries [B, T, H, K], keys and values [B, T, G, K], rotated to positions at_BT."""
        heads, groups = self.config.n_heads, self.config.kv_heads
        qkv = x_ND @ self.qkv[...]
        qkv = qkv.reshape(-1, at_BT.shape[1], heads + 2 * groups, self.config.head_width)
        q_BTHK, k_BTGK, v_BTGK = jnp.split(qkv, [heads, heads + groups], axis=2)
        if self.config.qk_norm:
            q_BTHK, k_BTGK = self.q_norm(q_BTHK), self.k_norm(k_BTGK)
        frequency = rope_frequencies(self.config)
        return rotate(q_BTHK, at_BT, frequency), rotate(k_BTGK, at_BT, frequency), v_BTGK

    def __call__(self, x_ND: jax.Array, positions: Positions) -> jax.Array:
        """Return [N, D]: each position attends to itself and those before it, or to all."""
        q_BTHK, k_BTGK, v_BTGK = self.project(x_ND, positions.at_BT)
        is_causal, documents_BT = not self.config.is_diffusion, positions.documents_BT
        y_BTHK = attend(q_BTHK, k_BTGK, v_BTGK, documents_BT=documents_BT, is_causal=is_causal)
        return y_BTHK.reshape(x_ND.shape) @ self.out[...]

    def extend(
        self, x_ND: jax.Array, at_BT: jax.Array, seen_BTS: jax.Array, past: Past
    ) -> tuple[jax.Array, Past]:
        """Return outputs [N, D] for positions that follow a past, and the past with them added.

        Args:
            x_ND: inputs of the new positions, N = B * T.
            at_BT: their positions in their sequences.
            seen_BTS: slots of the cache that each attends to.
            past: keys and values so far.
        """
        q_BTHK, k_BTGK, v_BTGK = self.project(x_ND, at_BT)
        past = past.written(k_BTGK, v_BTGK)
        keys, values = past.keys_LBSGK[past.layer], past.values_LBSGK[past.layer]
        y_BTHK = attend(q_BTHK, keys, values, seen_BTS=seen_BTS)
        return y_BTHK.reshape(x_ND.shape) @ self.out[...], past


class SwiGLU(nnx.Module):
    """Gated feed-forward layer (Shazeer 2020)."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        self.gate_and_up = _matrix(rngs, config.width, 2 * config.mlp_width)
        scale = (2 * config.depth) ** -0.5
        self.down = _matrix(rngs, config.mlp_width, config.width, scale)

    def __call__(self, x_ND: jax.Array) -> jax.Array:
        """Return each position [N, D] transformed separately."""
        gate_NF, up_NF = jnp.split(x_ND @ self.gate_and_up[...], 2, axis=-1)
        return (jax.nn.silu(gate_NF) * up_NF) @ self.down[...]


class Block(nnx.Module):
    """Attention and SwiGLU, each behind a norm and a residual connection."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        self.attention_norm, self.mlp_norm = RMSNorm(config), RMSNorm(config)
        self.attention, self.mlp = Attention(config, rngs), SwiGLU(config, rngs)

    def __call__(
        self, x_ND: jax.Array, positions: Positions, layer: int | jax.Array, drop: Dropout | None
    ) -> jax.Array:
        """Return [N, D] with attention, then the SwiGLU layer, added.

        Args:
            x_ND: residual stream.
            positions: position and document of each token.
            layer: index of the block, for dropout.
            drop: dropout to apply.
        """
        mixed_ND = self.attention(self.attention_norm(x_ND), positions)
        x_ND = x_ND + (drop(mixed_ND, layer, 0) if drop else mixed_ND)
        changed_ND = self.mlp(self.mlp_norm(x_ND))
        return x_ND + (drop(changed_ND, layer, 1) if drop else changed_ND)

    def extend(
        self, x_ND: jax.Array, at_BT: jax.Array, seen_BTS: jax.Array, past: Past
    ) -> tuple[jax.Array, Past]:
        """Return [N, D] for positions that follow a past, and the past with them added.

        Args:
            x_ND: residual stream of the new positions, N = B * T.
            at_BT: their positions in their sequences.
            seen_BTS: slots of the cache that each attends to.
            past: keys and values so far.
        """
        mixed_ND, past = self.attention.extend(self.attention_norm(x_ND), at_BT, seen_BTS, past)
        x_ND = x_ND + mixed_ND
        return x_ND + self.mlp(self.mlp_norm(x_ND)), past


def _is_kept(primitive: Any, *_: Any, **__: Any) -> bool:
    """Return whether to keep a value for the backward pass: all but gathered weights.

    Those are gathered again, so that one block's are whole at a time.
    """
    return primitive.name != "sharding_constraint"


def _stacked(blocks: list[Block]) -> Block:
    """Return blocks of one shape as one, whose weights have a leading layer axis."""
    definition = nnx.split(blocks[0])[0]
    states = [nnx.split(block)[1] for block in blocks]
    return nnx.merge(definition, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))


class Transformer(nnx.Module):
    """Decoder from token ids to the logits of next tokens, or of masked ones."""

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        shape = (config.vocab_size, config.width)
        self.embedding = nnx.Param(jax.random.normal(rngs.params(), shape) * EMBEDDING_STD)
        self.blocks = _stacked([Block(config, rngs) for _ in range(config.n_layers)])
        self.norm = RMSNorm(config)
        if not config.tied_embeddings:
            self.head = _matrix(rngs, config.width, config.vocab_size)
        if config.future_tokens:
            ahead = [_matrix(rngs, config.width, config.width) for _ in range(config.future_tokens)]
            self.future = nnx.Param(jnp.stack([one[...] for one in ahead]))
        if config.is_diffusion:
            self.mask = nnx.Param(jax.random.normal(rngs.params(), (config.width,)) * EMBEDDING_STD)

    def __call__(
        self,
        ids_BT: jax.Array,
        *,
        drop: Dropout | None = None,
        skip: Dropout | None = None,
        remat: bool = False,
        masked_BT: jax.Array | None = None,
        gather: Callable[[nnx.State], nnx.State] | None = None,
    ) -> jax.Array:
        """Return the logits of the token after each position, or in it if some are masked.

        Args:
            ids_BT: token ids [sequences, positions], at most `config.context` positions; one more
                if the model predicts masked tokens.
            drop: dropout to apply, in training.
            skip: drops what a block adds to a whole sequence, in training.
            remat: recompute activations in the backward pass instead of keeping them.
            masked_BT: positions whose embedding is replaced by zeros, or by that of a mask if the
                model predicts masked tokens.
            gather: makes the weights of a block whole that are cut over devices, in training.

        Returns:
            Logits [sequences, positions, vocab_size], float32.

        Raises:
            ValueError: more positions than the model's context.
        """
        x_ND = self._states(
            ids_BT, drop=drop, skip=skip, remat=remat, masked_BT=masked_BT, gather=gather
        )
        return self._logits(x_ND).reshape(*ids_BT.shape, -1)

    def with_future(self, ids_BT: jax.Array, **options: Any) -> tuple[jax.Array, list[jax.Array]]:
        """Return the logits as a call does, and those of each of the `future_tokens` after them.

        Args:
            ids_BT: as for a call.
            options: as for a call.

        Returns:
            Logits [sequences, positions, vocab_size], and a list of as many arrays of that shape as
            there are further tokens.
        """
        x_ND = self._states(ids_BT, **options)
        states = [x_ND, *(x_ND + x_ND @ matrix for matrix in self.future[...])]
        first, *later = (self._logits(state).reshape(*ids_BT.shape, -1) for state in states)
        return first, later

    def hidden_states(self, ids_BT: jax.Array, **options: Any) -> jax.Array:
        """Return the normalised final state [B, T, width] of each position, read by the head.

        Args:
            ids_BT: as for a call.
            options: as for a call.

        Raises:
            ValueError: more positions than the model's context.
        """
        return self.norm(self._states(ids_BT, **options)).reshape(*ids_BT.shape, -1)

    @property
    def output_matrix(self) -> jax.Array:
        """Matrix [width, vocab_size] from hidden states to logits."""
        return self.embedding[...].T if self.config.tied_embeddings else self.head[...]

    def _states(
        self,
        ids_BT: jax.Array,
        *,
        drop: Dropout | None = None,
        skip: Dropout | None = None,
        remat: bool = False,
        masked_BT: jax.Array | None = None,
        gather: Callable[[nnx.State], nnx.State] | None = None,
    ) -> jax.Array:
        """Return the residual stream after the last block, [N, D]."""
        n_positions = ids_BT.shape[1]
        if n_positions > self.config.context + self.config.is_diffusion:
            raise ValueError(
                f"{n_positions} positions are more than the model's context {self.config.context}"
            )
        positions = Positions(jnp.arange(n_positions)[None], self._documents(self._ends(ids_BT)))
        definition, stacked = nnx.split(self.blocks)

        def block(
            x_ND: jax.Array, layer_and_weights: tuple[jax.Array, nnx.State]
        ) -> tuple[jax.Array, None]:
            layer, weights = layer_and_weights
            if gather:
                weights = gather(weights)
            out_ND = nnx.merge(definition, weights)(x_ND, positions, layer, drop)
            if skip:
                out_ND = x_ND + skip.whole(out_ND - x_ND, len(ids_BT), layer)
            return out_ND, None

        x_ND = self.embedding[...][ids_BT.reshape(-1)]
        if masked_BT is not None:
            unseen = self.mask[...].astype(x_ND.dtype) if self.config.is_diffusion else 0
            x_ND = jnp.where(masked_BT.reshape(-1, 1), unseen, x_ND)
        x_ND = drop(x_ND, self.config.depth) if drop else x_ND
        kept = block
        if remat:
            kept = jax.checkpoint(block)
        elif gather:
            kept = jax.checkpoint(block, policy=_is_kept)
        for layers in self._layers():
            x_ND, _ = jax.lax.scan(
                kept,
                x_ND,
                (layers, stacked),
                unroll=self._unroll,
            )
        return x_ND

    def empty_cache(self, n_sequences: int, n_slots: int | None = None) -> Cache:
        """Return a cache of `n_slots` tokens (default: the context) for each sequence."""
        config = self.config
        n_slots = config.context if n_slots is None else n_slots
        shape = (config.depth, n_sequences, n_slots, config.kv_heads, config.head_width)
        dtype = self.embedding[...].dtype
        return Cache(
            keys_LBSGK=jnp.zeros(shape, dtype),
            values_LBSGK=jnp.zeros(shape, dtype),
            at_BS=jnp.full((n_sequences, n_slots), NEVER),
            ends_BS=jnp.zeros((n_sequences, n_slots), bool),
        )

    def extend(
        self, ids_BT: jax.Array, at_BT: jax.Array, slot: jax.Array | int, cache: Cache
    ) -> tuple[jax.Array, Cache]:
        """Return the logits of the token after each new position, given the cached ones.

        All sequences write the same slots, whatever their positions, because that is a single copy
        of memory. Prompts of unequal length may therefore be padded at the right, with the padding
        at `NEVER`, and be continued from their own ends in the slots after it.

        Args:
            ids_BT: token ids [sequences, positions].
            at_BT: position of each token in its sequence, or `NEVER` for padding.
            slot: slot of the cache for the first of them; the others follow.
            cache: from `empty_cache` or an earlier call.

        Returns:
            Logits [sequences, positions, vocab_size] in float32, and the cache with the new tokens.
            The caller must not write past the end of the cache.

        Raises:
            ValueError: the model predicts masked tokens, not the next.
        """
        check_next_token(self.config)
        ends_BT = self._ends(ids_BT) & (at_BT != NEVER)
        at_BS = jax.lax.dynamic_update_slice(cache.at_BS, at_BT, (0, slot))
        ends_BS = jax.lax.dynamic_update_slice(cache.ends_BS, ends_BT, (0, slot))
        seen_BTS = at_BS[:, None, :] <= at_BT[..., None]
        documents_BS = self._documents(ends_BS)
        if documents_BS is not None:
            n_read = ids_BT.shape[1]
            documents_BT = jax.lax.dynamic_slice_in_dim(documents_BS, slot, n_read, axis=1)
            seen_BTS &= documents_BS[:, None, :] == documents_BT[..., None]
        definition, stacked = nnx.split(self.blocks)

        def block(
            read: tuple[jax.Array, jax.Array, jax.Array], layer: tuple[jax.Array, nnx.State]
        ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
            x_ND, keys, values = read
            index, weights = layer
            past = Past(keys, values, index, jnp.int32(slot))
            x_ND, past = nnx.merge(definition, weights).extend(x_ND, at_BT, seen_BTS, past)
            return (x_ND, past.keys_LBSGK, past.values_LBSGK), None

        read = (self.embedding[...][ids_BT.reshape(-1)], cache.keys_LBSGK, cache.values_LBSGK)
        for layers in self._layers():
            read, _ = jax.lax.scan(block, read, (layers, stacked), unroll=self._unroll)
        x_ND, keys, values = read
        return self._logits(x_ND).reshape(*ids_BT.shape, -1), Cache(keys, values, at_BS, ends_BS)

    def _layers(self) -> Iterator[jax.Array]:
        """Yield the indices of the blocks of each loop, counted over all loops."""
        n_layers = self.config.n_layers
        for first in range(0, self.config.depth, n_layers):
            yield jnp.arange(first, first + n_layers)

    @property
    def _unroll(self) -> int:
        return self.config.n_layers if self.config.n_layers <= UNROLLED_LAYERS else 1

    def _ends(self, ids_BT: jax.Array) -> jax.Array:
        return ids_BT == self.config.end_of_text_id

    def _documents(self, ends_BT: jax.Array) -> jax.Array | None:
        """Return document numbers in each window; an end-of-text token belongs to what it ends."""
        if self.config.attend_across_documents:
            return None
        return jnp.cumsum(ends_BT, axis=1) - ends_BT

    def _logits(self, x_ND: jax.Array) -> jax.Array:
        # Read before the norm, so that the program's text is the same as in earlier versions.
        head_DV = self.output_matrix
        return jnp.matmul(self.norm(x_ND), head_DV, preferred_element_type=jnp.float32)
