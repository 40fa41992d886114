"""`datawall export`: a finished run as a model of Hugging Face transformers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.cli.options import readable


@readable
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
        from experiments.cli.finished import finished_spec
        from experiments.runs.store import RunStore
        from experiments.runs.texts import tokens_of
        from models.language.huggingface import export_llama

        spec = finished_spec(self.run_folder.resolve())
        tokens = tokens_of(spec.data, spec.model.vocab_size) if self.tokenizer else None
        export_llama(
            self.to,
            spec.model,
            RunStore(self.run_folder.resolve().parent).params(spec),
            tokens.tokenizer() if tokens else None,
        )
        print(self.to)
        return 0
