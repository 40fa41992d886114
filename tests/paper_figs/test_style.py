import numpy as np

from paper_figs.style import COLORS, LOOKS, MARKERS, OTHER_NAMES, error_bars, look, shades


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
