"""`FitResult`: a fit that reports, plots and saves itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling.laws.laws import Law
from scaling.results import report, storage
from scaling.results.fitted import AssessedFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class FitResult(AssessedFit):
    """A fitted law: parameters, intervals, predictions, reports, plots and files.

    Attributes:
        params: printed parameters by name.
        stderr: their standard errors, from the bootstrap draws if there are any, else from the
            Hessian (method "profile") or the sandwich covariance.
        objective: sum of the weighted row losses at the optimum.
        status: how far the fit can be trusted.
        message: the status in a sentence about this fit.
        warnings: problems that do not prevent a fit, one sentence each.
        method: default interval method: "bootstrap", "profile" or "sandwich".
        draws: the bootstrap draws, if any.
        problem: the fitted law, table and loss.
        coordinates: the optimum in the problem's internal coordinates, [n_parameters].
        asymptote_interval: 95 % interval of the asymptote if the law holds, by `method`; None for a
            law without an asymptote.
        model_interval: 95 % interval of the asymptote whatever smooth decreasing law holds, on
            which the status rests; None where the law has no family of alternatives.
        seconds: wall-clock time of the fit.
        seed: random seed of the draws.
    """

    def summary(self) -> str:
        """Text table of the parameters with intervals, then status and warnings."""
        return report.summary(self)

    def plot(self, ax: Axes | None = None, **options: Any) -> Axes:
        """Plot of data, fit and interval, with the extrapolation dashed.

        Args:
            ax: axes to draw on; new ones by default.
            options: see `scaling.results.plotting.plot_fit`.

        Returns:
            The axes.
        """
        from scaling.results.plotting import plot_fit

        return plot_fit(self, ax, **options)

    def _repr_html_(self) -> str:
        return report.html(self)

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON types, complete enough to rebuild it."""
        return storage.to_dict(self)

    def to_json(self, path: str | Path | None = None) -> str:
        """The result as JSON text, which is also written to `path` if given."""
        text = json.dumps(self.to_dict(), allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    @staticmethod
    def from_json(path: str | Path, law: Law | None = None) -> FitResult:
        """Result read from a file written by `to_json`.

        Args:
            path: the file.
            law: the fitted law, if it is not in `LAWS`.

        Raises:
            ValueError: the file is not such a result, or its law is unknown.
        """
        return FitResult(**storage.read(Path(path), law))
