"""Options that several commands share, and the formatting of help texts."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import docstring_parser
import tyro

from experiments.sweeps.executors import ExecutorName

if TYPE_CHECKING:
    import pandas as pd

    from experiments.lab.lab import Lab
    from experiments.sweeps.executors import Executor
    from scaling.files import Dialect

Options = TypeVar("Options")

KINDS = {str: "STR", int: "INT", float: "FLOAT", Path: "PATH"}


def readable(options: type[Options]) -> type[Options]:
    """Return a dataclass of options with its help texts cleaned up.

    Removes what tyro adds: the line breaks of docstrings, `{None}` and "(default: None)" of
    optional values, whose docstrings say what the default is, and the negative form of switches.
    Inherited options are left to the class that declares them.
    """
    texts = {
        found.arg_name: " ".join((found.description or "").split())
        for found in docstring_parser.parse_from_object(options).params
    }
    hints = typing.get_type_hints(options, include_extras=True)
    for option in dataclasses.fields(options):  # type: ignore[arg-type]
        if option.name in vars(options)["__annotations__"] and option.name in texts:
            settings: dict[str, Any] = {"help": texts[option.name]}
            hint = hints[option.name]
            if option.default in (None, (), "") or option.default is False:
                settings["help_behavior_hint"] = ""
            if option.default is False:
                hint = Annotated[hint, tyro.conf.FlagCreatePairsOff]
            if kind := _kind_if_optional(hint):
                settings["metavar"] = kind
            options.__annotations__[option.name] = Annotated[hint, tyro.conf.arg(**settings)]
    return options


def _kind_if_optional(hint: Any) -> str | None:
    """Return the metavar of an optional type; None for any other type."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return None
    others = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    if len(others) != 1 or len(others) == len(typing.get_args(hint)):
        return None
    if typing.get_origin(others[0]) is typing.Literal:
        return "{" + ",".join(map(str, typing.get_args(others[0]))) + "}"
    return KINDS.get(others[0])


@readable
@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """The world, its text, its run store and where to train."""

    world: str = "quick"
    """Scale of the experiments: tiny (a first try), quick (minutes), small and
    interventions (hours), gpu (an hour of one GPU), or a TOML file such as my.toml, see `datawall
    worlds`."""
    corpus: str | None = None
    """Text to train on instead of that of the world: stdlib, novels, files:PATH or hf:DATASET."""
    search: bool = False
    """Search for tuned settings, from those that the world comes with (quick, small)."""
    levers: tuple[str, ...] = ()
    """Settings of all runs on the text that differ from the world's, for example clip_norm=1
    qk_norm=true; the runs are kept in a folder of their own."""
    score_every: float | None = None
    """Epochs between validation losses along each run, written to its metrics.jsonl; by default
    those of the world (none)."""
    runs: Path = Path("runs")
    """Folder of run stores, with a subfolder for each world."""
    executor: ExecutorName = "threads"
    """Train in threads of this process, in local processes or in Dask workers."""
    scheduler: str | None = None
    """Address of a running Dask scheduler, such as tcp://10.0.0.1:8786. By default, the executor
    dask starts workers on this machine."""
    workers: int | None = None
    """Number of runs to train at once on this machine; by default one per core or GPU, if memory
    allows."""

    def open_executor(self) -> Executor:
        """Return the executor, to be used in a `with` block."""
        from experiments.sweeps.executors import open_executor

        return open_executor(self.executor, workers=self.workers, scheduler=self.scheduler)

    @contextlib.contextmanager
    def open_lab(
        self, *, widths: tuple[int, ...] = (), shipped: bool = False, search: bool = False
    ) -> Iterator[Lab]:
        """Give the lab of the world while its executor is open; see `story.open_lab`.

        Args:
            widths: model sizes instead of the world's.
            shipped: whether shipped results are read if there are no runs.
            search: whether to search for tuned settings in any case.
        """
        from experiments.story.story import open_lab

        with self.open_executor() as executor:
            yield open_lab(
                self.world, corpus=self.corpus, runs=self.runs, executor=executor, widths=widths,
                shipped=shipped, search=search or self.search, levers=self.levers,
                score_every=self.score_every,
            )  # fmt: skip


