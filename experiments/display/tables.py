"""Tables for a terminal and for the report."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import pandas as pd

from experiments.runs.rows import SETTINGS
from experiments.runs.streams import PREFIX as STREAM_PREFIX

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from experiments.claims.claim import Claim
    from experiments.tuning.certificates import Certificate
    from experiments.tuning.grid import Direction
    from experiments.tuning.search import Tuned

CELL = {
    "corpus": "corpus",
    "n_unique_tokens": "D",
    "width": "width",
    "n_params_non_embedding": "N",
    "learning_rate": "lr",
    "weight_decay": "decay",
    "n_epochs": "epochs",
}
"""Settings that tell cells apart, by column of `RunStore.frame`, and their short names."""
HASHES = ("data_sha256", "init_from")
LOSSES = {"train_loss": "train", "validation_loss": "val", "test_loss": "test"}


def cells_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Average runs over seeds: a row for each text, size and choice of settings.

    The text is named only where there are several, diverged runs only where there are any. Where
    runs of one cell differ in something else, `also` says so of those that are not as most are.
    Hashes are cut to their first eight digits, and texts that recipes wrote go by their labels.
    """
    runs = runs.assign(
        corpus=runs["corpus"].str.removeprefix(STREAM_PREFIX),
        **{name: runs[name].str[:8] for name in HASHES if name in runs.columns},
    )
    others = _other_settings(runs)
    cell = CELL | {name: name for name in others}
    groups = runs.groupby(list(cell), sort=True, dropna=False)
    table = groups[list(LOSSES)].mean().round(3).rename(columns=LOSSES)
    table["seeds"] = groups["seed"].nunique()
    table["diverged"] = groups["status"].agg(lambda status: int((status == "diverged").sum()))
    table["s"] = groups["seconds"].mean().round(1)
    table = table.reset_index().rename(columns=cell)
    if others:
        usual = {name: runs[name].mode(dropna=False).iloc[0] for name in others}
        alone = ~table.duplicated(list(CELL.values()), keep=False)
        table["also"] = [_unusual(row, usual) for _, row in table[others].iterrows()]
        table.loc[alone, "also"] = ""
    same = [name for name in ("corpus", "D") if table[name].nunique() == 1]
    calm = [] if table["diverged"].any() else ["diverged"]
    return table.drop(columns=[*same, *calm, *others])


def _unusual(settings: pd.Series, usual: Mapping[str, object]) -> str:
    """Name the settings that are not the usual ones."""
    return ", ".join(
        f"{str(name).removesuffix('_seed')} {value}"
        for name, value in settings.items()
        if value != usual[str(name)] and not (pd.isna(value) and pd.isna(usual[str(name)]))
    )


def _other_settings(runs: pd.DataFrame) -> list[str]:
    """Name the settings that tell apart runs of one cell: averaging over them would mislead."""
    groups = runs.groupby(list(CELL), sort=False, dropna=False)
    others = [name for name in SETTINGS if name in runs.columns and name not in CELL]
    return [name for name in others if groups[name].nunique(dropna=False).max() > 1]


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """Lay claims out as a table: one row each, in the order of the talk."""
    return pd.DataFrame(
        [
            {
                "id": claim.id,
                "the talk says": claim.statement,
                "verdict": claim.verdict,
                "measured": claim.headline,
                "n": claim.n_samples,
            }
            for claim in claims
        ]
    )


def print_table(frame: pd.DataFrame, *, title: str, over: str = "corpus") -> None:
    """Print a data frame to stdout, as wide as the terminal allows.

    Where that would break words, the texts of the column `over` stand over their rows, not beside.
    """
    from rich.console import Console

    console = Console()
    table = _table(frame, console, title=title)
    unbroken = console.measure(table, options=console.options.update_width(10_000)).minimum
    if over not in frame.columns or unbroken <= console.width:
        console.print(table)
        return
    beside = frame.drop(columns=over)
    widths = {str(name): max(map(len, map(cell_text, cells))) for name, cells in beside.items()}
    console.print(_table(beside.head(0), console, title=title, widths=widths))
    for text, rows in beside.groupby(frame[over], sort=False):
        console.print(str(text), style="bold", markup=False, highlight=False)
        console.print(_table(rows, console, widths=widths))


