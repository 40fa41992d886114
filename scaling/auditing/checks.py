"""The checks of an audit: each looks for one kind of problem in a table of runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.fitting.dependence import RUN_COLUMNS
from scaling.fitting.table import row_name

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_ROWS = 5
"""Rows that a sentence names."""
LEARNING_RATES = ("learning_rate", "lr", "peak_lr", "max_lr", "peak_learning_rate")
SETTINGS = ("decay", "batch", "warmup", "beta1", "beta2", "dropout")
"""Parts of the names of columns with hyperparameters, beside `LEARNING_RATES`."""
NO_LABEL = re.compile(
    r"(?<![a-z])(seed|step|epoch|loss(es)?|date(time)?|time(stamp)?|draw|replicate|id)s?(?![a-z])"
)
"""Words in the names of columns that do not distinguish experiments."""
MOST_LABELS = 20
MEASURED = ("time", "task_loss")
"""Variables of laws that every run measures; they are sizes only where no other one is known."""
PROGRESS = ("n_tokens", "step", "steps", "tokens", "iter", "epoch", "time")
"""Columns by which the rows of a run are ordered."""
COLLINEAR = 0.98
RISE = 0.005
"""The last loss of a run counts as a rise if it exceeds the best by this share."""
HIGHEST_NATS = 13.0
"""A model that guesses uniformly among 440,000 tokens; no language model is worse for long."""
LOWEST_NATS = 1.2
"""Smaller than the asymptotes of the published laws of text, in nats per token."""
FEWEST_PARAMS = 1000.0
"""If even the largest model has fewer, its size is in millions or billions."""
FEWEST_TOKENS = 1000.0
"""If even the longest run has fewer, its tokens are in millions or billions."""
SPREAD = 4.0
"""One learning rate is a problem if the largest model is this many times the smallest."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A problem of a table.

    Attributes:
        kind: such as "repetitions", for programs.
        sentence: what was found, and in which rows.
        remedy: what to do.
        rows: positions of the rows, from 0.
    """

    kind: str
    sentence: str
    remedy: str
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What the checks read: the table, roles, and the rows with a loss.

    Attributes:
        frame: the table; its cells are hashable.
        y: loss column.
        roles: role -> column.
        sizes: role -> values (n_rows,), NaN for cells that are not numbers.
        loss: losses (n_rows,), NaN for rows without a loss.
        unique: unique tokens (n_rows,), or None.
        run: column of runs, or None.
    """

    frame: pd.DataFrame
    y: str
    roles: dict[str, str]
    sizes: dict[str, Array]
    loss: Array
    unique: Array | None
    run: str | None

    def at(self, mask: Mask) -> tuple[int, ...]:
        """Positions of rows."""
        return tuple(int(row) for row in np.flatnonzero(mask))

    def named(self, mask: Mask) -> str:
        """The rows of a mask as text: the first few, and how many."""
        places = np.flatnonzero(mask)
        shown = ", ".join(row_name(self.frame, int(place)) for place in places[:MOST_ROWS])
        more = f" and {len(places) - MOST_ROWS} more" if len(places) > MOST_ROWS else ""
        return f"{shown}{more}"


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """The table, same columns, with lists and dictionaries as text: tags of wandb, for example."""
    found = frame.copy(deep=False)
    for column in frame.columns[[kind.kind == "O" for kind in frame.dtypes]]:
        found[column] = frame[column].map(
            lambda cell: cell if isinstance(cell, Hashable) else repr(cell)
        )
    return found


