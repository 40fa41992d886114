"""The report: one self-contained HTML page in the order of the talk."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pandas as pd

from experiments.claims.claim import Claim, evidence, judge_claims
from experiments.display.progress import WorkProgress
from experiments.report.side_by_side import side_by_side
from experiments.runs.files import write_text
from experiments.runs.rows import provenance
from experiments.story.story import Story
from experiments.worlds.settings import read_settings
from scaling.published import talk

KEY_MARK = '<meta name="datawall-key" content="{key}">'


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One drawing of a figure, as the page shows it.

    Attributes:
        label: printed above it: "published", "here" or nothing.
        name: its path below the folder of the report, without suffix, such as "figures/fig06".
        title: of the figure.
        caption: what it shows.
        command: what draws it again.
        paths: the files drawn, a PNG and a CSV among them.
        missing: why it was not drawn; empty if it was.
    """

    label: str
    name: str
    title: str
    caption: str
    command: str
    paths: tuple[Path, ...] = ()
    missing: str = ""

    @property
    def png(self) -> str:
        """The picture in base64."""
        return self._encoded(".png")

    @property
    def csv(self) -> str:
        """The plotted numbers in base64."""
        return self._encoded(".csv")

    @property
    def files(self) -> str:
        """Its files relative to the report, separated by spaces."""
        return " ".join(f"{self.name}{path.suffix}" for path in self.paths)

    def _encoded(self, suffix: str) -> str:
        (path,) = (path for path in self.paths if path.suffix == suffix)
        return base64.b64encode(path.read_bytes()).decode()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the talk: as published, from the runs of this world, or both, side by side."""

    name: str
    title: str
    drawings: tuple[Drawing, ...]

    @property
    def n_drawn(self) -> int:
        """Drawings that are there to be shown."""
        return sum(not drawing.missing for drawing in self.drawings)


class Drawings(Protocol):
    """The drawings of a report, made one by one while they are iterated over."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Drawing]: ...


def is_current(report: Path, story: Story) -> bool:
    """Return whether a report was made from exactly these results by exactly this code.

    It is not if a figure or table beside it has been deleted.
    """
    page = report.read_text(encoding="utf-8") if report.is_file() else ""
    if KEY_MARK.format(key=story.key) not in page:
        return False
    beside = ["claims.csv"]
    for files in re.findall(r'data-files="([^"]*)"', page):
        beside += files.split()
    return all((report.parent / name).is_file() for name in beside)


def write_report(story: Story, drawings: Drawings, out: Path) -> list[Claim]:
    """Write the page and the table of claims, and return the claims.

    Args:
        story: results of a world.
        drawings: the figures to show, such as a `paper_figs.gallery.Gallery`.
        out: folder of `report.html` and `claims.csv`.

    Returns:
        The claims, in the order of the talk.
    """
    n_jobs = 1 + len(drawings)
    shown = []
    with WorkProgress("figures and claims", n_jobs=n_jobs, work=n_jobs) as bar:
        claims = judge_claims(story)
        bar.advance(1)
        bar.finish_job()
        for drawing in drawings:
            shown.append(drawing)
            bar.advance(1)
            bar.finish_job()
    page = render_page(story, claims, _pair(shown))
    write_text(out / "claims.csv", pd.DataFrame(map(_row, claims)).to_csv(index=False))
    write_text(out / "report.html", page)
    return claims


def _row(claim: Claim) -> dict[str, object]:
    """Return a claim as a row of a table, its runs and records counted."""
    values = asdict(claim)
    n_runs, n_records = len(values.pop("runs")), len(values.pop("records"))
    return {**values, "recipes": " ".join(claim.recipes), "n_runs": n_runs, "n_records": n_records}


def render_page(story: Story, claims: list[Claim], figures: list[Figure]) -> str:
    """Return the HTML page.

    Args:
        story: results of a world, of the whole talk or of one part of it.
        claims: to list, with their verdicts.
        figures: to show, in the order of the talk.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("experiments"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("report.html").render(
        key_mark=KEY_MARK.format(key=story.key),
        story=story,
        figures=figures,
        claims=claims,
        counts=pd.Series([claim.verdict for claim in claims]).value_counts().to_dict(),
        side_by_side=side_by_side(story, claims),
        tuned=tuned_points(story),
        published_tuned=_published_tuned(),
        n_talk_tokens=talk.N_UNIQUE_TOKENS,
        facts=_facts(story),
        recipes=list(story.results),
        evidence=evidence,
    )


def tuned_points(story: Story) -> list[dict[str, str]]:
    """Return a table row for every tuned point with its certificate."""
    rows = []
    for found in story.certificates:
        tuned = found.tuned
        learning_rate, weight_decay, n_epochs = (f"{value:g}" for value in tuned.point)
        rows.append(
            {
                "tuned for": found.objective,
                "N": f"{found.spec.model.n_params_non_embedding:,}",
                "learning rate": learning_rate,
                "weight decay": weight_decay,
                "epochs": n_epochs,
                "validation loss ± s.e.": f"{tuned.loss:.3f} ± {tuned.stderr:.3f}",
                "certified": found.verdict,
                "runs": str(found.n_runs),
                "FLOPs": f"{found.train_flops:.1e}",
            }
        )
    return rows


def _published_tuned() -> str:
    """Return the talk's tuned hyperparameters of single models as text."""
    return "; ".join(
        f"{row.n_params / 1e6:g}M parameters: {row.learning_rate:g}, {row.weight_decay:g}, "
        f"{row.n_epochs}"
        for row in talk.TUNED.itertuples()
    )


def _pair(drawings: list[Drawing]) -> list[Figure]:
    """Set what was published before what was drawn here, figure by figure in the talk's order."""
    by_name: dict[str, list[Drawing]] = {}
    for drawing in sorted(drawings, key=lambda one: one.name, reverse=True):
        by_name.setdefault(drawing.name.split("/")[1], []).append(drawing)
    return [
        Figure(name=name, title=pair[-1].title, drawings=tuple(pair))
        for name, pair in sorted(by_name.items())
    ]


def _facts(story: Story) -> dict[str, str]:
    """Return what a reader needs to judge or reproduce the numbers, by label."""
    world, runs, source = story.world, story.runs, provenance()
    revision = str(source["git_revision"] or "unknown")[:12]
    packages = source["packages"]
    assert isinstance(packages, dict)
    return {
        "World": world.name,
        "Text": f"{world.corpus}, SHA-256 {story.corpus_sha256[:16]}..., "
        f"{story.bytes_per_token:.2f} bytes per token",
        "Unique tokens": f"{world.n_unique_tokens:,}; {world.n_eval_tokens:,} each to select "
        "(validation) and to report (test), from other documents",
        "Scope": story.text_scope,
        "Tuned settings": read_settings(world.settings).provenance
        if world.settings and world.carries_settings
        else "searched, see the certificates",
        "Model sizes": ", ".join(
            f"{world.model(width).n_params_non_embedding:,}" for width in world.widths
        )
        + " non-embedding parameters",
        "Training": f"{len(runs)} runs, {int(runs['n_tokens_seen'].sum()):,} tokens, "
        f"{runs['train_flops'].sum():.2g} FLOPs, {runs['seconds'].sum() / 60:.0f} device-minutes "
        f"on {', '.join(sorted(runs['device'].unique()))}",
        "Diverged runs": str(int((runs["status"] == "diverged").sum())),
        "Code": revision + (" with local changes" if source["git_dirty"] else ""),
        "Software": f"Python {source['python']}, "
        + ", ".join(f"{name} {version}" for name, version in packages.items()),
        "Machine": str(source["platform"]),
        "Written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
