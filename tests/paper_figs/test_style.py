from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from experiments.claims.claim import claim_ids
from paper_figs import figure_modules, save
from paper_figs.style import (
    COLORS,
    LOOKS,
    MARKERS,
    OTHER_NAMES,
    error_bars,
    look,
    mark_uncertified,
    shades,
)


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

    def draw(story):
        figure, ax = plt.subplots()
        for i, color in enumerate(COLORS[:5]):
            ax.plot([0, 1], [i, i + 1], color=color, label=f"line {i}", linewidth=4)
        ax.legend()
        return figure, pd.DataFrame({"x": [0, 1]})

    module = SimpleNamespace(NAME="fig99", draw=draw)
    suffixes = ("png", "pdf", "svg", "csv")
    return [save(module, object(), tmp_path / name, suffixes=suffixes) for name in "ab"]


def test_the_same_numbers_give_the_same_bytes(saved):
    for first, second in zip(*saved, strict=True):
        assert first.suffix == second.suffix
        assert first.read_bytes() == second.read_bytes(), first.suffix


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
