"""Distillation: a student learns from a teacher's samples or from its predictions.

Sequence-level (Kim and Rush 2016; Kim et al. 2025, arXiv 2509.14786): `sample_teacher` samples text
from it, and a `models.training.jobs.Job` with that `synthetic` text and a
`synthetic_share` trains the student on it and the real text by plain cross-entropy. Soft targets
(Hinton et al. 2015, arXiv 1503.02531): `distill_soft` trains towards the teacher's distribution
after every token. A teacher is one model or an ensemble; a teacher of the student's own shape makes
it self-distillation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.ensembles.ensemble import Average, average_log_probs, member_weights
from models.ensembles.member_stream import MemberLike, checked_members
from models.language.generate import sample_windows, stacked_members
from models.network.transformer import Dropout, check_next_token
from models.training.jobs import Job
from models.training.train import (
    Hyperparameters,
    Params,
    Program,
    Scalar,
    TrainState,
    apply_gradient,
    graph_of,
    init_state,
    token_log_probs,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Student:
    """A distilled model.

    Attributes:
        model: architecture.
        params: its weights.
        losses: loss of every step [n_steps] in nats per token.
    """

    model: ModelConfig
    params: Params
    losses: np.ndarray


def sample_teacher(
    members: Sequence[MemberLike],
    *,
    n_tokens: int,
    seed: int = 0,
    pooled: bool = False,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    how: Average = "logit",
    stock: np.ndarray | None = None,
) -> np.ndarray:
    """Return synthetic text sampled from a teacher.

    Args:
        members: one model or an ensemble, as for `generate.generate`.
        n_tokens: sampled tokens D'.
        seed: random seed of the sampling.
        pooled: sample an equal share from each member separately, instead of all from their
            average.
        temperature: as for `generate.generate`, like the following.
        top_k: tokens kept.
        top_p: probability kept.
        how: how the members' predictions are averaged, unless pooled.
        stock: training tokens of the teacher, with which windows begin, see
            `generate.sample_windows`.

    Returns:
        Windows int32 [n_windows, context + 1], see `generate.sample_windows`.

    Raises:
        ValueError: as `generate.generate`.

    Source:
        Kim and Rush 2016, arXiv 1606.07947.
    """
    pool = checked_members(members)
    writers = [[member] for member in pool] if pooled else [pool]
    n_windows = -(-n_tokens // pool[0].model.context)
    shares = [len(part) for part in np.array_split(np.arange(n_windows), len(writers))]
    return np.concatenate(
        [
            sample_windows(
                writer,
                n_tokens=share * pool[0].model.context,
                seed=int(np.random.default_rng((seed, i)).integers(2**31)),
                temperature=temperature,
                top_k=top_k,
                top_p=top_p,
                how=how,
                stock=stock,
            )
            for i, (writer, share) in enumerate(zip(writers, shares, strict=True))
            if share
        ]
    )


def soft_cross_entropy(
    logits: jax.Array, teacher_log_probs: jax.Array, temperature: Scalar | float = 1.0
) -> jax.Array:
    """Return the mean cross-entropy, a scalar in nats per token, of a student to its teacher.

    Args:
        logits: logits of the student [..., vocab_size].
        teacher_log_probs: log-probabilities of the teacher [..., vocab_size].
        temperature: divides both logits; the result is multiplied by its square, so that the
            gradient keeps its scale.

    Source:
        Hinton et al. 2015, arXiv 1503.02531, section 2.
    """
    wanted = jax.nn.softmax(teacher_log_probs / temperature, axis=-1)
    given = jax.nn.log_softmax(logits / temperature, axis=-1)
    return -jnp.mean(jnp.sum(wanted * given, axis=-1)) * temperature**2


def distill_soft(
    student: ModelConfig,
    teacher: Sequence[MemberLike],
    tokens: np.ndarray,
    *,
    optimizer: OptimizerConfig,
    train: TrainConfig,
    seed: int,
    soft_share: float = 1.0,
    temperature: float = 1.0,
    how: Average = "logit",
    synthetic: np.ndarray | None = None,
    synthetic_share: float = 0.0,
    first_params: Params | None = None,
) -> Student:
    """Return a student trained towards the teacher's predictions on the text that it reads.

    The loss is `soft_share` times the `soft_cross_entropy` to the teacher plus 1 - `soft_share`
    times the cross-entropy to the next token. The teacher's predictions are computed inside the
    step.

    Args:
        student: architecture, of the teacher's vocabulary and with no longer context.
        teacher: one model or an ensemble.
        tokens: real tokens [D].
        optimizer: learning rate and decay.
        train: epochs, batches, order, dropout, precision, average of the weights.
        seed: random seed of the weights and the order of the data.
        soft_share: 1 learns from the teacher only, 0 (the control) from the text only.
        temperature: softens teacher and student.
        how: how the predictions of an ensemble are averaged.
        synthetic: windows [n_windows, context + 1] of synthetic text to read as well, see
            `sample_teacher`.
        synthetic_share: share of synthetic windows in every batch; 0 (the control) reads real text
            only.
        first_params: initial weights (default: drawn from the seed).

    Raises:
        ValueError: settings out of range, a lever that soft targets do not support, a teacher of
            another vocabulary or shorter context, masked diffusion.
        FloatingPointError: the loss became non-finite.

    Source:
        Hinton et al. 2015, arXiv 1503.02531.
    """
    pool = checked_members(teacher)
    _check_pair(student, pool[0].model)
    member_weights(len(pool), how)
    if not 0 <= soft_share <= 1:
        raise ValueError(f"soft_share must lie in [0, 1]; not {soft_share!r}")
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0; not {temperature!r}")
    job = Job(
        id="student", model=student, optimizer=optimizer, train=train, seed=seed, tokens=tokens,
        held_out={}, first_params=first_params, synthetic=synthetic,
        synthetic_share=synthetic_share,
    )  # fmt: skip
    if refused := sorted(job.program().levers - {"clip_norm", "final_decay"}):
        raise ValueError(f"soft targets do not support {', '.join(refused)}")
    if job.shuffles_documents:
        raise ValueError("soft targets do not support data_order 'documents'")
    if job.has_unscored:
        raise ValueError("soft targets need every token to be scored; tokens hold unscored ones")
    models, params = stacked_members(pool)
    # A copy, because the program reuses the buffers it is given.
    state = jax.tree.map(jnp.copy, init_state(job.program(), seed, first_params))
    losses: list[float] = []
    while len(losses) < job.n_steps:
        starts, n_now = job.reads(len(losses))
        state, found = _soft_segment(
            job.program(), models, how, state, params, job.ring, starts, np.int32(n_now),
            job.hyperparameters, np.float32(soft_share), np.float32(temperature),
        )  # fmt: skip
        losses.extend(np.asarray(found)[:n_now].tolist())
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"the student's loss became non-finite by step {len(losses)}")
    return Student(model=student, params=state.result, losses=np.array(losses))


def _check_pair(student: ModelConfig, teacher: ModelConfig) -> None:
    for model in (student, teacher):
        check_next_token(model)
    if student.vocab_size != teacher.vocab_size:
        raise ValueError(
            f"student and teacher must share one vocabulary; they have {student.vocab_size} and "
            f"{teacher.vocab_size} ids"
        )
    if student.context > teacher.context:
        raise ValueError(
            f"the student's context {student.context} must not be longer than the teacher's "
            f"{teacher.context}"
        )


def teacher_log_probs(
    models: tuple[ModelConfig, ...], params: tuple[Params, ...], how: Average, ids_BT: jax.Array
) -> jax.Array:
    """Return the averaged log-probabilities of all members, [B, T, vocab_size].

    Args:
        models: architecture of each group of members.
        params: stacked weights of each group, see `generate.stacked_members`.
        how: how predictions are averaged.
        ids_BT: token ids.
    """
    found = [
        jax.vmap(lambda p, model=model: token_log_probs(model, p, ids_BT))(stacked)
        for model, stacked in zip(models, params, strict=True)
    ]
    return average_log_probs(jnp.concatenate(found), how)


@jax.jit(static_argnums=(0, 1, 2), donate_argnums=3)
def _soft_segment(
    program: Program,
    teachers: tuple[ModelConfig, ...],
    how: Average,
    state: TrainState,
    teacher_params: tuple[Params, ...],
    ring: jax.Array,
    starts: jax.Array,
    n_steps: jax.Array,
    hyper: Hyperparameters,
    soft_share: Scalar,
    temperature: Scalar,
) -> tuple[TrainState, jax.Array]:
    """Run the first `n_steps` rows of `starts`, as `train.segment` does with hard labels."""
    model = program.model
    offsets = jnp.arange(model.context + 1)

    def loss_of(
        params: Params, windows: jax.Array, wanted: jax.Array, drop: Dropout | None
    ) -> jax.Array:
        params = jax.tree.map(lambda leaf: leaf.astype(program.precision), params)
        logits = nnx.merge(graph_of(model), params)(windows[:, :-1], drop=drop)
        hard = soft_cross_entropy(logits, jnp.log(jax.nn.one_hot(windows[:, 1:], model.vocab_size)))
        soft = soft_cross_entropy(logits, wanted, temperature)
        return soft_share * soft + (1 - soft_share) * hard

    def body(i: jax.Array, carry: tuple[TrainState, jax.Array]) -> tuple[TrainState, jax.Array]:
        state, losses = carry
        windows = ring[starts[i][:, None] + offsets].astype(jnp.int32)
        wanted = teacher_log_probs(teachers, teacher_params, how, windows[:, :-1])
        key = jax.random.fold_in(jax.random.key(hyper.seed), state.step)
        drop = Dropout(key, hyper.dropout) if program.has_dropout else None  # type: ignore[arg-type]
        loss, gradient = jax.value_and_grad(loss_of)(state.params, windows, wanted, drop)
        return apply_gradient(program, state, gradient, hyper), losses.at[i].set(loss)

    return jax.lax.fori_loop(0, n_steps, body, (state, jnp.zeros(starts.shape[0])))
