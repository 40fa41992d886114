"""The page of `datawall worth`: the answer, the losses, and how they came about."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from experiments.analysis.intervals import Estimate, mean_estimate
from experiments.planner.worth import STOCK, Worth
from experiments.planner.worth_texts import WorthTexts
from experiments.planner.worth_words import limits, remedy, verdict
from experiments.report.report import Drawing, open_template
from experiments.runs.files import write_text
from experiments.runs.rows import provenance

COLUMNS = {
    "share": "synthetic share",
    "real": "real tokens",
    "synthetic": "unique synthetic tokens",
    "decay": "weight decay",
    "loss": "loss",
    "gain": "gain",
    "worth": "worth",
}
"""Columns of the table of arms, after the name of the arm."""


def write_worth_page(
    worth: Worth, texts: WorthTexts, drawing: Drawing, *, command: str, path: Path
) -> None:
    """Write the page of a measurement, one HTML file without external resources.

    Args:
        worth: the result.
        texts: the texts that it was measured on.
        drawing: of the losses, a PNG and the table of runs.
        command: what repeats the measurement.
        path: of the page.
    """
    page = open_template("worth.html").render(
        answer=verdict(worth),
        remedy=remedy(worth),
        settings=worth.settings,
        drawing=drawing,
        columns=COLUMNS,
        rows=_rows(worth),
        limits=limits(worth, has_oracle=texts.has_oracle),
        written=_written(texts),
        facts=_facts(worth, texts, command),
    )
    write_text(path, page)


def _rows(worth: Worth) -> list[dict[str, str]]:
    shares = worth.runs.groupby("arm")["share"].first()
    return [
        {
            **{key: f"{value:,}" if isinstance(value, int) else str(value) or "-"
               for key, value in row.items()},
            "share": f"{shares[row['arm']]:.1%}",
            "loss": _loss(mean_estimate(worth.losses(row["arm"]))),
            "worth": "1x, by definition" if row["arm"] == STOCK else row["worth"] or "-",
        }
        for row in worth.table().to_dict("records")
    ]  # fmt: skip


def _loss(loss: Estimate) -> str:
    return f"{loss.value:.3f} [{loss.low:.2f}, {loss.high:.2f}]"


def _written(texts: WorthTexts) -> list[dict[str, str]]:
    """Return a row for each method, task, writer and version of prompts of the synthetic texts."""
    n_texts, n_words = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    names = ("method", "task", "model", "prompt_version")
    for record in texts.synthetic:
        kind = tuple(str(record.metadata.get(name) or "none") for name in names)
        n_texts[kind] += 1
        n_words[kind] += len(record.text.split())
    return [
        {
            **dict(zip(("method", "task", "model", "prompts"), kind, strict=True)),
            "texts": f"{count:,}",
            "words": f"{n_words[kind]:,}",
        }
        for kind, count in sorted(n_texts.items())
    ]


def _facts(worth: Worth, texts: WorthTexts, command: str) -> dict[str, str]:
    settings, source = worth.settings, provenance()
    revision = str(source["git_revision"] or "unknown")[:12]
    packages = source["packages"]
    assert isinstance(packages, dict)
    n_runs = len(worth.runs)
    return {
        "Command": f"`{command}`",
        "Real text": f"{len(texts.real):,} documents to train on, {len(texts.validation):,} to "
        f"select weight decay and the best arm on, {len(texts.test):,} to report losses on",
        "Synthetic text": f"{len(texts.synthetic):,} texts from documents to train on"
        + f"; {texts.n_left_out:,} from held-out documents left out" * bool(texts.n_left_out)
        + ". A draw reads those whose sources lie in its stock.",
        "Stock": f"{settings.n_stock:,} real tokens, {settings.n_draws} draws",
        "Model": f"{worth.n_params:,} parameters without embeddings: width {settings.width}, "
        f"{settings.n_layers} layers, context {settings.context}",
        "Budget of an arm": f"{settings.n_steps:,} steps, {settings.n_tokens:,} tokens "
        f"({settings.epochs} epochs of the stock), learning rate {settings.learning_rate:g}",
        "Reported runs": f"{n_runs}, besides those that weight decay was selected with on the "
        "first draw; their ids are in the table of runs below the figure",
        "Code": revision + (" with local changes" if source["git_dirty"] else ""),
        "Software": f"Python {source['python']}, "
        + ", ".join(f"{name} {version}" for name, version in packages.items()),
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
