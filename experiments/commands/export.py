"""`datawall export`: a finished run as a model of Hugging Face transformers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from experiments.spec import RunSpec


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write a finished run as a folder that Hugging Face transformers loads."""

    run_folder: Annotated[Path, tyro.conf.Positional]
    """The folder of one run, as in runs/quick/0123456789abcdef."""
    to: Path
    """The folder to make."""
    tokenizer: bool = True
    """Write the tokenizer too; the text the run was trained on must be there for it."""

    def run(self) -> int:
        """Write it and name it."""
        from experiments.store import RunStore
        from experiments.text import tokens_of
        from models.huggingface import export_llama

        spec = _finished(self.run_folder.resolve())
        tokens = tokens_of(spec.data, spec.model.vocab_size) if self.tokenizer else None
        export_llama(
            self.to,
            spec.model,
            RunStore(self.run_folder.resolve().parent).params(spec),
            tokens.tokenizer() if tokens else None,
        )
        print(self.to)
        return 0


def _finished(folder: Path) -> RunSpec:
    from experiments.files import read_json
    from experiments.spec import RunSpec
    from experiments.store import RunStore

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
