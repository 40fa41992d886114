"""The pages are true: their programs run and print what they say, and all of them can be built."""

import dataclasses
import importlib
import logging
import re
import runpy
import sys
from xml.etree import ElementTree

import pandas as pd
import pytest

from experiments.claims import claim
from experiments.cli import app as cli
from experiments.worlds.registry import WORLDS
from models.text.corpora import CORPORA
from models.text.data_home import find_data_home
from scaling import DATASETS
from tests.benchmarks.coverage import page as coverage_page
from tests.benchmarks.leaderboard import page as leaderboard_page
from tests.data import needed
from tests.pages import (
    HOUSE,
    PAGES,
    blocks_of,
    commands_named,
    commands_of,
    difference,
    words_missing,
)

# Seconds where cores are free; where they are not, compiling takes minutes.
pytestmark = pytest.mark.timeout(900)

NAMES = [page.relative_to(HOUSE).as_posix() for page in PAGES]
ONLY_READ = (
    *("--backend openai", "--scheduler", "/RUN", "--hold-out"),
    *("reproduce", "claims", "report", "ship", "figures fig02", "augment sbp", "worth"),
)
"""Commands that need a server, a run's name or minutes to train: read, not run.

Tests of their own run them: `tests/experiments/story/test_story.py`, `test_augment_sbp.py` and
others.
"""
TRAINS = ("run", "tune", "show")
"""Commands whose figures depend on the machine; of what they print the words are compared."""
SMALL = {
    "recipes": ("standard", "regularized", "ensembles"),
    "widths": (8,),
    "n_layers": 1,
    "n_unique_tokens": 1024,
    "n_eval_tokens": 512,
    "standard_epochs": (1, 2),
    "further_epochs": (),
    "learning_rates": (1e-2,),
    "weight_decays": (0.4, 1.6),
    "epochs": (1, 2),
    "start": (0.4, 1),
    "n_seeds": 2,
    "chunk_tokens": 0,
    "settings": None,
}


RUNS = "n_params,loss\n6700,4.36\n24000,4.23\n100000,4.16\n390000,4.13\n1600000,4.12\n"


def write_what_the_readme_supposes(folder):
    """Write the tables and texts of a reader of the README."""
    (folder / "runs.csv").write_text(RUNS, encoding="utf-8")
    rows = [(n, k, 3.2 + 9 / n**0.5 + 5 / (n**0.3 * k)) for n in (1e3, 1e4, 1e5) for k in (1, 2, 4)]
    lines = ["n_params,n_members,loss", *(f"{n},{k},{loss:.4f}" for n, k, loss in rows)]
    (folder / "ensembles.csv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "my_texts").mkdir()
    for name in ("Ada Lovelace met Charles Babbage", "Alan Turing worked in Manchester"):
        text = f"{name}. The Analytical Engine was never built in London."
        (folder / "my_texts" / f"{name[:3]}.txt").write_text(text, encoding="utf-8")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty folder to work in, worlds of seconds, and tables that end as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("DATAWALL_DEBUG", raising=False)
    tables = {id(table): (table, dict(table)) for table in (WORLDS, CORPORA, claim._TESTS)}
    modules = set(sys.modules)
    for name in ("tiny", "quick"):
        WORLDS[name] = dataclasses.replace(WORLDS[name], **SMALL)
    yield tmp_path
    for table, before in tables.values():
        table.clear()
        table.update(before)
    for name in set(sys.modules) - modules:
        if getattr(sys.modules[name], "__file__", None) and sys.modules[name].__file__.startswith(
            str(tmp_path)
        ):
            del sys.modules[name]


def parse(arguments):
    """Read a command as the command line does; a mistake exits."""
    return cli._parse(arguments)


TRAINING = ("README.md", "docs/command-line.md", "docs/python.md", "docs/howto/")
"""Pages whose programs train: their tests are long."""


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name, marks=[pytest.mark.long] if name.startswith(TRAINING) else [])
        for page, name in zip(PAGES, NAMES, strict=True)
    ],
)
def test_the_programs_of_a_page_run_and_print_what_it_says(page, workplace, capsys):
    names = {"__name__": "__main__"}
    for table in re.findall(r'load_dataset\("(\w+)"\)', page.read_text(encoding="utf-8")):
        needed(DATASETS[table].path)
    if page.name == "README.md":
        write_what_the_readme_supposes(workplace)
    for block in blocks_of(page):
        where = f"{page.name}, line {block.line}"
        if block.title:
            (workplace / block.title).write_text(block.body, encoding="utf-8")
        elif block.language == "python":
            data = find_data_home()
            if '"blimp"' in block.body and not (data and (data / "evals" / "blimp").is_dir()):
                continue  # the minimal pairs are not there: set DATAWALL_DATA
            exec(compile(block.body, where, "exec"), names)
            out = capsys.readouterr().out
            assert block.printed is None or not difference(block.printed, out), where
        for arguments, said in commands_of(block):
            run_command(arguments, said, where, capsys)


