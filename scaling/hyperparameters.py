"""Best hyperparameters as power laws of the number of parameters, of tokens and of repetitions.

    h = c * N^a * D^b * ...

is fitted by least squares to the logarithms of the values that searches found, one for each size.
These lie on grids, whose steps are part of the scatter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit


@dataclass(frozen=True, kw_only=True, eq=False)
class HyperparameterLaw:
    """A fitted power law of a hyperparameter.

    Attributes:
        target: the hyperparameter.
        variables: what it depends on.
        coefficients: [1 + n_variables], the logarithm of the hyperparameter at the mean logarithms
            of the variables, then the exponents.
        center: [n_variables], mean logarithms of the variables.
        covariance: [1 + n_variables, 1 + n_variables], of the coefficients.
        sd: standard deviation of the logarithm about the law; 0.1 is about 10 %.
        df: rows less coefficients.
    """

    target: str
    variables: tuple[str, ...]
    coefficients: np.ndarray
    center: np.ndarray
    covariance: np.ndarray
    sd: float
    df: int

    def exponents(self, level: float = 0.95) -> pd.DataFrame:
        """Return the exponents: a row a variable, columns `exponent`, `low` and `high`."""
        half = self._quantile(level) * np.sqrt(np.diag(self.covariance))[1:]
        values = self.coefficients[1:]
        columns = {"exponent": values, "low": values - half, "high": values + half}
        return pd.DataFrame(columns, index=list(self.variables))

    def predict(self, at: Mapping[str, float], level: float = 0.95) -> tuple[float, float, float]:
        """Return the best value elsewhere, with the ends of its prediction interval.

        Args:
            at: value of every variable.
            level: of the interval, which is for what one search would find.

        Raises:
            ValueError: a variable is missing or not positive.
        """
        if missing := [name for name in self.variables if not at.get(name, 0) > 0]:
            raise ValueError(f"{', '.join(missing)} must be given and be positive")
        x = np.log([float(at[name]) for name in self.variables]) - self.center
        design = np.array([1.0, *x])
        value = float(design @ self.coefficients)
        half = self._quantile(level) * np.sqrt(self.sd**2 + design @ self.covariance @ design)
        low, middle, high = np.exp([value - half, value, value + half]).tolist()
        return middle, low, high

    def _quantile(self, level: float) -> float:
        return float(stdtrit(self.df, (1 + level) / 2)) if self.df else np.inf


def fit_hyperparameter(
    frame: pd.DataFrame, target: str, variables: Sequence[str]
) -> HyperparameterLaw:
    """Return the power law of a hyperparameter.

    Args:
        frame: a row for each size with the best values found there, columns `target` and
            `variables`.
        target: such as "weight_decay".
        variables: such as ["n_params", "n_tokens"].

    Raises:
        ValueError: a column is missing, a value is not positive, there are fewer rows than
            coefficients, or the variables do not vary apart from each other.

    Source:
        For learning rate and batch size: Li et al. 2025, arXiv 2503.04715.
    """
    columns = [target, *variables]
    if missing := [name for name in columns if name not in frame]:
        raise ValueError(f"the table lacks {', '.join(missing)}; it has {', '.join(frame)}")
    values = frame[columns].to_numpy(float)
    if not (values > 0).all():
        positive = (values > 0).all(axis=0)
        wrong = [name for name, found in zip(columns, positive, strict=True) if not found]
        raise ValueError(f"{', '.join(wrong)} must be positive in every row, to have logarithms")
    y, x = np.log(values[:, 0]), np.log(values[:, 1:])
    center = x.mean(axis=0)
    design = np.column_stack([np.ones(len(y)), x - center])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError(
            f"{len(y)} rows do not determine a law of {', '.join(variables)}: it takes more rows "
            "than variables, and variables that do not follow from each other"
        )
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    df = len(y) - design.shape[1]
    sd = float(np.sqrt(np.sum((y - design @ coefficients) ** 2) / df)) if df else 0.0
    return HyperparameterLaw(
        target=target,
        variables=tuple(variables),
        coefficients=coefficients,
        center=center,
        covariance=sd**2 * np.linalg.inv(design.T @ design),
        sd=sd,
        df=df,
    )
