"""`datawall forecast`: a curve continued beyond its largest size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments.cli.laws.common import print_lines, print_table, save_figure, save_json, timed
from experiments.cli.options import OutputOptions, RowOptions, readable
from experiments.cli.output import check_outputs, print_json

if TYPE_CHECKING:
    import pandas as pd

DOUBLINGS = (2.0, 4.0, 8.0)
"""Sizes forecast by default, as factors on the largest one."""


@readable
@dataclass(frozen=True, kw_only=True)
class ForecastCommand(RowOptions, OutputOptions):
    """Forecast a curve in one column beyond its end, by an average of laws weighted by hold-out."""

    table: Annotated[Path, tyro.conf.Positional]
    """CSV, TSV, JSON lines or parquet with one row per point of the curve."""
    x: str = "n_params"
    """Column of sizes, tokens or steps."""
    y: str = "loss"
    """Column of the loss."""
    at: tuple[str, ...] = ()
    """Sizes, such as 7B 70B; by default 2, 4 and 8 times the largest one."""
    level: float = 0.95
    """Level of the intervals."""

    def run(self) -> int:
        """Forecast; print, draw and save the forecast."""
        from experiments.display.quantities import human, parse_quantity
        from scaling import forecast
        from scaling.results.report import number, span

        check_outputs(self.plot, self.out, self.table)
        asked = [parse_quantity(text, name="--at") for text in self.at]
        frame = self.read(self.table)
        found = timed(
            f"forecasting {self.y} from {len(frame):,} rows",
            lambda: forecast(frame, self.x, self.y),
        )
        sizes = asked or [factor * found.x_max for factor in DOUBLINGS]
        predicted = found.predict(sizes, self.level)
        predicted.insert(0, self.x, sizes)
        answer = {
            "x": self.x,
            "y": self.y,
            "level": self.level,
            "hold_out_error": found.hold_out_error,
            "forecast": predicted.to_dict("records"),
            "candidates": found.table()[["law", "window", "error", "weight"]].to_dict("records"),
        }
        save_figure(self.plot, lambda ax: _draw(ax, frame, predicted, self.x, self.y), predicted)
        save_json(self.out, answer)
        if self.json:
            print_json(answer)
            return 0
        print_lines(found.summary().split("\n"))
        if frame[self.x].duplicated().any():
            text = (
                f"warning: {len(frame)} rows have {frame[self.x].nunique()} values of {self.x}: "
                "several curves are taken for one; choose one with `--where` column=value."
            )
            print_lines([text], style="yellow")
        level = f"{100 * self.level:g} %"
        print_table(
            (self.x, self.y, f"{level} of points", f"{level} of whole curves"),
            [
                (
                    human(row[self.x]),
                    number(row["mean"]),
                    span((row["low"], row["high"])),
                    span((row["curve_low"], row["curve_high"])),
                )
                for row in predicted.to_dict("records")
            ],
        )
        return 0


def _draw(ax: Any, frame: pd.DataFrame, predicted: pd.DataFrame, x: str, y: str) -> None:
    ax.plot(frame[x], frame[y], "o", color="0.4", markersize=4, label="table")
    ax.plot(predicted[x], predicted["mean"], "s--", color="#0072B2", label="forecast")
    ax.fill_between(predicted[x], predicted["low"], predicted["high"], color="#0072B2", alpha=0.15)
    ax.set_xscale("log")
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.legend(frameon=False, fontsize=8)
