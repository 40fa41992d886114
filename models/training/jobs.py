"""A training job, the events it emits, and the callbacks a trainer reports to."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.text.batches import as_ring, document_bounds, document_order, has_unscored
from models.text.mixing import mixed_ring, mixed_starts, mixed_steps_per_epoch, synthetic_per_batch
from models.training.evaluate import BATCH_WINDOWS, document_losses, held_out_loss
from models.training.train import (
    SEGMENT_STEPS,
    Execution,
    Hyperparameters,
    Params,
    Program,
    TrainState,
)

if TYPE_CHECKING:
    import jax


LEAST_RING = 2**16
"""Length to which shorter rings are padded; longer ones to 4, 16, ... times this length."""

MOST_SCORING = 0.03
"""Operations spent on held-out losses along a run, at most, over those of its training; the loss at
its end comes on top. In time the share is larger: on a CPU, with models of 7k to 400k weights, the
median was within 5 %; single readings of the smallest reached 1.9 times the share of operations."""

SELECTION = "validation"
"""Name of the windows that are scored along a run; reported losses are of others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One model to train.

    Attributes:
        id: identifier chosen by the caller.
        model: architecture.
        optimizer: learning rate and decay.
        train: epochs, batches, order.
        seed: random seed of the weights, and of the order of the data unless `train.order_seed`
            is set.
        tokens: unique training tokens [D]; tokens marked as `batches.unscored`, here and in the
            windows, contribute no loss.
        held_out: windows [n_windows, context + 1] to score the trained model on, by name.
        documents: document of each scored token [n_windows, context] of those windows, by name,
            for losses by document.
        first_params: initial weights of this architecture; by default drawn from the seed.
        synthetic: windows [n_windows, context + 1] of sampled text to train on as well, see
            `generate.sample_windows`; an epoch remains one pass over `tokens`.
        synthetic_share: share of synthetic windows in every batch, see `mixing`.
        score_every: epochs, or a fraction of one, between held-out losses along the run, see
            `scores_along`; 0 for none.
        trunk: name that this job has in common with those that are equal to it until their learning
            rate falls, whenever that is; they train these steps once, see `job_list`.

    Raises:
        ValueError: a share outside [0, 1], a share without synthetic windows, or an order of
            documents where there is one document only.
    """

    id: str
    model: ModelConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    seed: int
    tokens: np.ndarray
    held_out: Mapping[str, np.ndarray]
    documents: Mapping[str, np.ndarray] = field(default_factory=dict)
    first_params: Params | None = None
    synthetic: np.ndarray | None = None
    synthetic_share: float = 0.0
    score_every: float = 0.0
    trunk: str | None = None

    def __post_init__(self) -> None:
        synthetic_per_batch(self.train.batch_size, self.synthetic_share)
        if self.synthetic_share and self.synthetic is None:
            raise ValueError("a synthetic_share needs synthetic windows")
        if self.shuffles_documents and self._n_documents < 2:
            raise ValueError(
                "data_order 'documents' needs two documents or more; these "
                f"{len(self.tokens):,} tokens are one (chunk_tokens draws chunks of many)"
            )

    @property
    def ring(self) -> np.ndarray:
        """Tokens [n] that windows are cut from, real and synthetic, see `mixed_ring`."""
        if self.synthetic is None:
            return as_ring(self.tokens, context=self.model.context)
        return mixed_ring(self.tokens, self.synthetic, context=self.model.context)

    @cached_property
    def has_unscored(self) -> bool:
        """Whether some training tokens are read but not predicted."""
        texts = [self.tokens] if self.synthetic is None else [self.tokens, self.synthetic]
        return any(map(has_unscored, texts))

    @cached_property
    def text_digest(self) -> str:
        """Hash of the text, equal for jobs with equal rings."""
        found = hashlib.blake2b(digest_size=16)
        for part in (self.tokens, self.synthetic):
            if part is not None:
                found.update(f"{part.dtype} {part.shape} ".encode())
                found.update(np.ascontiguousarray(part).data)
        return found.hexdigest()

    @property
    def padded_ring(self) -> np.ndarray:
        """The ring zero-padded to one of few lengths [n], so that similar texts compile once."""
        ring = self.ring
        length = LEAST_RING
        while length < len(ring):
            length *= 4
        return np.pad(ring, (0, length - len(ring)))

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the unique tokens."""
        return mixed_steps_per_epoch(
            len(self.tokens),
            context=self.model.context,
            train=self.train,
            share=self.synthetic_share,
        )

    @property
    def n_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.train.n_epochs * self.steps_per_epoch

    @property
    def tokens_per_step(self) -> int:
        """Tokens read in one step."""
        return self.train.batch_size * self.model.context

    @cached_property
    def scores_along(self) -> tuple[int, np.ndarray] | None:
        """Steps between held-out losses along the run, and the windows [n, context + 1] scored.

        The windows are as many batches of all validation windows, spread evenly, as take at most
        `MOST_SCORING` of the operations of `score_every` epochs, of which a forward pass is a
        third. Where a single batch takes more, scores are several times `score_every` apart; the
        end of the run is always scored. None if the run is not scored along the way.
        """
        windows = self.held_out.get(SELECTION)
        if not self.score_every or windows is None:
            return None
        asked = max(1, round(self.score_every * self.steps_per_epoch))
        affordable = 3 * MOST_SCORING * asked * self.tokens_per_step / self.model.context
        # Whole batches: another number of windows would be compiled once more.
        n = min(len(windows), BATCH_WINDOWS * max(1, int(affordable / BATCH_WINDOWS)))
        spread = np.arange(n) * len(windows) // n
        return asked * max(1, math.ceil(n / affordable)), windows[spread]

    def is_scored_at(self, step: int) -> bool:
        """Return whether the weights after this number of steps are scored along the run."""
        if self.scores_along is None or not step:
            return False
        return step % self.scores_along[0] == 0 or step == self.n_steps

    def program(self, execution: Execution | None = None) -> Program:
        """Return the program that has to be compiled to train this job."""
        return Program.of(
            self.model,
            self.optimizer,
            self.train,
            execution,
            has_unscored=self.has_unscored,
        )

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Numeric settings, as arguments of the compiled program."""
        return Hyperparameters.of(self.optimizer, self.n_steps, train=self.train, seed=self.seed)

    @property
    def branch_step(self) -> int:
        """Steps that jobs of the same trunk have in common with longer ones; 0 without a trunk."""
        return 0 if self.trunk is None else int(self.hyperparameters.fall_from)

    @property
    def shuffles_documents(self) -> bool:
        """Whether every epoch reads the documents in a new order."""
        return self.train.data_order == "documents"

    @property
    def _n_documents(self) -> int:
        return len(document_bounds(self.tokens, self.model.end_of_text_id)) - 1

    @property
    def reads_shape(self) -> tuple[int, ...]:
        """Shape of what `reads` returns."""
        shape = (SEGMENT_STEPS, self.train.batch_size)
        return (*shape, self.model.context + 1) if self.shuffles_documents else shape

    def reads(self, step: int) -> tuple[np.ndarray, int]:
        """Return what the segment that begins at `step` reads, and its number of steps.

        Returns:
            int32 [SEGMENT_STEPS, batch] first positions of windows in the ring, or all their
            positions [SEGMENT_STEPS, batch, context + 1] if documents are shuffled, zeros past the
            end of the segment; and its number of steps, at most to the end of the job, its
            `branch_step` or the next score along the run.
        """
        last = self.branch_step if step < self.branch_step else self.n_steps
        if self.scores_along is not None:
            every = self.scores_along[0]
            last = min(last, (step // every + 1) * every)
        n_now = max(0, min(SEGMENT_STEPS, last - step))
        reads = np.zeros(self.reads_shape, np.int32)
        if n_now:
            order_seed = self.train.order_seed
            seed = self.seed if order_seed is None else order_seed
            starts = mixed_starts(
                len(self.tokens),
                0 if self.synthetic is None else len(self.synthetic),
                context=self.model.context,
                train=self.train,
                share=self.synthetic_share,
                seed=seed,
                first_step=step,
                last_step=step + n_now,
            )
            reads[:n_now] = (
                self._shuffled(starts, step, seed) if self.shuffles_documents else starts
            )
        return reads, n_now

    def _shuffled(self, starts: np.ndarray, first_step: int, seed: int) -> np.ndarray:
        """Return the positions [n, batch, context + 1] of windows in text of shuffled documents."""
        context, n_tokens = self.model.context, len(self.tokens)
        epochs = np.arange(first_step, first_step + len(starts)) // self.steps_per_epoch
        positions = starts[..., None] + np.arange(context + 1)
        for epoch in np.unique(epochs):
            order = document_order(
                self.tokens, end_of_text_id=self.model.end_of_text_id, seed=seed, epoch=int(epoch)
            )
            ring, now = as_ring(order, context=context), positions[epochs == epoch]
            # Synthetic windows, behind the ring of the real text, are read as they are.
            real = np.minimum(now, n_tokens + context)
            positions[epochs == epoch] = np.where(now == real, ring[real], now)
        return positions

    @property
    def flops(self) -> float:
        """Training floating-point operations of the whole run."""
        return self.n_steps * self.tokens_per_step * self.model.train_flops_per_token


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """Consecutive training steps of a job have finished.

    Attributes:
        job: the job.
        first_step: first of these steps, counted from the beginning of training.
        losses: loss of each step [n_steps], in nats per token.
        seconds: time since the previous segment, or since this call of `train_jobs` took the job.
        validation_loss: held-out loss of the weights after these steps in nats per token; None if
            the job does not score them here, see `Job.is_scored_at`.
    """

    job: Job
    first_step: int
    losses: np.ndarray
    seconds: float = 0.0
    validation_loss: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """A job has ended.

    Attributes:
        job: the job.
        params: its trained weights, on the host.
        scores: loss on each set of held-out windows in nats per token; empty if it diverged.
        document_losses: the same of each document, where documents are known.
        diverged: whether a loss was not finite.
        seconds: time from this call of `train_jobs` taking the job to its scores.
        device: kind of the device it was scored on.
    """

    job: Job
    params: Params
    scores: Mapping[str, float]
    diverged: bool
    seconds: float
    device: str
    document_losses: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Failed:
    """A job has raised an error; other jobs continue."""

    job: Job
    error: Exception


Event = Segment | Finished | Failed
Load = Callable[[Job], TrainState | None]
Keep = Callable[[Job, TrainState], None]


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """Functions of the caller that trainers call, and the signal to stop.

    Attributes:
        report: receives every event; called from trainer threads.
        load: returns the saved state of a job, or None to start it from its first step.
        keep: saves the state of an unfinished job.
        keep_every: seconds between calls of `keep` for one job.
        stop: set to stop every trainer after its current segment.
        execution: microbatches and rematerialisation, for all jobs.
    """

    report: Callable[[Event], None]
    load: Load
    keep: Keep
    keep_every: float
    stop: threading.Event
    execution: Execution


def score_along(job: Job, state: TrainState) -> float | None:
    """Return the held-out loss of a state at which the job is scored along the run, else None.

    It is that of the weights or, where one is kept, of their moving average; the mean of
    `snapshots` is formed only at the end.
    """
    if job.scores_along is None or not job.is_scored_at(int(state.step)):
        return None
    params = state.result if job.train.weight_average == "ema" else state.params
    # Of a masked diffusion model one draw of masks, which costs as much as a next-token score.
    return held_out_loss(job.model, params, job.scores_along[1], n_draws=1)


def score(
    job: Job, params: Params, *, diverged: bool, seconds: float, device: jax.Device
) -> Finished:
    """Return the `Finished` event of a trained model, scored on its held-out windows.

    Args:
        job: what was trained.
        params: its weights.
        diverged: whether a training loss was not finite; then there are no scores.
        seconds: training time to report.
        device: where it was trained.
    """
    import jax

    scores = {
        name: held_out_loss(job.model, params, windows)
        for name, windows in job.held_out.items()
        if not diverged
    }
    by_document = {
        name: document_losses(job.model, params, job.held_out[name], documents)
        for name, documents in job.documents.items()
        if not diverged
    }
    return Finished(
        job=job,
        params=jax.device_get(params),
        scores=scores,
        diverged=diverged or not np.isfinite(list(scores.values())).all(),
        seconds=seconds,
        device=device.device_kind,
        document_losses=by_document,
    )
