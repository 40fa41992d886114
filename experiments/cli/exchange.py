"""Commands that exchange runs with other tools: `import` and `export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from experiments.cli.options import DialectOptions, readable
from experiments.cli.output import print_notes


@readable
@dataclass(frozen=True, kw_only=True)
class Import(DialectOptions):
    """Import runs from a table, such as an export of wandb.

    A table has one row per run. From histories (rows with `_step` or `step`, or the CSV of a wandb
    chart), the last value of each column is taken, unless every row is to be a run.
    """

    file: Annotated[Path, tyro.conf.Positional]
    """A table, as for `datawall fit`."""
    into: Path
    """Run store that receives the runs."""
    map: tuple[str, ...]
    """Columns to read as ours=theirs, for example validation_loss=val/loss n_params=params."""
    set: tuple[str, ...] = ()
    """Values shared by all these runs as ours=value, for example n_unique_tokens=200e6."""
    label: str | None = None
    """Column of the table with the name of a run; by default the first of the usual ones."""
    name: str | None = None
    """Name of the import, the name of the file by default; an import of that name is replaced."""

    checkpoints: Literal["last", "all"] = "last"
    """Which rows of a history become runs: the last of each run, or all."""

    def run(self) -> int:
        """Import the runs and print a summary."""
        from experiments.display.tables import print_table
        from experiments.runs.overview import import_report
        from experiments.runs.store import RunStore

        columns = _pairs("--map", self.map)
        frame = RunStore(self.into).import_runs(
            self.file,
            columns,
            constants={name: _value(text) for name, text in _pairs("--set", self.set).items()},
            label=self.label,
            name=self.name,
            checkpoints=self.checkpoints,
            dialect=self.dialect(),
        )
        print_notes(self.file, frame.attrs["notes"])
        source = frame["source"].iloc[0]
        print_table(
            import_report(frame, columns), title=f"{len(frame):,} runs imported as {source}"
        )
        doubtful = frame[frame["reason"].notna()]
        if len(doubtful):
            first = doubtful.iloc[0]
            print(f"{len(doubtful):,} doubtful runs; first: {first['run_id']}, {first['reason']}")
        return 0


def _pairs(option: str, pairs: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not (ours and equals and theirs):
            raise ValueError(f"`{option}` must be ours=theirs; not {pair!r}")
        if ours in found:
            raise ValueError(f"`{option}` must name {ours} once, not twice")
        found[ours] = theirs
    return found


def _value(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


@readable
@dataclass(frozen=True, kw_only=True)
class Export:
    """Export a finished run as a folder that Hugging Face transformers can load."""

    run_folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the run, such as runs/quick/0123456789abcdef."""
    to: Path
    """Folder to create."""
    tokenizer: bool = True
    """Also write the tokenizer, which needs the text that the run was trained on."""

    def run(self) -> int:
        """Write the model and print its folder."""
        from experiments.cli.trained import finished_spec
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