def floats(column: pd.Series) -> Array:
    """Values of a column (n_rows,), NaN for cells that are not numbers."""
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _units(rows: Rows) -> list[Finding]:
    """Losses that are not in nats per token, and sizes that are in millions or billions."""
    found = []
    loss, name = rows.loss[np.isfinite(rows.loss)], rows.y.lower()
    middle = float(np.median(loss)) if len(loss) else np.nan
    if middle > HIGHEST_NATS or "ppl" in name or "perplex" in name:
        found.append(("perplexity", "take its logarithm"))
    elif "bit" in name or name in ("bpb", "bpc"):
        found.append(("bits", "multiply by ln 2 = 0.693, and by bytes or characters per token"))
    elif middle < LOWEST_NATS:
        found.append(
            ("bits per byte, bits per character or an error rate", "convert it to nats per token")
        )
    findings = [
        Finding(
            kind="units",
            sentence=f"{rows.y} looks like {what}: its median is {middle:.4g}.",
            remedy=f"Laws expect nats per token: {remedy}.",
        )
        for what, remedy in found
    ]
    for role, least in (("n_params", FEWEST_PARAMS), ("n_tokens", FEWEST_TOKENS)):
        values = rows.sizes.get(role)
        largest = 0.0 if values is None else float(np.nanmax(values, initial=0.0))
        if 0.0 < largest < least:
            findings.append(
                Finding(
                    kind="units",
                    sentence=f"{rows.roles[role]} is at most {largest:g}, as if it were in "
                    "millions or billions.",
                    remedy="Write plain numbers, such as 1.4e9: compute, repetitions and tokens "
                    "per parameter depend on them.",
                )
            )
    return findings


def _repetitions(rows: Rows) -> list[Finding] | str:
    """Tokens read beyond the unique tokens."""
    tokens = rows.sizes.get("n_tokens")
    if tokens is None:
        return "no column n_tokens"
    if rows.unique is None:
        return "no column n_unique_tokens; state the unique tokens of the text"
    times = tokens / rows.unique
    repeated = times > 1.0 + 1e-9
    if not repeated.any():
        return []
    column, most = rows.roles["n_tokens"], float(f"{np.nanmax(times):.2g}")
    return [
        Finding(
            kind="repetitions",
            sentence=f"{column} exceeds the unique tokens in {int(repeated.sum())} of "
            f"{len(times)} rows: the text is read up to {most:,g} times ({rows.named(repeated)}).",
            remedy="A law of tokens takes repeated tokens for new ones and promises losses that "
            "are not reached: fit data_constrained, lovelace or overfitting with a column "
            "n_unique_tokens (from the shell --unique-tokens), or leave out rows that read the "
            "text over 4 times.",
            rows=rows.at(repeated),
        )
    ]


def _best_before_last(rows: Rows) -> list[Finding] | str:
    """Runs whose loss rises again before they end."""
    if rows.run is None:
        return f"no column of runs ({', '.join(RUN_COLUMNS)})"
    order = next(
        (floats(rows.frame[name]) for name in (rows.roles.get("n_tokens"), *PROGRESS)
         if name in rows.frame.columns),
        None,
    )  # fmt: skip
    if order is None:
        return f"no column of progress ({', '.join(PROGRESS)})"
    past, late = np.zeros(len(rows.loss), dtype=bool), 0
    labels = pd.factorize(rows.frame[rows.run])[0]
    for label in np.unique(labels[labels >= 0]):
        places = np.flatnonzero((labels == label) & np.isfinite(rows.loss))
        places = places[np.argsort(order[places], kind="stable")]
        if len(places) > 1:
            best = int(np.argmin(rows.loss[places]))
            if rows.loss[places[-1]] > (1.0 + RISE) * rows.loss[places[best]]:
                late += 1
                past[places[best + 1 :]] = True
    if not late:
        return []
    return [
        Finding(
            kind="best before last",
            sentence=f"In {late} of {int(labels.max()) + 1} runs the best {rows.y} comes before "
            f"the last one ({rows.named(past)} come after it).",
            remedy="These runs overfit or became unstable: keep the best row of each run, stop "
            "earlier, or raise weight decay; a power law cannot rise.",
            rows=rows.at(past),
        )
    ]


def _shared_runs(rows: Rows) -> list[Finding] | str:
    """Rows of one run, whose errors are not independent."""
    if rows.run is None:
        return f"no column of runs ({', '.join(RUN_COLUMNS)})"
    shared = rows.frame[rows.run].duplicated(keep=False).to_numpy(dtype=bool)
    if not shared.any():
        return []
    runs = rows.frame.loc[shared, rows.run].nunique()
    return [
        Finding(
            kind="shared runs",
            sentence=f"{int(shared.sum())} rows belong to {runs} runs (column {rows.run!r}), so "
            "their errors are not independent.",
            remedy=f"Group them: groups={rows.run!r} (from the shell --groups {rows.run}). "
            "Checkpoints before the end of a learning-rate schedule are worse than finished runs "
            "of that length.",
            rows=rows.at(shared),
        )
    ]


