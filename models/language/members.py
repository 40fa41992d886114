"""Train the members of an ensemble."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.language.language_model import LanguageModel
from models.training.job_list import Event, Failed, Finished, Job, train_jobs

if TYPE_CHECKING:
    import tokenizers


def train_members(
    tokens: np.ndarray,
    tokenizer: tokenizers.Tokenizer | None = None,
    *,
    model: ModelConfig,
    optimizer: OptimizerConfig,
    train: TrainConfig,
    seeds: Iterable[int],
) -> list[LanguageModel]:
    """Return models of one recipe trained from several seeds, on all devices.

    Args:
        tokens: unique tokens [D] that each member sees.
        tokenizer: tokenizer of the tokens; needed by evaluations on text.
        model: architecture.
        optimizer: learning rate and decay.
        train: epochs, batches, order.
        seeds: random seed of each member's weights and data order.

    Returns:
        The trained members, in the order of the seeds.

    Raises:
        ValueError: too few tokens for one batch, or token ids outside the vocabulary.
        RuntimeError: a member's loss became non-finite.
    """
    top = int(np.max(tokens, initial=0))
    if top >= model.vocab_size:
        raise ValueError(
            f"token ids must lie in the vocabulary, 0 to {model.vocab_size - 1}; "
            f"the tokens hold {top}"
        )
    jobs = [
        Job(
            id=f"seed {seed}",
            model=model,
            optimizer=optimizer,
            train=train,
            seed=seed,
            tokens=tokens,
            held_out={},
        )
        for seed in seeds
    ]
    trained: dict[str, LanguageModel] = {}

    def keep(event: Event) -> None:
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Finished):
            trained[event.job.id] = member_of(event, tokenizer)

    train_jobs(jobs, keep)
    return [trained[job.id] for job in jobs]


def member_of(finished: Finished, tokenizer: tokenizers.Tokenizer | None = None) -> LanguageModel:
    """Return the model that a finished job of `job_list.train_jobs` has trained.

    Raises:
        RuntimeError: its loss became non-finite.
    """
    if finished.diverged:
        raise RuntimeError(f"{finished.job.id} has diverged; its weights predict nothing")
    return LanguageModel(model=finished.job.model, params=finished.params, tokenizer=tokenizer)
