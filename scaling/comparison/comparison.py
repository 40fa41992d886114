"""`Comparison`: laws by hold-out error, the spread of their asymptotes, and their average."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scaling.comparison.directions import Direction, direction_values, sizes_at
from scaling.forecast import average
from scaling.results import markup
from scaling.results.fitted import Fitted
from scaling.results.report import number, span
from scaling.uncertainty.profiles import check_level, student

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

EQUAL = 0.05
"""A law is about as good as the best one if it has a smaller error in this share of resamples."""
LARGEST_DEVIATION = 1.0
"""Largest deviation of a law from the average, in ln(loss), that the interval reckons with."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A law with its fit to all rows and its hold-out errors.

    Attributes:
        fit: the fit to all rows, with sandwich intervals.
        errors: direction -> root mean square of ln(prediction / loss) on the rows held out; a
            direction is missing where the rows inside cannot identify the law.
    """

    fit: Fitted
    errors: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Laws judged beyond the rows they were fitted to.

    Attributes:
        judgements: the laws that could be fitted.
        directions: the hold-outs.
        weights: direction -> weight of each law in the average, (n_laws,); they sum to one.
        open_weights: direction -> mean of these weights over resamples of the held-out rows.
        equals: direction -> share of resamples in which each law has a smaller error than the best
            law on all held-out rows, (n_laws,); 1 for that law.
        average_errors: direction -> error of the average on the rows from which its weights come.
        failed: law -> why it could not be fitted.
        skipped: direction -> why it has no hold-out.
        roles: role -> column of the table.
        y: loss column.
        sizes: role -> values (n_rows,).
        observed: losses (n_rows,).
        left_out: number of rows without a loss.
    """

    judgements: tuple[Judgement, ...]
    directions: tuple[Direction, ...]
    weights: dict[str, Array]
    open_weights: dict[str, Array]
    equals: dict[str, Array]
    average_errors: dict[str, float]
    failed: dict[str, str]
    skipped: dict[str, str]
    roles: dict[str, str]
    y: str
    sizes: dict[str, Array] = field(repr=False)
    observed: Array = field(repr=False)
    left_out: int

    @property
    def title(self) -> str:
        """One line: what the table shows."""
        return f"error in % of {self.y} on the largest runs, held out; {len(self.observed)} rows"

    @property
    def names(self) -> list[str]:
        """Names of the laws."""
        return [one.fit.law.name for one in self.judgements]

    def best(self, direction: str) -> str:
        """The law with the smallest error in a direction."""
        known = {one.fit.law.name: one.errors.get(direction, np.inf) for one in self.judgements}
        return min(known, key=lambda name: known[name])

    def about_as_good(self, direction: str) -> list[str]:
        """The best law in a direction, and those that the held-out rows cannot rank below it."""
        share = self.equals[direction]
        return [name for name, wins in zip(self.names, share, strict=True) if wins >= EQUAL]

    def table(self) -> pd.DataFrame:
        """A row per law, the best on average first.

        Returns:
            A table with columns law, parameters (their number), an error per direction, weight
            (mean over the directions), asymptote, low and high (its 95 % interval if the law
            holds).
        """
        mean = np.mean(list(self.weights.values()), axis=0)
        rows = []
        for k, one in enumerate(self.judgements):
            law = one.fit.law
            low, high = (np.nan, np.nan)
            if law.asymptote is not None:
                low, high = one.fit.interval(law.asymptote)
            rows.append(
                {
                    "law": law.name,
                    "parameters": one.fit.problem.n_free,
                    **{d.name: one.errors.get(d.name, np.nan) for d in self.directions},
                    "weight": float(mean[k]),
                    "asymptote": one.fit.asymptote,
                    "low": low,
                    "high": high,
                }
            )
        found = pd.DataFrame(rows)
        score = np.log(found[[d.name for d in self.directions]]).mean(axis=1, skipna=False)
        return found.loc[score.sort_values().index].reset_index(drop=True)

    def asymptote(self, level: float = 0.95) -> tuple[float, float, float]:
        """Asymptote of the average, and an interval that contains the choice of law.

        The interval is that of a mixture of the laws, each with its own error, weighted by their
        mean weight over resamples. It knows only these laws: for one that holds whatever the law
        is, see `FitResult.interval(method="model")`.

        Args:
            level: confidence level, between 0 and 1.

        Returns:
            (value, low, high); NaN if no law has an asymptote.
        """
        check_level(level)
        laws = [k for k, one in enumerate(self.judgements) if one.fit.law.asymptote is not None]
        chance = np.mean(list(self.open_weights.values()), axis=0)[laws]
        if not laws or chance.sum() <= 0:
            return np.nan, np.nan, np.nan
        places = np.linspace(-4.0, 4.0, 401)
        density = np.exp(-0.5 * places**2)
        values, masses = [], []
        for k, weight in zip(laws, chance / chance.sum(), strict=True):
            fit = self.judgements[k].fit
            low, high = fit.interval(str(fit.law.asymptote))
            side = np.where(places < 0, fit.asymptote - low, high - fit.asymptote)
            values.append(fit.asymptote + places * side / student(0.95, 10**9))
            masses.append(weight * density / density.sum())
        every, mass = np.nan_to_num(np.concatenate(values), nan=0.0), np.concatenate(masses)
        order = np.argsort(every)
        steps = np.cumsum(mass[order])
        ends = np.searchsorted(steps, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
        low, high = every[order][np.minimum(ends, len(every) - 1)]
        mean = float(chance @ [self.judgements[k].fit.asymptote for k in laws] / chance.sum())
        return mean, float(max(min(low, mean), 0.0)), float(max(high, mean))

    def predict(self, frame: pd.DataFrame | Mapping[str, Any], level: float = 0.95) -> pd.DataFrame:
        """Predictions of the average of the laws, with intervals that contain the choice of law.

        A row uses the weights of the direction in which it lies furthest beyond the table, in units
        of what was tested there; a row inside the table uses the mean of all weights. The interval
        combines the disagreement of the laws with the error of the average on the held-out rows.

        Args:
            frame: sizes, with the columns of the table.
            level: confidence level, between 0 and 1.

        Returns:
            A row per row of `frame`, columns mean, low, high, direction ("inside" or the name) and
            beyond (how far it lies outside in that direction, as a factor on the largest value).

        Raises:
            ValueError: a column is missing or holds bad values, or a level outside (0, 1).
        """
        check_level(level)
        if not isinstance(frame, pd.DataFrame):
            frame = pd.DataFrame({k: np.atleast_1d(np.asarray(v)) for k, v in frame.items()})
        sizes = sizes_at(frame, self.needed_roles)
        logs = np.stack([self._log_prediction(one, sizes) for one in self.judgements])
        where, beyond = self._placed(sizes)
        mean, spread = np.empty(len(frame)), np.empty(len(frame))
        for place in np.unique(where):
            rows = where == place
            weights, chances, error = self._weighted(int(place))
            centre = average(logs[:, rows], weights)
            apart = np.clip(logs[:, rows] - centre, -LARGEST_DEVIATION, LARGEST_DEVIATION)
            mean[rows], spread[rows] = centre, np.hypot(np.sqrt(chances @ apart**2), error)
        reach = student(level, len(self.judgements)) * spread
        names = np.array(["inside", *(d.name for d in self.directions)])
        return pd.DataFrame(
            {
                "mean": np.exp(mean),
                "low": np.exp(mean - reach),
                "high": np.exp(mean + reach),
                "direction": names[where + 1],
                "beyond": beyond,
            },
            index=frame.index,
        )

    @property
    def needed_roles(self) -> dict[str, str]:
        """Role -> column, of the roles that a law or direction reads."""
        read = {role for one in self.judgements for role in one.fit.law.columns}
        return {role: column for role, column in self.roles.items() if role in read}

    @np.errstate(all="ignore")
    def _log_prediction(self, one: Judgement, sizes: Mapping[str, Array]) -> Array:
        columns = {one.fit.problem.table.names[r]: sizes[r] for r in one.fit.law.columns}
        return np.log(np.clip(one.fit.evaluate(pd.DataFrame(columns)), 1e-300, 1e300))

    def _placed(self, sizes: Mapping[str, Array]) -> tuple[NDArray[np.int64], Array]:
        """Number of the direction of each row, -1 inside the table, and how far it is beyond."""
        count = len(next(iter(sizes.values())))
        furthest, where, beyond = np.zeros(count), np.full(count, -1), np.ones(count)
        for k, direction in enumerate(self.directions):
            values = direction_values(direction.name, sizes)
            if values is None:
                continue
            out = np.log(values / direction.largest) / np.log(direction.reach)
            taken = out > furthest + 1e-12
            furthest[taken], where[taken] = out[taken], k
            beyond[taken] = values[taken] / direction.largest
        return where, beyond

    def _weighted(self, place: int) -> tuple[Array, Array, float]:
        """Weights (n_laws,), mean weights over resamples (n_laws,) and error of the average."""
        if place >= 0:
            name = self.directions[place].name
            return self.weights[name], self.open_weights[name], self.average_errors[name]
        weights = np.mean(list(self.weights.values()), axis=0)
        chances = np.mean(list(self.open_weights.values()), axis=0)
        return weights, chances, float(np.median(list(self.average_errors.values())))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Plot of the hold-out error of each law in each direction, on a logarithmic axis.

        Args:
            ax: axes to draw on; new ones by default.

        Returns:
            The axes.
        """
        from scaling.comparison.plotting import plot_errors

        return plot_errors(self.table(), self.average_errors, self.y, ax)

    def rows(self) -> list[tuple[str, ...]]:
        """The table as text: a header, then a row per law and one for the average."""
        header = ("law", "parameters", *(d.name for d in self.directions))
        found = [(*header, "weight", "E", "95 % if it holds")]
        table = self.table()
        for row in table.to_dict("records"):
            cells = [_percent(row[d.name]) for d in self.directions]
            ends = span((row["low"], row["high"])) if row["asymptote"] > 0 else ""
            asymptote = number(row["asymptote"]) if np.isfinite(row["asymptote"]) else ""
            found.append(
                (
                    row["law"],
                    str(row["parameters"]),
                    *cells,
                    f"{row['weight']:.2f}",
                    asymptote,
                    ends,
                )
            )
        value, low, high = self.asymptote()
        cells = [_percent(self.average_errors[d.name]) for d in self.directions]
        whole = (number(value), span((low, high))) if np.isfinite(value) else ("", "")
        found.append(("average", "", *cells, "", *whole))
        return found

    def sentences(self) -> list[str]:
        """What the table says, and what was left out, a sentence each."""
        found = []
        for direction in self.directions:
            name = direction.name
            best, others = self.best(name), self.about_as_good(name)
            equal = [other for other in others if other != best]
            rivals = f"; not distinguishable: {', '.join(equal)}" if equal else ""
            found.append(
                f"{name}: {int(direction.outside.sum())} of {len(self.observed)} rows held out, up "
                f"to {direction.reach:.3g} times the fitted ones; best is {best}{rivals}."
            )
        good = {name for d in self.directions for name in self.about_as_good(d.name)}
        values = [
            one.fit.asymptote
            for one in self.judgements
            if one.fit.law.name in good and one.fit.law.asymptote is not None
        ]
        if len(values) > 1:
            found.append(
                f"E of the {len(values)} laws that are best in some direction, or not "
                f"distinguishable from the best: {number(min(values))} to {number(max(values))}."
            )
        found.append(
            "weight: of the law in the average, whose error is optimistic: it is that of the rows "
            f"that chose its weights. E: {self.y} in the limit of infinite sizes."
        )
        zero = [one.fit.law.name for one in self.judgements if one.fit.asymptote == 0.0]
        if zero:
            found.append(
                f"E of {', '.join(zero)} is at its bound 0, so it has no interval: the table does "
                "not identify it."
            )
        if self.left_out:
            found.append(f"{self.left_out} rows have no {self.y} and are left out.")
        found += [f"Direction {name} {reason}." for name, reason in self.skipped.items()]
        found += [f"Law {name} was not fitted: {reason}." for name, reason in self.failed.items()]
        return found

    def summary(self) -> str:
        """Text table of errors, weights and asymptotes, then what it says."""
        table = self.rows()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = [self.title]
        lines += ["  ".join(c.rjust(w) for c, w in zip(r, widths, strict=True)) for r in table]
        return "\n".join([*lines, *self.sentences()])

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON types."""
        value, low, high = self.asymptote()
        return {
            "rows": len(self.observed),
            "columns": dict(self.roles),
            "y": self.y,
            "laws": self.table().to_dict("records"),
            "directions": {
                d.name: {
                    "rows_outside": int(d.outside.sum()),
                    "reach": d.reach,
                    "best": self.best(d.name),
                    "about_as_good": self.about_as_good(d.name),
                    "weights": dict(zip(self.names, self.weights[d.name].tolist(), strict=True)),
                    "average_error": self.average_errors[d.name],
                }
                for d in self.directions
            },
            "average": {"asymptote": value, "low": low, "high": high},
            "parameters": {one.fit.law.name: one.fit.params for one in self.judgements},
            "failed": dict(self.failed),
            "skipped": dict(self.skipped),
        }

    def _repr_html_(self) -> str:
        header, *rows = self.rows()
        return markup.fragment(
            self.title, tables=[markup.table(header, rows)], notes=self.sentences()
        )

    def __str__(self) -> str:
        return self.summary()


def _percent(error: float) -> str:
    return "" if np.isnan(error) else f"{100 * error:.2f}"
