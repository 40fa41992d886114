"""Data efficiency: how much more data the reference recipe would need to match a loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.results import markup, report
from scaling.results.result import FitResult

Array = NDArray[np.float64]

SEARCHED = (1e-2, 1e8)
"""Range of multipliers in which the interval is looked for when there are no draws."""
STEPS, FINER = 41, 6
"""Steps over that range, and into how many each is cut where an edge of the band crosses."""


@dataclass(frozen=True, kw_only=True)
class DataEfficiency:
    """How many times more data the reference recipe would need.

    Attributes:
        multiplier: D'/D, with D' the data at which the reference law reaches the loss; infinite if
            the loss lies below the law's asymptote.
        interval: of the multiplier.
        tokens: D' itself, in the units of `at`.
        loss: the loss to be matched.
        at: D, the data that reached it.
        level: of the interval.
        message: a sentence when the multiplier has no finite value or end, else empty.
    """

    multiplier: float
    interval: tuple[float, float]
    tokens: float
    loss: float
    at: float
    level: float
    message: str

    def __str__(self) -> str:
        low, high = self.interval
        text = f"{self.multiplier:.3g}x [{low:.3g}, {high:.3g}] the data of {self.at:.3g}"
        return f"{text}. {self.message}" if self.message else text

    def _repr_html_(self) -> str:
        found = [
            ("multiplier", report.ranged(self.multiplier, self.interval)),
            ("loss to match", report.number(self.loss)),
            ("reached with", report.number(self.at)),
            ("the reference needs", report.number(self.tokens)),
        ]
        return markup.fragment(
            f"Data efficiency, with a {100 * self.level:g} % interval",
            tables=[markup.table(("", "value"), found)],
            notes=[self.message],
        )


def data_multiplier(reference_loss: float, loss: float, asymptote: float, exponent: float) -> float:
    """((L1 - E) / (L2 - E))^(1/alpha): the data multiplier of loss L2 over L1 on one data law.

    Kim et al. 2025 (arXiv 2509.14786). Infinite where L2 is at or below the asymptote.

    Raises:
        ValueError: the reference loss is not above the asymptote, or the exponent not above 0.
    """
    if not exponent > 0:
        raise ValueError(f"`exponent` must be above 0; not {exponent!r}")
    if not reference_loss > asymptote:
        raise ValueError(
            f"`reference_loss` must be above the asymptote {asymptote:g}; not {reference_loss!r}"
        )
    if loss <= asymptote:
        return float("inf")
    return float(((reference_loss - asymptote) / (loss - asymptote)) ** (1.0 / exponent))


def data_efficiency(
    data_law: FitResult,
    loss: float,
    at: float,
    *,
    loss_interval: tuple[float, float] | None = None,
    level: float = 0.95,
) -> DataEfficiency:
    """Times more data than `at` the reference recipe needs to reach `loss`.

    Args:
        data_law: a `power` fit of the reference recipe's loss against its data.
        loss: the loss that the better recipe reaches with `at`.
        at: its data, in the units of the fit's column.
        loss_interval: interval of the loss; the multiplier's interval then covers both its ends,
            which is conservative.
        level: of the interval.

    Raises:
        ValueError: the fit is not a `power` law, or loss, at or level are out of range.
    """
    if data_law.law.name != "power":
        raise ValueError(f"`data_law` must be a fit of law 'power'; not {data_law.law.name!r}")
    for name, value in (("loss", loss), ("at", at)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"`{name}` must be a finite number above 0; not {value!r}")
    values = [data_law.params[name] for name in ("E", "A", "alpha")]
    tokens = float(_tokens(np.array(values)[:, None], loss)[0])
    best, worst = loss_interval or (loss, loss)
    if not best <= loss <= worst:
        raise ValueError(f"`loss_interval` {loss_interval!r} must hold the loss {loss!r}")
    low, high = _ends(data_law, best, worst, at, level)
    multiplier = tokens / at
    message = ""
    if np.isinf(multiplier):
        message = (
            f"The loss {loss:.4g} lies at or below the asymptote {values[0]:.4g} of the data law: "
            "no amount of data reaches it with the reference recipe."
        )
    elif np.isinf(high):
        message = "The data law does not exclude that no amount of data reaches this loss."
    return DataEfficiency(
        multiplier=multiplier,
        interval=(min(low, multiplier), max(high, multiplier)),
        tokens=tokens,
        loss=loss,
        at=at,
        level=level,
        message=message,
    )


def _tokens(parameters: Array, loss: float) -> Array:
    """Data at which E + A/D^alpha equals `loss`, for parameters (3, k)."""
    asymptote, scale, exponent = parameters
    gap = loss - asymptote
    with np.errstate(all="ignore"):
        tokens = np.exp(np.minimum(np.log(scale / gap) / exponent, 300.0))
    return np.where(gap > 0, tokens, np.inf)


def _ends(
    data_law: FitResult, best: float, worst: float, at: float, level: float
) -> tuple[float, float]:
    """Least multiplier that may reach `worst`, and the one that surely reaches `best`.

    From quantiles of the draws, or else from the sizes at which the edges of predictions pass.
    """
    if data_law.draws is not None:
        tail = 0.5 - 0.5 * level
        reached = (_tokens(data_law.draws.parameters, loss) / at for loss in (worst, best))
        low, high = (
            np.quantile(multipliers, share, method="nearest")
            for multipliers, share in zip(reached, (tail, 1 - tail), strict=True)
        )
        return float(low), float(high)
    name = data_law.problem.table.names["n_params"]

    def edges(factors: Array) -> Array:
        return data_law.predict({name: at * factors}, level)[["low", "high"]].to_numpy().T

    # The loss falls with data: it is reached, at the level, between the sizes at which the low
    # and the high edge of the band pass it.
    factors = np.geomspace(*SEARCHED, STEPS)
    band = edges(factors)
    finer = np.unique([*_within(factors, band[0] <= worst), *_within(factors, band[1] < best)])
    if finer.size:
        factors, band = np.append(factors, finer), np.append(band, edges(finer), axis=1)
        order = np.argsort(factors)
        factors, band = factors[order], band[:, order]
    possible, certain = band[0] <= worst, band[1] < best
    return _crossing(factors, band[0], possible, worst), _crossing(factors, band[1], certain, best)


def _within(factors: Array, passed: NDArray[np.bool_]) -> Array:
    """Factors inside the step at whose end `passed` is true for the first time."""
    first = int(passed.argmax())
    if first == 0:
        return np.empty(0)
    return np.geomspace(factors[first - 1], factors[first], FINER + 1)[1:-1]


def _crossing(factors: Array, edge: Array, passed: NDArray[np.bool_], loss: float) -> float:
    """Multiplier at which a band's edge passes the loss; 0 or infinite outside the search."""
    if not passed.any():
        return float("inf")
    first = int(passed.argmax())
    return 0.0 if first == 0 else _between(factors, edge, first, loss)


def _between(factors: Array, edge: Array, index: int, loss: float) -> float:
    """Multiplier at which a band's edge equals the loss, between two neighbouring sizes."""
    before, after = edge[index - 1], edge[index]
    share = (before - loss) / (before - after) if before != after else 0.5
    return float(factors[index - 1] * (factors[index] / factors[index - 1]) ** share)
