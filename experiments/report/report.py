"""The report: one self-contained HTML page in the order of the talk."""

from __future__ import annotations

import base64
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pandas as pd

from experiments.claims.claim import Claim, claim_ids, evidence, in_order, judge_claims
from experiments.display.progress import WorkProgress
from experiments.display.quantities import human
from experiments.report.answer import STEPS, TEXTS, answer, questions
from experiments.report.side_by_side import side_by_side
from experiments.runs.files import write_text
from experiments.runs.rows import provenance
from experiments.story.story import Story
from experiments.worlds.settings import read_settings
from experiments.worlds.world import World
from scaling.published import talk

if TYPE_CHECKING:
    from jinja2 import Template

HEADLINE = "fig00"
"""Name of the figure that answers the title."""
FULL_WIDTH = 1920
"""Pixels of a picture that is shown as wide as the page; narrower ones are not enlarged."""
STAR = "*: at an edge of the grid, or with neighbours that were not trained with every seed."
"""What a star behind a setting means, in the measurement of a claim."""
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
        claims: ids of the claims that the figure shows evidence for.
    """

    label: str
    name: str
    title: str
    caption: str
    command: str
    paths: tuple[Path, ...] = ()
    missing: str = ""
    claims: tuple[str, ...] = ()

    @property
    def png(self) -> str:
        """The picture in base64."""
        return base64.b64encode(self._read(".png")).decode()

    @property
    def csv(self) -> str:
        """The plotted numbers in base64."""
        return base64.b64encode(self._read(".csv")).decode()

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels, from the header of the PNG."""
        width, height = struct.unpack(">II", self._read(".png")[16:24])
        return width, height

    @property
    def files(self) -> str:
        """Its files relative to the report, separated by spaces."""
        return " ".join(f"{self.name}{path.suffix}" for path in self.paths)

    @property
    def alt(self) -> str:
        """What the picture shows, for those who do not see it."""
        first = re.split(r"(?<=[a-z)])\. (?=[A-Z])", self.caption)[0].rstrip(".")
        return f"{self.title}. {first}."

    def _read(self, suffix: str) -> bytes:
        (path,) = (path for path in self.paths if path.suffix == suffix)
        return path.read_bytes()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the talk: from the runs of this world, as published, or both."""

    name: str
    title: str
    drawings: tuple[Drawing, ...]

    @property
    def label(self) -> str:
        """Its name in sentences, such as "Figure 6"."""
        return figure_label(self.name)

    @property
    def claims(self) -> tuple[str, ...]:
        """Ids of the claims that it shows evidence for."""
        return self.drawings[0].claims

    @property
    def part(self) -> str:
        """First letter of its claims: P Part 1, S Part 2, N new here."""
        return self.claims[0][0] if self.claims else "N"

    def share(self, drawing: Drawing) -> float:
        """Return the width of a drawing as a share of the page, so that all have one scale."""
        widest = max(FULL_WIDTH, *(one.size[0] for one in self.drawings))
        return drawing.size[0] / widest


def figure_label(name: str) -> str:
    """Return the name of a figure in sentences: "fig06" is "Figure 6"."""
    return f"Figure {name.removeprefix('fig').removeprefix('0')}"


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
    beside = ["claims.csv", "comparison.csv"]
    for files in re.findall(r'data-files="([^"]*)"', page):
        beside += files.split()
    return all((report.parent / name).is_file() for name in beside)


def write_report(story: Story, drawings: Drawings, out: Path) -> list[Claim]:
    """Write the page, the comparison and the table of claims, and return the claims.

    Args:
        story: results of a world.
        drawings: the figures to show, such as a `paper_figs.gallery.Gallery`.
        out: folder of `report.html`, `comparison.csv` and `claims.csv`.

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
    page = render_page(story, claims, shown)
    beside = pd.DataFrame(side_by_side(story, claims), columns=["quantity", "published", "here"])
    write_text(out / "comparison.csv", beside.to_csv(index=False))
    write_text(out / "claims.csv", pd.DataFrame(map(_row, claims)).to_csv(index=False))
    write_text(out / "report.html", page)
    return claims


def _row(claim: Claim) -> dict[str, object]:
    """Return a claim as a row of a table, its runs and records counted."""
    values = asdict(claim)
    n_runs, n_records = len(values.pop("runs")), len(values.pop("records"))
    return {**values, "recipes": " ".join(claim.recipes), "n_runs": n_runs, "n_records": n_records}


LISTS = {
    "supported": "Agrees with the talk",
    "contradicted": "Differs from the talk",
    "inconclusive": "Open: these runs cannot decide",
}
PARTS = {
    "P": "Part 1: using data better",
    "S": "Part 2: making new data",
    "N": "Not in the talk",
}


