"""`compare_laws`: which law predicts the largest runs of a table best, and an average of all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.comparison.comparison import Comparison, Judgement
from scaling.comparison.directions import DIRECTIONS, Direction, column_roles, hold_out, sizes_at
from scaling.comparison.judged import judge
from scaling.comparison.stacking import resampled, stacking_weights
from scaling.fitting.dependence import run_column
from scaling.fitting.losses import get_loss
from scaling.fitting.table import check_columns, numbers, without_loss
from scaling.laws.laws import Law
from scaling.laws.registry import LAWS, get_law

Array = NDArray[np.float64]

SIZES = ("n_params", "n_tokens", "n_unique_tokens", "n_members")
"""If two or more of these columns vary, laws that read only one of them are not compared."""


@np.errstate(all="ignore")  # as in `fit_law`
def compare_laws(
    frame: pd.DataFrame,
    laws: Sequence[str | Law] | None = None,
    *,
    x: Sequence[str] | Mapping[str, str] | None = None,
    y: str = "loss",
    directions: Sequence[str] | None = None,
    share: float = 0.25,
    loss: str = "huber_log",
    delta: float | None = None,
    groups: str | bool | None = None,
    seed: int = 0,
) -> Comparison:
    """Laws compared by how well they predict the largest runs from the others.

    In each direction, the rows at the end are held out, every law is fitted to the others, and its
    error is the root mean square of ln(prediction / loss) outside. The average of the laws has the
    weights with which it would have predicted the held-out rows best; its interval contains the
    disagreement of the laws, weighted by how often each is chosen if rows are resampled.

    Args:
        frame: a row per run. Rows without a loss (diverged runs) are left out.
        laws: names or `Law`s; by default all whose columns the table has, except those of one
            column where two of n_params, n_tokens, n_unique_tokens and n_members vary.
        x: columns of n_params, n_tokens and n_unique_tokens in this order; an entry "role=column",
            or a mapping, names another role. By default the names of the roles.
        y: loss column.
        directions: "compute" (N D), "repetitions" (D / U) or a role such as "n_params". By default
            compute, n_params, n_tokens and repetitions, where the table has them and they vary,
            else the columns that do.
        share: share of the rows to hold out in each direction.
        loss: row loss of the fits, as in `fit_law`.
        delta: its transition, as in `fit_law`.
        groups: column of runs, which are resampled as wholes; by default and False as in `fit_law`.
        seed: random seed of the resampling.

    Returns:
        The comparison: a table of errors, weights and asymptotes, and predictions of the average.

    Raises:
        ValueError: a law, column or direction is unknown, a direction asked for by name has too few
            rows outside, or no law can be fitted; the message says why, for each law.

    Source:
        Hold-out at the end of a curve: Alabdulmohsin et al. 2022, arXiv 2209.06640; weights:
        Breiman 1996, Stacked regressions.
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"`share` must lie between 0 and 1; not {share!r}")
    get_loss(loss)
    roles = column_roles(frame, x)
    check_columns(frame, y)
    without = without_loss(frame[y])
    kept = frame[~without]
    if kept.empty:
        raise ValueError(f"no row has a {y}")
    columns = sizes_at(kept, roles)
    observed = numbers(kept[y], y, positive=True)
    chosen = _chosen_laws(laws, columns, roles)
    found, skipped = _directions(directions, columns, share)
    names = [[roles[role] for role in law.columns] for law in chosen]
    if groups is None:
        groups = run_column(kept, chosen[0], x=names[0], y=y)
    label = groups if isinstance(groups, str) else None
    judgements, errors, failed = [], [], {}
    for law, own in zip(chosen, names, strict=True):
        try:
            fit, outside = judge(kept, law, own, y, found, loss=loss, delta=delta, groups=label)
        except ValueError as error:
            failed[law.name] = str(error)
            continue
        judgements.append(Judgement(fit=fit, errors={k: _rms(v) for k, v in outside.items()}))
        errors.append(outside)
    if not judgements:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
        raise ValueError(f"no law can be fitted to this table: {reasons}")
    units = np.arange(len(kept)) if label is None else pd.factorize(kept[label])[0]
    weights, open_weights, equals, averages = {}, {}, {}, {}
    for direction in found:
        judged = [k for k, own in enumerate(errors) if direction.name in own]
        if not judged:
            skipped[direction.name] = "has too few rows inside for every law"
            continue
        matrix = np.stack([errors[k][direction.name] for k in judged])
        blocks = np.unique(units[direction.outside], return_inverse=True)[1].ravel()
        best = stacking_weights(matrix)
        mean, wins = resampled(matrix, blocks, seed)
        weights[direction.name] = _spread_out(best, judged, len(errors))
        open_weights[direction.name] = _spread_out(mean, judged, len(errors))
        equals[direction.name] = _spread_out(wins, judged, len(errors))
        averages[direction.name] = _rms(best @ matrix)
    return Comparison(
        judgements=tuple(judgements),
        directions=tuple(one for one in found if one.name in weights),
        weights=weights,
        open_weights=open_weights,
        equals=equals,
        average_errors=averages,
        failed=failed,
        skipped=skipped,
        roles=roles,
        y=y,
        sizes=columns,
        observed=observed,
        left_out=int(without.sum()),
    )


