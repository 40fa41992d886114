"""The drawings of a report, from fake figures and a fake second process."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pandas as pd
import pytest

from experiments.lab.recipe import NotRun
from experiments.report.report import KEY_MARK, is_current
from paper_figs import gallery
from paper_figs.layout import panel

STORY = SimpleNamespace(
    world=SimpleNamespace(name="tiny"), key="0123456789abcdef", results=(), digest=lambda _: "0f"
)  # fmt: skip
NEEDS = (SimpleNamespace(name="standard"),)


def draw(story, ax=None):
    return panel(ax), pd.DataFrame({"x": [1]})


def draw_what_was_not_run(story, ax=None):
    raise NotRun("world tiny does not run it")


def draw_published(ax=None):
    return panel(ax), pd.DataFrame({"x": [2]})


RUNS = SimpleNamespace(
    NAME="fig01", CLAIMS=("P1",), NEEDS=NEEDS, TITLE="Runs", CAPTION="of runs", draw=draw
)  # fmt: skip
BOTH = SimpleNamespace(
    NAME="fig02", CLAIMS=("P2",), NEEDS=NEEDS, TITLE="Both", CAPTION="here",
    draw=draw_what_was_not_run,
    PUBLISHED_TITLE="Published", PUBLISHED_CAPTION="there", draw_published=draw_published,
)  # fmt: skip
SCHEMATIC = SimpleNamespace(
    NAME="fig03", CLAIMS=("S3",), NEEDS=(), TITLE="Schematic", CAPTION="nothing measured",
    draw=draw, draw_published=draw,
)  # fmt: skip


REASONS = f"print({json.dumps({'fig02': 'no table', 'fig03': ''})!r})"


@pytest.fixture
def second_process(monkeypatch):
    """Replace the program of the second process."""
    start = subprocess.Popen

    def replace(program):
        monkeypatch.setattr(
            gallery.subprocess,
            "Popen",
            lambda *_, **options: start([sys.executable, "-c", program], **options),
        )

    replace(REASONS)
    return replace


@pytest.fixture
def shown(monkeypatch, tmp_path, second_process):
    modules = [RUNS, BOTH, SCHEMATIC]
    monkeypatch.setattr(
        gallery, "figure_modules", lambda *, published=False: modules[1:] if published else modules
    )
    return gallery.Gallery(STORY, tmp_path)


def test_drawings_come_with_their_files_or_the_reason_why_not(shown, tmp_path):
    with shown as drawings:
        found = list(drawings)
    assert len(shown) == len(found)
    assert [(one.name, one.label) for one in found] == [
        ("figures/fig01", "here"), ("figures/fig02", "here"), ("figures/fig03", ""),
        ("published/fig02", "published"),
    ]  # fmt: skip
    drawn, not_run, schematic, published = found
    assert drawn.command == "datawall figures fig01 --world tiny"
    assert schematic.command == "datawall figures fig03"
    assert drawn.files.split() == [f"figures/fig01.{suffix}" for suffix in ("png", "csv")]
    assert all((tmp_path / name).is_file() for name in drawn.files.split())
    assert drawn.png
    assert drawn.claims == ("P1",)
    assert drawn.csv
    assert not_run.missing == "world tiny does not run it"
    assert (published.title, published.missing) == ("Published", "no table")
    assert published.command == "datawall figures fig02 --published"


def test_a_failed_second_process_is_an_error(shown, second_process):
    second_process("raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="could not be drawn"), shown as drawings:
        list(drawings)


def test_an_error_ends_the_second_process(shown, second_process):
    second_process("import time; time.sleep(600)")
    with pytest.raises(KeyboardInterrupt), shown:
        raise KeyboardInterrupt
    assert shown._process.returncode < 0


def test_a_report_is_current_while_its_files_are_there(tmp_path):
    page = tmp_path / "report.html"
    page.write_text(
        KEY_MARK.format(key=STORY.key) + '<img data-files="figures/a.png figures/a.csv">'
    )
    names = ("claims.csv", "comparison.csv", "figures/a.png", "figures/a.csv")
    (tmp_path / "figures").mkdir()
    for name in names:
        assert not is_current(page, STORY)
        (tmp_path / name).touch()
    assert is_current(page, STORY)
    assert not is_current(page, SimpleNamespace(key="0" * 16))
