"""Trained models for commands: finished runs, and models that a command trains and saves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.display.progress import WorkProgress
from experiments.runs.files import read_json
from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore
from models.language.language_model import LanguageModel
from models.language.members import member_of
from models.training.job_list import Event, Failed, Finished, Job, Segment, train_jobs

if TYPE_CHECKING:
    import tokenizers


def trained_and_kept(
    job: Job, tokenizer: tokenizers.Tokenizer | None, folder: Path
) -> LanguageModel:
    """Return the model in a folder, or train it with a progress bar and save it.

    Args:
        job: training job of the model.
        tokenizer: tokenizer to save with the model.
        folder: folder of the model.

    Raises:
        ValueError: the job cannot be trained.
        RuntimeError: the training loss became NaN or infinite.
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
    # Renamed when complete, so that an existing folder always has a complete model.
    beside = folder.with_name(f"{folder.name}.unfinished")
    trained[0].save(beside)
    beside.rename(folder)
    return trained[0]


def finished_spec(folder: Path) -> RunSpec:
    """Return the spec of the finished run in a folder.

    Raises:
        ValueError: the folder is not that of a run, or the run is unfinished or diverged.
    """
    values = read_json(folder / "spec.json")
    if not isinstance(values, dict):
        raise ValueError(f"{folder} is not the folder of a run: it has no readable spec.json")
    spec = RunSpec.from_dict(values)
    result = RunStore(folder.parent).result(spec)
    if result is None:
        raise ValueError(f"the run in {folder} is not finished")
    if result["status"] == "diverged":
        raise ValueError(f"the run in {folder} diverged: {result['reason']}")
    return spec


def load_trained(folder: Path) -> LanguageModel:
    """Return the model of a run's folder or of `LanguageModel.save`, with its tokenizer.

    The tokenizer of a run is made from its text, which must be available.

    Raises:
        ValueError: the folder is not that of a finished run, or the text is not available.
        CheckpointError: the folder has no weights.
    """
    from experiments.runs.texts import tokens_of
    from models.language.language_model import LanguageModel

    folder = folder.resolve()
    if not (folder / "spec.json").is_file():
        return LanguageModel.load(folder)
    spec = finished_spec(folder)
    tokenizer = tokens_of(spec.data, spec.model.vocab_size).tokenizer()
    return LanguageModel.load(folder, tokenizer=tokenizer)
