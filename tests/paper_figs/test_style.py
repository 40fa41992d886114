import re
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.claims.claim import claim_ids
from experiments.cli.app import main
from experiments.cli.options import WorldOptions
from paper_figs import draw, figure_modules, save
from paper_figs.layout import panel
from paper_figs.style import (
    COLORS,
    LOOKS,
    MARKERS,
    OTHER_NAMES,
    error_bars,
    log_ticks,
    look,
    mark_uncertified,
    shades,
)

HOW = {"suffixes": ("png", "pdf", "svg", "csv"), "size": (3.3, 2.4), "dpi": 300}
STANDARD = SimpleNamespace(name="standard")


def test_every_other_name_of_a_recipe_has_its_look():
    assert set(OTHER_NAMES.values()) <= set(LOOKS)
    assert not set(OTHER_NAMES) & set(LOOKS)
    assert look("single") is look("tuned") is look("regularized")


def test_recipes_differ_in_name_and_in_colour_or_marker():
    names = list(LOOKS)
    parts = names[: names.index("base")], names[names.index("base") :]
    assert len({one.label for one in LOOKS.values()}) == len(LOOKS)
    for part in parts:
        shown = {(LOOKS[name].color, LOOKS[name].marker) for name in part if name != "sbp"}
        assert len(shown) == len(set(part) - {"sbp"})  # sbp is never drawn beside EntiGraph
    assert {one.marker for one in LOOKS.values()} <= set(MARKERS)


def test_error_bars_reach_both_ends_and_infinite_ends_have_none():
    assert error_bars(2.0, 1.5, np.inf).tolist() == [[0.5], [0.0]]
    assert error_bars([1, 2], [0, -np.inf], [3, 2.5]).tolist() == [[1, 0], [2, 0.5]]


def test_shades_are_distinct_from_dark_to_light():
    for color in COLORS:
        found = shades(color, 5)
        brightness = [sum(int(one[i : i + 2], 16) for i in (1, 3, 5)) for one in found]
        assert brightness == sorted(set(brightness))


def test_every_figure_names_claims_that_exist():
    modules = {*figure_modules(), *figure_modules(published=True)}
    for module in modules:
        assert module.CLAIMS, module.NAME
        assert set(module.CLAIMS) <= claim_ids(), module.NAME


@pytest.fixture
def saved(tmp_path):
    """Draw a figure with five colors twice and return the files of each time."""

    def draw(story, ax=None):
        ax = panel(ax)
        for i, color in enumerate(COLORS[:5]):
            ax.plot([0, 1], [i, i + 1], color=color, label=f"line {i}", linewidth=4)
        ax.legend()
        return ax, pd.DataFrame({"x": [0, 1]})

    module = SimpleNamespace(NAME="fig99", TITLE="Lines", NEEDS=(STANDARD,), draw=draw)
    world = SimpleNamespace(name="small")
    story = SimpleNamespace(world=world, results=(), digest=lambda _: "0123456789abcdef")
    return [save(module, story, tmp_path / name, **HOW) for name in "ab"]


def test_the_same_numbers_give_the_same_bytes(saved):
    for first, second in zip(*saved, strict=True):
        assert first.suffix == second.suffix
        assert first.read_bytes() == second.read_bytes(), first.suffix


def test_pictures_say_what_they_were_drawn_from(saved):
    png, pdf, svg, _ = saved[0]
    said = [
        " ".join(Image.open(png).text.values()),
        pdf.read_bytes().decode("latin-1"),
        svg.read_text(encoding="utf-8"),
    ]
    for text in said:
        assert "datawall figures fig99 --world small --size 3.3x2.4 --dpi 300" in text
        assert f"datawall {metadata.version('datawall')}" in text
        assert "0123456789abcdef" in text
    assert Image.open(png).size == (990, 720)


def test_a_style_file_changes_sizes_and_fonts(tmp_path):
    style = tmp_path / "paper.mplstyle"
    style.write_text("figure.figsize: 2, 1\nsavefig.facecolor: 00ff00\n")
    (png,) = save("fig03", None, tmp_path, suffixes=("png",), style=(str(style),), dpi=100)
    assert Image.open(png).size == (200, 100)
    assert Image.open(png).convert("RGB").getpixel((0, 0)) == (0, 255, 0)
    assert "--style paper.mplstyle --dpi 100" in Image.open(png).text["Source"]