def _settings(rows: Rows) -> list[Finding] | str:
    """Rows of one size with several hyperparameters: not every row is the best of its size."""
    names = [
        str(name)
        for name in rows.frame.columns
        if str(name).split(".")[-1] in LEARNING_RATES
        or any(part in str(name).lower() for part in SETTINGS)
    ]
    if not names:
        return "no column of hyperparameters, such as learning_rate or batch_size"
    size = _size_numbers(rows)
    varied = [n for n in names if _groups_that_vary(size, rows.frame[n]).any()]
    if not varied:
        return []
    searched = np.isin(size, np.flatnonzero(_groups_that_vary(size, rows.frame[varied])))
    spread = pd.Series(rows.loss[searched]).groupby(size[searched]).agg(["min", "max"])
    worst = 100.0 * float(np.nanmax(spread["max"] / spread["min"]) - 1.0)
    shown = f"{worst:.2g}" if worst < 10 else f"{worst:.0f}"
    return [
        Finding(
            kind="searched settings",
            sentence=f"{int(searched.sum())} rows share {len(np.unique(size[searched]))} sizes and "
            f"differ in {', '.join(varied)}: {rows.y} differs by up to {shown} % at one size.",
            remedy="A law describes runs that are tuned alike: fit the best row of each size (from "
            "the shell --best-of-size), or rows of one setting.",
            rows=rows.at(searched),
        )
    ]


