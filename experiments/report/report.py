"""The report: one self-contained page with the story in the order of the talk."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pandas as pd

from experiments.claims.claim import Claim, judge_claims
from experiments.display.progress import WorkProgress
from experiments.report.side_by_side import side_by_side
from experiments.runs.files import write_text
from experiments.runs.provenance import provenance
from experiments.story.story import NotTold, Story
from scaling.published import talk

KEY_MARK = '<meta name="datawall-key" content="{key}">'


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A drawing as the page shows it; `missing` says why there is none."""

    label: str
    name: str
    title: str
    caption: str
    command: str
    png: str = ""
    csv: str = ""
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of the talk: as published, from the runs of this world, or both, side by side."""

    name: str
    title: str
    drawings: tuple[Drawn, ...]

    @property
    def n_drawn(self) -> int:
        """Drawings that are there to be shown."""
        return sum(not drawing.missing for drawing in self.drawings)


def is_current(report: Path, story: Story) -> bool:
    """Tell whether a report was made from exactly these results by exactly this code.

    A figure or table that has been deleted beside it makes it stale.
    """
    from paper_figs import SUFFIXES

    page = report.read_text(encoding="utf-8") if report.is_file() else ""
    if KEY_MARK.format(key=story.key) not in page:
        return False
    beside = [report.parent / "claims.csv"]
    for folder, modules in _modules().items():
        for module in modules:
            if f'data-missing="{folder}/{module.NAME}"' not in page:
                stem = report.parent / folder / module.NAME
                beside += [stem.with_suffix(f".{suffix}") for suffix in SUFFIXES]
    return all(path.is_file() for path in beside)


def write_report(story: Story, out: Path) -> list[Claim]:
    """Draw every figure, test every claim and write the page and what it shows into a folder.

    Beside `report.html` lie `claims.csv`, `figures/` (from this world's runs) and `published/`.

    Returns:
        The claims, in the order of the talk.
    """
    modules = _modules()
    n_jobs = 1 + sum(map(len, modules.values()))
    own = []
    with (
        _drawing_published(out) as process,
        WorkProgress("figures and claims", n_jobs=n_jobs, work=n_jobs) as bar,
    ):
        claims = judge_claims(story)
        bar.advance(1)
        bar.finish_job()
        for module in modules["figures"]:
            missing = _save(module, story, out / "figures")
            own.append(_drawn(module, "figures", out, missing, world=story.world.name))
            bar.advance(1)
            bar.finish_job()
        said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError("the published figures could not be drawn")
        reasons = json.loads(said.splitlines()[-1])
        published = []
        for module in modules["published"]:
            published.append(_drawn(module, "published", out, reasons[module.NAME]))
            bar.advance(1)
            bar.finish_job()
    page = render_page(story, claims, _pair([*published, *own]))
    write_text(out / "claims.csv", pd.DataFrame(map(asdict, claims)).to_csv(index=False))
    write_text(out / "report.html", page)
    return claims


def render_page(story: Story, claims: list[Claim], figures: list[Figure]) -> str:
    """Return the page, of a whole story or of one part of the talk."""
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
    )


def tuned_points(story: Story) -> list[dict[str, str]]:
    """Describe every tuned point with its certificate, row by row."""
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
    """List the talk's tuned hyperparameters of single models in a sentence."""
    return "; ".join(
        f"{row.n_params / 1e6:g}M parameters: {row.learning_rate:g}, {row.weight_decay:g}, "
        f"{row.n_epochs}"
        for row in talk.TUNED.itertuples()
    )


def _modules() -> dict[str, list[ModuleType]]:
    """Return the modules that draw, by the folder they draw into."""
    from paper_figs import WITHOUT_RUNS, figure_modules

    published = figure_modules(published=True)
    return {
        "published": [module for module in published if module.NAME not in WITHOUT_RUNS],
        "figures": figure_modules(),
    }


def _drawing_published(out: Path) -> subprocess.Popen[str]:
    """Draw the published figures, which need no story, on a second core meanwhile.

    In an interpreter of its own: a child of multiprocessing would run the user's script again.
    """
    command = "from experiments.report.report import draw_published; draw_published()"
    return subprocess.Popen(
        [sys.executable, "-c", command, str(out)], stdout=subprocess.PIPE, text=True
    )


def draw_published() -> None:
    """Draw the published figures into a folder in `sys.argv`; say as JSON why one is missing."""
    folder = Path(sys.argv[1]) / "published"
    missing = {module.NAME: _save(module, None, folder) for module in _modules()["published"]}
    print(json.dumps(missing))


def _save(module: ModuleType, story: Story | None, folder: Path) -> str:
    """Draw one figure; say why where its recipe or published data is not there."""
    from paper_figs import save

    try:
        save(module, story, folder)
    except (OSError, NotTold) as error:
        return str(error)
    return ""


def _drawn(module: ModuleType, folder: str, out: Path, missing: str, *, world: str = "") -> Drawn:
    """Describe one figure for the page; without a world, a published one."""
    from paper_figs import WITHOUT_RUNS

    label = "here" if world else "published"
    option = f"--world {world}" if world else "--published"
    stem = out / folder / module.NAME
    encoded = {
        suffix: base64.b64encode(stem.with_suffix(f".{suffix}").read_bytes()).decode()
        for suffix in ("png", "csv")
        if not missing
    }
    return Drawn(
        label="" if module.NAME in WITHOUT_RUNS else label,
        name=f"{folder}/{module.NAME}",
        title=module.TITLE,
        caption=module.CAPTION,
        command=f"datawall figures {module.NAME} {option}",
        missing=missing,
        **encoded,
    )


def _pair(drawings: list[Drawn]) -> list[Figure]:
    """Set what was published beside what was drawn here, in the order of the talk."""
    by_name: dict[str, list[Drawn]] = {}
    for drawing in drawings:
        by_name.setdefault(drawing.name.split("/")[1], []).append(drawing)
    return [
        Figure(name=name, title=pair[-1].title, drawings=tuple(pair))
        for name, pair in sorted(by_name.items())
    ]


def _facts(story: Story) -> dict[str, str]:
    """What a reader needs to know to judge or repeat the numbers."""
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
