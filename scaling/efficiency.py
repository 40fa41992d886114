"""Data efficiency: the amount of data with which a reference recipe would reach a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.results import markup, report
from scaling.results.result import FitResult
from scaling.uncertainty.family import model_predictions

Array = NDArray[np.float64]

SEARCHED = (1e-2, 1e8)
"""Range of multipliers searched for the ends of an interval."""
STEPS, FINER = 41, 6
"""Points over that range, and subdivisions of the two steps in which the band crosses the loss."""


@dataclass(frozen=True, kw_only=True)
class DataEfficiency:
    """Factor by which a reference recipe would need more data to reach a loss.

    Attributes:
        multiplier: D'/D, with D' the data at which the reference law reaches the loss; infinite if
            the loss is at or below the asymptote of the law.
        interval: confidence interval of the multiplier whatever smooth decreasing data law holds.
        if_law_holds: the narrower interval that trusts the fitted law.
        tokens: D', in the units of `at`.
        loss: the loss to reach.
        at: D, the data with which the better recipe reached it.
        level: confidence level of the interval.
        message: why the multiplier or its upper end is infinite; empty if both are finite.
    """

    multiplier: float
    interval: tuple[float, float]
    if_law_holds: tuple[float, float]
    tokens: float
    loss: float
    at: float
    level: float
    message: str

    def __str__(self) -> str:
        low, high = self.interval
        trusting = f"if the law holds [{self.if_law_holds[0]:.3g}, {self.if_law_holds[1]:.3g}]"
        text = (
            f"{self.multiplier:.3g}x [{low:.3g}, {high:.3g}] the data of {self.at:.3g}; {trusting}"
        )
        return f"{text}. {self.message}" if self.message else text

    def _repr_html_(self) -> str:
        found = [
            ("multiplier", report.ranged(self.multiplier, self.interval)),
            ("if the law holds", report.ranged(self.multiplier, self.if_law_holds)),
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
    """Data multiplier of loss L2 over loss L1 on a data law E + A / D^alpha.

    ((L1 - E) / (L2 - E))^(1/alpha).

    Args:
        reference_loss: L1, the loss of the reference recipe.
        loss: L2, the lower loss to reach.
        asymptote: E of the data law.
        exponent: alpha of the data law.

    Returns:
        The factor of data; infinite if L2 is at or below the asymptote.

    Raises:
        ValueError: the reference loss is not above the asymptote, or the exponent not above 0.

    Source:
        Kim et al. 2025, arXiv 2509.14786.
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
    """Factor of data that the reference recipe needs, relative to `at`, to reach `loss`.

    Args:
        data_law: fit of law "power" to the losses of the reference recipe against its data.
        loss: the loss that the better recipe reaches with `at`.
        at: data of the better recipe, in the units of the fitted column.
        loss_interval: confidence interval of the loss; the interval of the multiplier then covers
            both ends, which is conservative.
        level: confidence level of the interval, between 0 and 1.

    Returns:
        The multiplier with its interval.

    Raises:
        ValueError: the fit is of another law, `loss` or `at` is not a positive number,
            `loss_interval` does not contain the loss, or the level is out of range.

    Source:
        Kim et al. 2025, arXiv 2509.14786.
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
        raise ValueError(f"`loss_interval` {loss_interval!r} must contain the loss {loss!r}")
    multiplier = tokens / at

    def around(ends: tuple[float, float]) -> tuple[float, float]:
        return min(ends[0], multiplier), max(ends[1], multiplier)

    own = around(_ends(data_law, best, worst, at, level))
    wider = around(_ends_of_family(data_law, best, worst, at, level))
    if not data_law.problem.scales_are_units:  # else the law is rejected, and so is its interval
        wider = min(own[0], wider[0]), max(own[1], wider[1])
    message = ""
    if np.isinf(multiplier):
        message = (
            f"The loss {loss:.4g} lies at or below the asymptote {values[0]:.4g} of the data law: "
            "no amount of data reaches it with the reference recipe."
        )
    elif np.isinf(wider[1]):
        message = (
            "The upper end is infinite: the interval includes data laws whose asymptote is above "
            "this loss."
        )
    return DataEfficiency(
        multiplier=multiplier,
        interval=wider,
        if_law_holds=own,
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
    """Ends of the interval if the law holds: quantiles over its draws, or those of its band."""
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

    return _passed_by(edges, best, worst)


def _ends_of_family(
    data_law: FitResult, best: float, worst: float, at: float, level: float
) -> tuple[float, float]:
    """Ends of the interval under all laws of the family, see `scaling.uncertainty.family`."""
    role = data_law.law.columns[0]

    def edges(factors: Array) -> Array:
        new = {role: at * factors}
        return np.stack(model_predictions(data_law.problem, data_law.coordinates, new, level))

    return _passed_by(edges, best, worst)


def _passed_by(edges: Callable[[Array], Array], best: float, worst: float) -> tuple[float, float]:
    """Multipliers at which the lower edge of a band passes `worst`, and the upper edge `best`.

    The loss falls with data, so the data that reach it lie, at the level of the band, between them.

    Args:
        edges: lower and upper edge (2, n) of the band at multipliers (n,).
        best: lower end of the loss to reach.
        worst: its upper end.
    """
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
    """Factors (k,) inside the step at whose end `passed` first becomes true."""
    first = int(passed.argmax())
    if first == 0:
        return np.empty(0)
    return np.geomspace(factors[first - 1], factors[first], FINER + 1)[1:-1]


def _crossing(factors: Array, edge: Array, passed: NDArray[np.bool_], loss: float) -> float:
    """Multiplier at which an edge of the band passes the loss; 0 or infinite if out of range."""
    if not passed.any():
        return float("inf")
    first = int(passed.argmax())
    return 0.0 if first == 0 else _between(factors, edge, first, loss)


def _between(factors: Array, edge: Array, index: int, loss: float) -> float:
    """Multiplier at which an edge of the band equals the loss, between two neighbouring sizes."""
    before, after = edge[index - 1], edge[index]
    share = (before - loss) / (before - after) if before != after else 0.5
    return float(factors[index - 1] * (factors[index] / factors[index - 1]) ** share)
