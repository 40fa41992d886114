"""Commands that exchange runs with other tools: `import` and `export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments.cli.options import readable


@readable
@dataclass(frozen=True, kw_only=True)
class Import:
    """Put the runs of a table, such as an export of wandb, beside ours.

    A table has a row a run; of a history (rows with `_step`) the last value of each column counts;
    the CSV of a wandb chart (columns "RUN - METRIC") is read as well.
    """

    file: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines, JSON (a list of objects) or parquet."""
    into: Path
    """The folder of runs to put them in."""
    map: tuple[str, ...]
    """Columns to read, ours=theirs, as in validation_loss=val/loss n_params=params."""
    set: tuple[str, ...] = ()
    """Values that all these runs share, ours=value, as in n_unique_tokens=200e6."""
    label: str | None = None
    """Their column that names a run; a usual one by default."""
    name: str | None = None
    """What to call the import; the file's name by default. An import of this name is replaced."""

    def run(self) -> int:
        """Read, keep, and say what was read."""
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
        )
        source = frame["source"].iloc[0]
        print_table(
            import_report(frame, columns), title=f"{len(frame):,} runs imported as {source}"
        )
        doubtful = frame[frame["reason"].notna()]
        if len(doubtful):
            first = doubtful.iloc[0]
            print(f"{len(doubtful):,} doubtful; the first: {first['run_id']}, {first['reason']}")
        return 0


def _pairs(option: str, pairs: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not (ours and equals and theirs):
            raise ValueError(f"`{option}` takes ours=theirs; not {pair!r}")
        if ours in found:
            raise ValueError(f"`{option}` names {ours} twice")
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
    """Write a finished run as a folder that Hugging Face transformers loads."""

    run_folder: Annotated[Path, tyro.conf.Positional]
    """The folder of one run, as in runs/quick/0123456789abcdef."""
    to: Path
    """The folder to make."""
    tokenizer: bool = True
    """Write the tokenizer too; the text the run was trained on must be there for it."""

    def run(self) -> int:
        """Write it and name it."""
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