def _table(
    frame: pd.DataFrame,
    console: Console,
    *,
    title: str | None = None,
    widths: Mapping[str, int] | None = None,
) -> Table:
    """Lay out rows; those without a title go on below others that have the same widths."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False,
        show_header=title is not None, padding=(0, 1, 0, 0) if console.width > 80 else 0,
    )  # fmt: skip
    for column in map(str, frame.columns):
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        width = max(len(column), widths[column]) if widths and numeric else None
        table.add_column(
            column,
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric,
            min_width=width,
        )
    for row in frame.itertuples(index=False):
        table.add_row(*map(cell_text, row))
    return table


def cell_text(value: object) -> str:
    """Spell out a value; a column that a row does not have is empty."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    return str(value)


def optima_table(certificates: Sequence[Certificate]) -> pd.DataFrame:
    """Lay tuned points out: a row each, with the loss that tuned it and what the search cost."""
    from experiments.tuning.certificates import AXIS_LABELS

    return pd.DataFrame(
        [
            {
                **_place(found, certificates),
                **{AXIS_LABELS[name]: f"{x:g}" for name, x in found.tuned.best.items()},
                "loss ± s.e.": f"{found.tuned.loss:.3f} ± {found.tuned.stderr:.3f}",
                "certified": found.verdict,
                "runs": found.n_runs,
                "FLOPs": f"{found.train_flops:.1e}",
            }
            for found in certificates
        ]
    )


def _place(found: Certificate, certificates: Sequence[Certificate]) -> dict[str, int]:
    """Name the size of a tuned point, and its stock of text where there are several."""
    sizes = {other.spec.data.n_unique_tokens for other in certificates}
    stock = {"D": found.spec.data.n_unique_tokens} if len(sizes) > 1 else {}
    return {**stock, "width": found.spec.model.width}


def margins_table(certificates: Sequence[Certificate]) -> pd.DataFrame:
    """Lay out by how much each neighbour of the tuned points is worse, in thousandths of a nat.

    A row a point, two columns a direction (a step lower, a step higher). "~" marks a tie, "!" a
    neighbour that is better by more than the noise.
    """
    from experiments.tuning.certificates import AXIS_LABELS

    return pd.DataFrame(
        [
            _place(found, certificates)
            | {
                f"{' & '.join(AXIS_LABELS[axis] for axis in direction)} {'-+'[step > 0]}": _margin(
                    found.tuned, direction, step
                )
                for direction in found.tuned.grid.directions()
                if all(len(found.tuned.grid.axes[axis]) > 1 for axis in direction)
                for step in (-1, 1)
            }
            for found in certificates
        ]
    )


def _margin(tuned: Tuned, direction: Direction, step: int) -> str:
    for near in tuned.neighbors:
        if (near.direction, near.step) == (direction, step):
            if not math.isfinite(near.margin):
                return "diverged"
            mark = {"tie": " ~", "better": " !", "worse": ""}[near.verdict]
            return f"{1000 * near.margin:+.0f}±{1000 * near.stderr:.0f}{mark}"
    return "end" if tuned.grid.step(tuned.point, direction, step) is None else "not run"


OBJECTIVE_TITLES = {
    "standard": "standard recipe, learning rate and epochs tuned",
    "single": "single models tuned",
    "ensemble": "members tuned for the limit of many",
}


def print_certificates(certificates: Sequence[Certificate]) -> None:
    """Print tuned points with their evidence to stdout, a pair of tables an objective."""
    from rich.console import Console

    console = Console(highlight=False)
    if not certificates:
        return
    for objective, group in itertools.groupby(certificates, key=lambda found: found.objective):
        of_objective = list(group)
        print_table(
            optima_table(of_objective),
            title=f"{OBJECTIVE_TITLES[objective]}: validation loss, nats",
        )
        print_table(
            margins_table(of_objective),
            title="neighbours' loss less the optimum's ± s.e., in 0.001 nats",
        )
        console.print("~ a tie: not told apart at 95 %; ! better by more than the noise.")
        flattery = fmean(found.tuned.optimism for found in of_objective)
        if math.isfinite(flattery):
            console.print(f"Selection flatters these losses by about {flattery:.3f} nats.")
    runs: dict[str, float] = {}
    for found in certificates:
        runs |= found.runs
    console.print(
        f"{len(runs)} runs, {sum(runs.values()):.2g} training FLOPs in all "
        "(a run that several searches needed counts once)."
    )
