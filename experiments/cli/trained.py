"""Models that a command trains on the way and keeps, so that it need not train them again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.display.progress import WorkProgress
from models.language.language_model import LanguageModel
from models.language.members import member_of
from models.training.job_list import Event, Failed, Finished, Job, Segment, train_jobs

if TYPE_CHECKING:
    import tokenizers

HELD_OUT_SHARE = 0.1
"""Share of the records that no model is trained on, to judge it by."""


def is_held_out(source_id: str) -> bool:
    """Tell whether a record is kept from training, by the hash of its id."""
    return int(hashlib.sha256(source_id.encode()).hexdigest()[:8], 16) < HELD_OUT_SHARE * 2**32


def trained_and_kept(
    job: Job, tokenizer: tokenizers.Tokenizer | None, folder: Path
) -> LanguageModel:
    """Return the model of that folder; where there is none, train it, with progress, and keep it.

    Raises:
        ValueError: the job cannot be trained.
        RuntimeError: its loss stopped being a number.
    """
    if folder.is_dir():
        return LanguageModel.load(folder)
    trained: list[LanguageModel] = []
    with WorkProgress(f"training the {job.id}", n_jobs=1, work=job.n_steps) as progress:

        def on_event(event: Event) -> None:
            if isinstance(event, Failed):
                raise event.error
            if isinstance(event, Segment):
                progress.note = f"loss {event.losses[-1]:.3f}"
                progress.advance(len(event.losses))
            if isinstance(event, Finished):
                progress.finish_job()
                trained.append(member_of(event, tokenizer))

        train_jobs([job], on_event)
    # Whole or not at all: a folder that is there is a model that is done.
    beside = folder.with_name(f"{folder.name}.unfinished")
    trained[0].save(beside)
    beside.rename(folder)
    return trained[0]