def _rms(errors: Array) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def _spread_out(values: Array, places: list[int], count: int) -> Array:
    """Values (n_judged,) at their places among all laws, (n_laws,), zero elsewhere."""
    full = np.zeros(count)
    full[places] = values
    return full


def _chosen_laws(
    laws: Sequence[str | Law] | None, columns: Mapping[str, Array], roles: Mapping[str, str]
) -> list[Law]:
    if laws is not None:
        chosen = [get_law(law) for law in ([laws] if isinstance(laws, str | Law) else laws)]
        for law in chosen:
            missing = [role for role in law.columns if role not in columns]
            if missing:
                raise ValueError(
                    f"law {law.name!r} needs columns {', '.join(law.columns)}; the table has no "
                    f"{', '.join(missing)} (it has {', '.join(roles)}); name columns with `x`"
                )
        if not chosen:
            raise ValueError(f"`laws` is empty; allowed are {', '.join(LAWS)}")
        return chosen
    varying = [role for role in SIZES if role in columns and np.ptp(columns[role]) > 0]
    least = min(len(varying), 2)
    possible = [law for law in LAWS.values() if set(law.columns) <= columns.keys()]
    chosen = [law for law in possible if len(set(law.columns) & set(varying)) >= least]
    chosen = chosen or possible
    if not chosen:
        raise ValueError(
            f"no law reads only {', '.join(roles)}; laws and their columns: "
            + "; ".join(f"{law.name}: {', '.join(law.columns)}" for law in LAWS.values())
        )
    return chosen


def _directions(
    asked: Sequence[str] | None, columns: Mapping[str, Array], share: float
) -> tuple[list[Direction], dict[str, str]]:
    """Hold-outs, and the directions without one with the reason."""
    allowed = [*DIRECTIONS, *(role for role in columns if role not in DIRECTIONS)]
    names = [asked] if isinstance(asked, str) else list(allowed if asked is None else asked)
    found: list[Direction] = []
    skipped: dict[str, str] = {}
    for name in names:
        if name not in allowed:
            raise ValueError(
                f"a direction must be one of {', '.join(map(repr, allowed))}; not {name!r}"
            )
        one = hold_out(name, columns, share)
        if isinstance(one, Direction):
            if asked is None and name not in DIRECTIONS and found:
                continue
            found.append(one)
        elif asked is not None:
            raise ValueError(f"direction {name!r} {one}")
        else:
            skipped[name] = one
    if not found:
        reasons = "; ".join(f"{name} {reason}" for name, reason in skipped.items())
        raise ValueError(f"no direction leaves rows to judge laws by: {reasons}")
    return found, skipped