@readable
@dataclass(frozen=True, kw_only=True)
class DialectOptions:
    """What a run table leaves open; by default its content decides."""

    decimal: str | None = None
    """Decimal sign of the table, "." or ","."""
    separator: str | None = None
    """Separator of its cells: comma, semicolon, tab, bar or another character."""
    encoding: str | None = None
    """Encoding of its text, such as cp1252, if it is not UTF-8 or UTF-16."""

    def dialect(self) -> Dialect:
        """Return what the options say of a table."""
        from scaling.files import Dialect

        return Dialect(decimal=self.decimal, separator=self.separator, encoding=self.encoding)

    def read(self, path: Path) -> pd.DataFrame:
        """Return a run table, a row a run; stderr shows what was taken for what.

        Returns:
            The columns of the file, a row a run or checkpoint.
        """
        from experiments.cli.output import print_notes
        from scaling.files import open_runs

        file = open_runs(path, self.dialect())
        print_notes(path, file.notes)
        return file.frame()


@readable
@dataclass(frozen=True, kw_only=True)
class RowOptions(DialectOptions):
    """Which rows of a run table to use."""

    where: tuple[str, ...] = ()
    """Rows to use: column=value, such as corpus=fineweb; a repeated column has several values."""

    def read(self, path: Path) -> pd.DataFrame:
        """Return the rows that are asked for, all columns; stderr shows how the table was read."""
        from experiments.cli.laws.rows import rows_where

        return rows_where(DialectOptions.read(self, path), self.where)


@readable
@dataclass(frozen=True, kw_only=True)
class UniqueOptions:
    """The unique tokens of a text, where no column states them."""

    unique_tokens: str | None = None
    """Number of unique tokens of the text, such as 117M, if no column states it."""

    def with_unique(
        self, frame: pd.DataFrame, x: tuple[str, ...]
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Return a table and its columns, with the unique tokens as column n_unique_tokens.

        Args:
            frame: a row per run.
            x: columns as given; empty for the default ones.

        Raises:
            ValueError: the number is not one, or the table has the column already.
        """
        if self.unique_tokens is None:
            return frame, x
        from experiments.display.quantities import parse_quantity

        name = "n_unique_tokens"
        if name in frame or any(word.startswith(f"{name}=") for word in x):
            raise ValueError(f"the table has a column {name}; leave `--unique-tokens` out")
        number = parse_quantity(self.unique_tokens, name="--unique-tokens")
        return frame.assign(**{name: number}), (*x, name) if x else x

    def read_by(self, law: str, x: tuple[str, ...]) -> tuple[str, ...]:
        """Return the columns of `with_unique` without the unique tokens if a law ignores them."""
        from scaling.laws.registry import get_law

        stated = self.unique_tokens is not None and "n_unique_tokens" not in get_law(law).columns
        return x[:-1] if stated else x


@readable
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where to write a result."""

    json: bool = False
    """Print JSON."""
    plot: Path | None = None
    """Draw the result to this file (.png, .pdf, .svg), with a CSV file beside it."""
    out: Path | None = None
    """Save the result as JSON."""


@readable
@dataclass(frozen=True, kw_only=True)
class TableOptions(RowOptions, OutputOptions):
    """The loss of a table, how fits weigh its rows, and where to write the result."""

    y: str = "loss"
    """Column of the loss."""
    loss: str = "huber_log"
    """Row loss: huber_log, squared_log, squared or asymmetric."""
    delta: float | None = None
    """Transition of the Huber loss; by default 1.345 robust standard deviations."""
    groups: str | None = None
    """Column with the cluster of a row, such as its run or seed."""
    seed: int = 0
    """Random seed of resampling."""
    checkpoints: Literal["last", "all"] | None = None
    """Which rows of a run to use, if the table holds the histories of runs."""
    best_of_size: bool = False
    """Use only the row with the lowest loss of each size, where hyperparameters were searched."""


@readable
@dataclass(frozen=True, kw_only=True)
class FitOptions(TableOptions):
    """How to fit a table, and where to write the fit."""

    n_boot: int | None = None
    """Number of bootstrap samples; by default it depends on the number of rows."""
    resample: str | None = None
    """Bootstrap method: rows, clusters, wild or bayesian."""
    weights: str | None = None
    """Column of row weights."""
    fixed: tuple[str, ...] = ()
    """Fixed parameters, such as E=1.69; gamma=free frees one that the law fixes."""
