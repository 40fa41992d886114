"""Finished runs by the path of their folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.runs.files import read_json
from experiments.runs.spec import RunSpec
from experiments.runs.store import RunStore

if TYPE_CHECKING:
    from models.language.language_model import LanguageModel


def finished_spec(folder: Path) -> RunSpec:
    """Return what was run in a folder.

    Raises:
        ValueError: it is no run's folder, or the run is not finished or diverged.
    """
    values = read_json(folder / "spec.json")
    if not isinstance(values, dict):
        raise ValueError(f"{folder} is not the folder of a run: it holds no readable spec.json")
    spec = RunSpec.from_dict(values)
    result = RunStore(folder.parent).result(spec)
    if result is None:
        raise ValueError(f"the run in {folder} is not finished")
    if result["status"] == "diverged":
        raise ValueError(f"the run in {folder} diverged: {result['reason']}")
    return spec


def load_trained(folder: Path) -> LanguageModel:
    """Load a model with its tokenizer: a run's folder, or one that `LanguageModel.save` wrote.

    The tokenizer of a run is that of its text, which must be there.

    Raises:
        ValueError: as `finished_spec`; or the text of the run cannot be had.
        CheckpointError: the folder holds no weights.
    """
    from experiments.runs.texts import tokens_of
    from models.language.language_model import LanguageModel

    folder = folder.resolve()
    if not (folder / "spec.json").is_file():
        return LanguageModel.load(folder)
    spec = finished_spec(folder)
    tokenizer = tokens_of(spec.data, spec.model.vocab_size).tokenizer()
    return LanguageModel.load(folder, tokenizer=tokenizer)