def test_figures_are_drawn_into_axes_of_the_caller():
    figure, ax = plt.subplots()
    drawn, numbers = draw("fig03", ax=ax)
    assert drawn is ax
    line = ax.get_lines()[0]
    assert line.get_ydata().tolist() == numbers["loss"].tolist()
    left, right = figure.subfigures(1, 2)
    axes, _ = draw("fig22", ax=right)
    assert [one.figure for one in axes] == [right, right]
    mine = [left.subplots(), plt.figure().subplots()]
    axes, _ = draw("fig22", ax=mine)
    assert axes == mine
    with pytest.raises(ValueError, match=r"has 2 panels: give as many axes, .* not 1 axes"):
        draw("fig22", ax=mine[0])
    plt.close("all")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["fig77"], "figure must be one of fig01, .*; not 'fig77'"),
        (["fig04"], "not 'fig04', which is drawn from runs only: draw it without --published"),
        (["fig03", "--size", "3.3"], "size must be WIDTHxHEIGHT in inches, such as 3.3x2.4"),
        (["fig03", "--size", "0x90"], "sides between 0.5 and 50"),
        (["fig03", "--style", "none.mplstyle"], "style must be a file .* or one of .*ggplot"),
        (["fig03", "--dpi", "0"], "dpi must be between 20 and 2400; not 0"),
    ],
)
def test_the_command_lists_what_is_allowed(options, message, tmp_path, capsys):
    command = ["figures", "--published", "--out", str(tmp_path / "out"), *options]
    assert main(command) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))
    assert not (tmp_path / "out").exists()


def test_a_figure_without_measurements_opens_no_world(tmp_path, monkeypatch):
    monkeypatch.setattr(WorldOptions, "open_lab", None)
    monkeypatch.chdir(tmp_path)
    assert main(["figures", "fig17", "--format", "svg"]) == 0
    assert "datawall figures fig17<" in Path("out/figures/fig17.svg").read_text(encoding="utf-8")


def test_a_world_without_the_recipe_names_the_command_that_trains_it(tmp_path, capsys):
    runs = tmp_path / "runs"
    assert main(["figures", "figN1", "--world", "tiny", "--runs", str(runs)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "figN1 was not drawn: it needs the recipe calibration, which world tiny" in said
    assert "`datawall figures figN1 --world small` trains it" in said
    assert not runs.exists()


def test_tick_labels_that_would_overlap_are_left_out():
    _, (wide, narrow) = plt.subplots(1, 2, width_ratios=[5, 1], figsize=(8, 3))
    sizes = [1e3, 2e3, 4e3, 8e3, 1.6e4, 1e6]
    for ax in (wide, narrow):
        ax.plot(sizes, sizes)
        log_ticks(ax, sizes, names={1e6: "all"})
    plt.gcf().canvas.draw()
    shown = [[text.get_text() for text in ax.get_xticklabels()] for ax in (wide, narrow)]
    assert shown[0][0] == "1k"
    assert shown[0][-1] == shown[1][-1] == "all"
    boxes = [text.get_window_extent() for text in narrow.get_xticklabels() if text.get_text()]
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert len(boxes) < sum(map(bool, shown[0]))
    plt.close("all")


def test_fonts_are_truetype_and_a_palette_keeps_the_colors(saved):
    png, pdf, *_ = saved[0]
    assert b"/FontFile2" in pdf.read_bytes()  # how a PDF embeds Type 42
    assert b"/Type3" not in pdf.read_bytes()
    shown = np.array([color for _, color in Image.open(png).convert("RGB").getcolors()])
    for one in ("#ffffff", *COLORS[:5]):
        wanted = [int(one[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.abs(shown - wanted).max(axis=1).min() <= 8, one  # of 255


def test_a_hollow_point_is_explained_in_the_legend_once():
    tuned = [SimpleNamespace(certified=False), SimpleNamespace(certified=True)]
    figure, ax = plt.subplots()
    for y in ([1, 2], [3, 4]):
        mark_uncertified(ax, [0, 1], y, tuned, color=COLORS[0], marker="o")
    assert [text.get_text() for text in ax.legend().get_texts()] == ["hollow: not certified"]
    plt.close(figure)