def run_command(arguments, said, where, capsys):
    line = " ".join(arguments)
    if any(need in line for need in ONLY_READ):
        parse(arguments)
        return
    try:
        status = cli.main(arguments)
    except SystemExit as ended:  # --help
        status = ended.code
    out, err = capsys.readouterr()
    assert not status, f"{where}: datawall {line}\n{err}"
    if said is None:
        return
    if arguments[0] in TRAINS:
        assert not words_missing(said, out), f"{where}: datawall {line}\n{out}"
    else:
        assert not difference(said, out), f"{where}: datawall {line}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_commands_that_a_page_names_exist(page, capsys):
    for arguments in commands_named(page):
        if arguments[0] == "...":
            continue
        if len(arguments) > 1 and "--help" not in arguments:
            parse(arguments)
        else:
            with pytest.raises(SystemExit) as ended:
                parse([arguments[0], "--help"])
            assert not ended.value.code, f"datawall {arguments[0]}"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """All pages, built strictly; and what the build had to warn of."""
    pytest.importorskip("material", reason="pip install 'datawall[docs]'")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    warned = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = warned.append
    logging.getLogger("mkdocs").addHandler(handler)
    try:
        build(load_config(str(HOUSE / "mkdocs.yml"), site_dir=str(folder), strict=True))
    finally:
        logging.getLogger("mkdocs").removeHandler(handler)
    return folder, [record.getMessage() for record in warned]


@pytest.mark.long
def test_the_pages_build_strictly_without_a_warning(site):
    folder, warned = site
    assert not warned
    built = {path.relative_to(folder).with_suffix(".md") for path in folder.rglob("*.html")}
    assert {page.relative_to(HOUSE / "docs") for page in PAGES[1:]} <= built
    assert not list(folder.rglob("*.py"))


@pytest.mark.long
def test_pages_ask_nothing_of_a_network_and_every_formula_is_drawn(site):
    outside = re.compile(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"')
    for path in site[0].rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not outside.findall(text), path
        assert "arithmatex" not in text, path
        for formula in re.findall(r"<math.*?</math>", text, flags=re.S):
            assert "\\" not in formula, (path, formula)
            ElementTree.fromstring(formula)


@pytest.mark.parametrize("package", ["scaling", "graphsim", "models"])
def test_the_reference_has_every_public_name(package):
    page = (HOUSE / "docs" / "reference" / f"{package}.md").read_text(encoding="utf-8")
    there = {name.split(".")[-1] for name in re.findall(r"^::: (\S+)$", page, flags=re.M)}
    assert set(importlib.import_module(package).__all__) <= there


@pytest.mark.long
def test_the_reference_takes_no_module_for_a_function_of_its_name(site):
    for path in (site[0] / "reference").glob("*.html"):
        assert "doc-symbol-module" not in path.read_text(encoding="utf-8"), path


def test_the_picture_shows_the_numbers_of_the_table_in_readme():
    picture = (HOUSE / "docs" / "pictures" / "limits.svg").read_text(encoding="utf-8")
    texts = re.findall(r"<text[^>]*>([^<]*)", picture)
    table = (HOUSE / "README.md").read_text(encoding="utf-8")
    shown = [
        re.search(rf"^\| {quantity} \| ([^|]*) \| ([^|]*) \|", table, flags=re.M).groups()
        for quantity in (
            "best loss of the standard recipe", "limit of infinitely many parameters, tuned",
            "limit of infinitely many members of the second size",
            "limit of infinitely many members and parameters",
        )
    ]  # fmt: skip
    for published, ours in shown:
        assert published in texts
        if "not identified" in ours:
            assert "limit not identified" in texts
            continue
        value, low, high = map(float, re.findall(r"[\d.]+", ours)[:3])  # of quick
        (drawn,) = (text for text in texts if text.startswith(f"{value:.2f} ["))
        assert [float(x) for x in re.findall(r"[\d.]+", drawn)] == pytest.approx(
            [value, low, high], abs=0.006
        )


def test_the_map_of_the_code_agrees_with_the_code():
    drawn = runpy.run_path(str(HOUSE / "docs" / "draw_code.py"))
    page = drawn["PAGE"].read_text(encoding="utf-8")
    assert drawn["with_tables"](page) == page, "run python docs/draw_code.py"
    for package in drawn["PACKAGES"]:
        assert f"<!-- folders of {package} -->" in page
    graph = drawn["import_graph"]()
    assert drawn["draw"](graph) == drawn["PICTURE"].read_text(encoding="utf-8")
    changed = graph.copy()
    changed.remove_edge("experiments/cli", "paper_figs")
    assert drawn["draw"](changed) != drawn["draw"](graph)


def test_the_page_on_coverage_shows_its_table():
    table = pd.read_csv(HOUSE / "docs" / "tables" / "coverage.csv")
    assert coverage_page(table) == (HOUSE / "docs" / "coverage.md").read_text(encoding="utf-8")


def test_the_page_on_fitters_and_laws_shows_its_tables():
    tables = [pd.read_csv(HOUSE / "docs" / "tables" / f"{n}.csv") for n in ("leaderboard", "goals")]
    assert leaderboard_page(*tables) == (HOUSE / "docs" / "leaderboard.md").read_text("utf-8")


def test_a_wrong_page_is_noticed():
    assert difference("4.1", "4.2")
    assert not difference("limit 4...", "limit   4.2")
    assert words_missing("width  loss\n 8  4.1", "width  lass") == ["width loss"]