def render_page(story: Story, claims: list[Claim], drawings: Sequence[Drawing]) -> str:
    """Return the HTML page.

    Args:
        story: results of a world, of the whole talk or of one part of it.
        claims: to list, with their verdicts.
        drawings: to show; those that are missing are listed at the end with the reason.
    """
    figures = _figures(drawings)
    known = {claim.id: claim for claim in claims}
    return open_template("report.html").render(
        key_mark=KEY_MARK.format(key=story.key),
        story=story,
        answer=answer(story),
        questions=questions(story),
        headline=next((one for one in figures if one.name == HEADLINE), None),
        parts={
            title: [one for one in figures if one.part == part and one.name != HEADLINE]
            for part, title in PARTS.items()
        },
        not_drawn=_not_drawn(drawings),
        claims=claims,
        known=known,
        steps={words: known[id] for id, words in STEPS.items() if id in known},
        not_judged=in_order(id for id in claim_ids() - known.keys() if id[0] != "N"),
        counts=Counter(claim.verdict for claim in claims),
        lists={
            title: [one for one in claims if one.verdict == verdict and one.id[0] != "N"]
            for verdict, title in LISTS.items()
        },
        own=[claim for claim in claims if claim.id[0] == "N"],
        figures_of={id: [one for one in figures if id in one.claims] for id in known},
        measured={claim.id: _measured(claim, story.runs) for claim in claims},
        side_by_side=side_by_side(story, claims),
        tuned=tuned_points(story),
        published_tuned=_published_tuned(),
        n_talk_tokens=talk.N_UNIQUE_TOKENS,
        facts=_facts(story),
        recipes={one.name: one for one in story.results},
        evidence=evidence,
    )


def open_template(name: str) -> Template:
    """Return a page of `experiments/templates` to fill in; values are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("experiments"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template(name)


def with_sizes(text: str, sizes: Mapping[int, int]) -> str:
    """Return a text with the parameters N of a model beside the first mention of its width."""
    for width, n_params in sizes.items():
        text = re.sub(
            rf"\bwidth {width}\b", rf"\g<0> (N = {human(n_params)})", text, count=1, flags=re.I
        )
    return text


def _measured(claim: Claim, runs: pd.DataFrame) -> str:
    """Return the measurement of a claim with sizes, and with what its stars mean."""
    text = with_sizes(claim.headline, _sizes_of(claim, runs))
    return f"{text} ({STAR})" if re.search(r"\d\*", text) else text


def _sizes_of(claim: Claim, runs: pd.DataFrame) -> dict[int, int]:
    """Return N by width of the models that a claim rests on, where a width has one N."""
    n = "n_params_non_embedding"
    sizes = runs[runs["run_id"].isin(claim.runs)].groupby("width")[n].unique()
    return {int(str(width)): int(found[0]) for width, found in sizes.items() if len(found) == 1}


def _not_drawn(drawings: Sequence[Drawing]) -> list[str]:
    """Return a phrase for each reason why drawings are missing: which, of what, and why."""
    groups: dict[tuple[str, str], list[str]] = {}
    for drawing in drawings:
        if drawing.missing:
            of = "as published" if drawing.label == "published" else "of these runs"
            label = figure_label(drawing.name.split("/")[1])
            groups.setdefault((drawing.missing, of), []).append(label)
    return [f"{' and '.join(labels)} {of} ({why})" for (why, of), labels in groups.items()]


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
                "runs": str(found.n_runs) if found.n_runs else "-",
                "FLOPs": f"{found.train_flops:.1e}" if found.n_runs else "-",
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


def _figures(drawings: Sequence[Drawing]) -> list[Figure]:
    """Return the figures in the order of the talk, drawings of the runs first."""
    by_name: dict[str, list[Drawing]] = {}
    for drawing in sorted(drawings, key=lambda one: one.name):
        if not drawing.missing:
            by_name.setdefault(drawing.name.split("/")[1], []).append(drawing)
    return [
        Figure(name=name, title=both[0].title, drawings=tuple(both))
        for name, both in sorted(by_name.items())
    ]


def _origin_of_settings(world: World) -> str:
    if not world.settings or not world.carries_settings:
        return "searched, see the certificates"
    if world.predicts_settings:
        return (
            "predicted by power laws of size and data from those of quick and of Kim et al. 2025, "
            "not searched here; the standard recipe is searched"
        )
    return read_settings(world.settings).provenance


def _facts(story: Story) -> dict[str, str]:
    """Return what a reader needs to judge or reproduce the numbers, by label."""
    world, runs, source = story.world, story.runs, provenance()
    revision = str(source["git_revision"] or "unknown")[:12]
    packages = source["packages"]
    assert isinstance(packages, dict)
    return {
        "World": world.name,
        "Text": f"{TEXTS.get(world.corpus, world.corpus)}, SHA-256 {story.corpus_sha256[:16]}..., "
        f"{story.bytes_per_token:.2f} bytes per token",
        "Unique tokens": f"{world.n_unique_tokens:,}; {world.n_eval_tokens:,} each to select "
        "(validation) and to report (test), from other documents",
        "Scope": story.text_scope,
        "Tuned settings": _origin_of_settings(world),
        "Tokens": f"byte-level BPE of {world.vocab_size:,} tokens, learned on the training part of "
        "the text, of which the unique tokens are a draw",
        "Models": f"decoder-only transformers of {world.n_layers} layers (rotary positions, "
        f"SwiGLU), context {world.context} tokens",
        "Model sizes": ", ".join(
            f"{world.model(width).n_params_non_embedding:,} (width {width})"
            for width in world.widths
        )
        + " parameters without embeddings",
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
