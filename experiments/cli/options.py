"""Options that several commands share, and help texts as a reader wants them."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import docstring_parser
import tyro

from experiments.sweeps.executors import ExecutorName

if TYPE_CHECKING:
    from experiments.sweeps.executors import Executor

Options = TypeVar("Options")

KINDS = {str: "STR", int: "INT", float: "FLOAT", Path: "PATH"}


def readable(options: type[Options]) -> type[Options]:
    """Have the help of a dataclass of options read well.

    Tyro keeps the line breaks of an option's docstring. Of an option that may be left out it writes
    `{None}` and "(default: None)", where the docstring says what happens then; of a switch, how to
    switch it off again. Inherited options are left to the class that declares them.
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
    """Name the values of a type that may be None besides; None for any other type."""
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
    """Which world, on which text, kept where, trained where."""

    world: str = "quick"
    """How large: tiny (a try), quick (minutes), small (hours) or h200 (a GPU); or a file of your
    own, such as my.toml, see `datawall worlds`."""
    corpus: str | None = None
    """Text to train on instead of the world's: stdlib, novels, files:PATH or hf:DATASET."""
    search: bool = False
    """Search for the tuned settings of a world that carries them (quick); others search anyway."""
    runs: Path = Path("runs")
    """Folder of the trained runs, one subfolder a world."""
    executor: ExecutorName = "threads"
    """Where runs are trained: in threads of this process, in local processes, or in Dask
    workers."""
    scheduler: str | None = None
    """Address of a running Dask scheduler, such as tcp://10.0.0.1:8786; without one, the executor
    dask starts workers on this machine."""
    workers: int | None = None
    """How many runs are trained at once on this machine; by default one a core or GPU, as far as
    memory goes."""

    def open_executor(self) -> Executor:
        """Return where runs are trained, to be used in a `with` block."""
        from experiments.sweeps.executors import open_executor

        return open_executor(self.executor, workers=self.workers, scheduler=self.scheduler)


@readable
@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """How a table is fitted, and where the fit goes."""

    y: str = "loss"
    """Column of the loss."""
    loss: str = "huber_log"
    """Row loss: huber_log, squared_log, squared or asymmetric."""
    delta: float | None = None
    """Transition of the Huber loss; 1.345 robust standard deviations by default."""
    n_boot: int | None = None
    """Bootstrap draws; chosen by the number of rows by default."""
    resample: str | None = None
    """What is resampled: rows, clusters, wild or bayesian."""
    groups: str | None = None
    """Column naming the cluster of a row, such as its run or seed."""
    weights: str | None = None
    """Column of row weights."""
    fixed: tuple[str, ...] = ()
    """Pinned parameters, such as E=1.69; gamma=free frees one that the law pins."""
    seed: int = 0
    """Seed of the draws."""
    json: bool = False
    """Print JSON."""
    plot: Path | None = None
    """Draw data, fit and interval to this file, with the plotted numbers as CSV beside it."""
    out: Path | None = None
    """Save the fit as JSON, to be read with FitResult.from_json."""