def _mixed(rows: Rows) -> list[Finding]:
    """Columns such as a corpus, whose values share sizes: a table of several experiments."""
    size, findings = _size_numbers(rows), []
    known = {*rows.roles.values(), rows.y, rows.run}
    for name in rows.frame.columns:
        cells, text = rows.frame[name], str(name).lower()
        n_labels = cells.nunique()
        if (
            name in known
            or not 2 <= n_labels <= min(MOST_LABELS, len(cells) // 4)
            or cells.dtype.kind == "f"
            or text in LEARNING_RATES
            or any(part in text for part in SETTINGS)
            or NO_LABEL.search(text)
        ):
            continue
        shared = np.isin(size, np.flatnonzero(_groups_that_vary(size, cells)))
        if shared.mean() < 0.5:
            continue
        labels = ", ".join(map(str, cells.dropna().unique()[:MOST_ROWS]))
        findings.append(
            Finding(
                kind="mixed experiments",
                sentence=f"{name} has {n_labels} values ({labels}) at the same sizes.",
                remedy="If they are different experiments, such as corpora, one law does not hold "
                "for all: fit each by itself (from the shell --where "
                f"{shlex.quote(f'{name}={cells.dropna().iloc[0]}')}).",
            )
        )
    return findings


def _size_numbers(rows: Rows) -> NDArray[np.int64]:
    """Number of the combination of sizes of each row, (n_rows,)."""
    known = [values for role, values in rows.sizes.items() if role not in MEASURED]
    sizes = np.stack(known or list(rows.sizes.values()), axis=1)
    return np.unique(sizes, axis=0, return_inverse=True)[1].ravel()


def _groups_that_vary(groups: NDArray[np.int64], cells: pd.Series | pd.DataFrame) -> Mask:
    """Whether each group has rows with different cells, (n_groups,)."""
    counts = cells.groupby(groups).nunique()
    return (counts.to_numpy().reshape(len(counts), -1) > 1).any(axis=1)


def _collinear(rows: Rows) -> list[Finding] | str:
    """Columns that vary together, such as D = 20 N."""
    names = [role for role in ("n_params", "n_tokens", "n_unique_tokens") if role in rows.sizes]
    if len(names) < 2:
        return "fewer than two columns of sizes"
    found = []
    for i, one in enumerate(names):
        for other in names[:i]:
            first, second = rows.sizes[other], rows.sizes[one]
            used = (first > 0) & (second > 0) & np.isfinite(rows.loss)
            log_first, log_second = np.log(first[used]), np.log(second[used])
            if used.sum() < 3 or np.ptp(log_first) == 0 or np.ptp(log_second) == 0:
                continue
            correlation = float(np.corrcoef(log_first, log_second)[0, 1])
            if abs(correlation) <= COLLINEAR:
                continue
            ratio = np.exp(log_second - log_first)
            fixed = np.ptp(ratio) < 0.05 * ratio.mean()
            a, b = rows.roles[other], rows.roles[one]
            what = f"{b} = {np.median(ratio):.3g} {a} in every row" if fixed else (
                f"{a} and {b} vary together (correlation of their logs {correlation:.3f})"
            )  # fmt: skip
            found.append(
                Finding(
                    kind="collinear design",
                    sentence=f"{what}, so their effects cannot be distinguished.",
                    remedy=f"Add runs that vary one at a fixed value of the other, such as a "
                    f"quarter and four times the {b} of some sizes; until then use one column or "
                    "tied_chinchilla.",
                )
            )
    return found


def _duplicates(rows: Rows) -> list[Finding]:
    """Rows that repeat another one exactly."""
    copies = rows.frame.duplicated(keep="first").to_numpy(dtype=bool)
    if not copies.any():
        return []
    return [
        Finding(
            kind="duplicate rows",
            sentence=f"{int(copies.sum())} row(s) repeat another row exactly "
            f"({rows.named(copies)}).",
            remedy="Drop the copies: they count twice and make intervals too narrow.",
            rows=rows.at(copies),
        )
    ]


def _one_learning_rate(rows: Rows) -> list[Finding] | str:
    """One learning rate at all sizes, which favors some of them."""
    params = rows.sizes.get("n_params")
    column = next(
        (name for name in rows.frame.columns if str(name).split(".")[-1] in LEARNING_RATES), None
    )
    if params is None or column is None:
        return f"no column {'n_params' if params is None else 'learning_rate'}"
    rates = floats(rows.frame[column])
    rates = np.unique(rates[np.isfinite(rates)])
    known = params[np.isfinite(params)]
    spread = known.max() / known.min() if len(known) and known.min() > 0 else 1.0
    if len(rates) != 1 or spread < SPREAD:
        return []
    return [
        Finding(
            kind="one learning rate",
            sentence=f"All sizes, {spread:.3g} times apart, have the same {column} {rates[0]:g}.",
            remedy="The best rate falls with size, so the exponent of N is that of the tuning too: "
            "tune it at the smallest and the largest size at least.",
        )
    ]


def _replicates(rows: Rows) -> list[Finding] | str:
    """No two runs of one size, so that the noise is unknown."""
    used = np.isfinite(rows.loss)
    keys = np.stack([values[used] for values in rows.sizes.values()], axis=1)
    if len(keys) < 3:
        return "fewer than 3 rows"
    if len(np.unique(keys, axis=0)) < len(keys):
        return []
    return [
        Finding(
            kind="no replicates",
            sentence="No size has a second run, so the noise between seeds is known only through "
            "the law.",
            remedy="Repeat one of the small sizes with two more seeds: lack of fit then shows.",
        )
    ]


def _diverged(rows: Rows) -> list[Finding]:
    """Rows without a loss, and sizes that are not positive numbers."""
    lost = np.isnan(rows.loss)
    found = []
    if lost.any():
        found.append(
            Finding(
                kind="missing values",
                sentence=f"{int(lost.sum())} of {len(lost)} rows have no {rows.y} "
                f"({rows.named(lost)}).",
                remedy="They are left out of fits. If they diverged, their sizes are judged by the "
                "luckier runs: repeat them.",
                rows=rows.at(lost),
            )
        )
    for role, values in rows.sizes.items():
        bad = ~(values > 0) & ~lost
        if bad.any() and role != "is_train":
            found.append(
                Finding(
                    kind="missing values",
                    sentence=f"{rows.roles[role]} is not a positive number in {int(bad.sum())} "
                    f"row(s) ({rows.named(bad)}).",
                    remedy="A fit refuses these rows: correct or drop them.",
                    rows=rows.at(bad),
                )
            )
    return found


CHECKS = {
    "units": _units,
    "missing values": _diverged,
    "repetitions": _repetitions,
    "best before last": _best_before_last,
    "searched settings": _settings,
    "mixed experiments": _mixed,
    "collinear design": _collinear,
    "one learning rate": _one_learning_rate,
    "shared runs": _shared_runs,
    "duplicate rows": _duplicates,
    "no replicates": _replicates,
}
"""The checks by the kind of their findings."""

IN_WARNINGS = frozenset({"collinear design", "shared runs", "duplicate rows", "missing values"})
"""Kinds that the warnings of a fit state too."""
