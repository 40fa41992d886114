import math

import pytest

from experiments.tuning.grid import Grid

GRID = Grid(axes={"decay": (0.0, 0.1, 0.2, 0.4), "epochs": (1, 2, 4, 8)})


@pytest.mark.parametrize(
    ("point", "nearest"),
    [
        ((0.15, 3), (0.2, 4)),  # by ratio: 0.2 / 0.15 < 0.15 / 0.1
        ((0.0, 1), (0.0, 1)),
        ((1e-9, 100), (0.1, 8)),  # nothing but zero is near to zero
    ],
)
def test_nearest_is_by_ratio(point, nearest):
    assert GRID.nearest(point) == nearest


def test_zero_moves_to_the_least_value_of_an_axis_without_it():
    assert Grid(axes={"decay": (0.1, 0.2)}).nearest((0.0,)) == (0.1,)


def test_neighbours_are_one_value_away_along_one_axis():
    assert GRID.neighbors((0.1, 2)) == [(0.0, 2), (0.2, 2), (0.1, 1), (0.1, 4)]
    assert GRID.neighbors((0.4, 1)) == [(0.2, 1), (0.4, 2)]
    assert GRID.neighbors((0.1, 2), ["epochs"]) == [(0.1, 1), (0.1, 4)]
    assert GRID.step((0.4, 1), ("decay",), 1) is None


def test_edges_are_ends_beyond_which_there_is_something():
    assert GRID.edges((0.4, 1)) == ("decay", "epochs")
    assert GRID.edges((0.0, 2)) == ()  # no decay is less than none
    assert Grid(axes={"decay": (0.1,), "epochs": (1, 2)}).edges((0.1, 2)) == ("epochs",)


def test_an_axis_widens_by_its_own_ratio_up_to_its_caps():
    wide = Grid(axes={"lr": (1e-3, 3e-3), "epochs": (4, 8)}, widest={"epochs": (1, 40)})
    assert wide.values == {"lr": (1e-3, 3e-3), "epochs": (1, 2, 4, 8, 16, 32)}
    assert wide.neighbors((1e-3, 8), ["epochs"]) == [(1e-3, 4), (1e-3, 16)]
    assert wide.edges((1e-3, 8)) == ("lr",)
    assert wide.widened((1e-3, 16)) == ("epochs",)
    assert wide.widened((1e-3, 8)) == ()
    # An axis that begins at zero has no ratio there; it grows at its other end only.
    from_zero = Grid(axes={"decay": (0.0, 0.1, 0.3)}, widest={"decay": (0.0, 1.0)})
    assert from_zero.values["decay"] == pytest.approx((0.0, 0.1, 0.3, 0.9))


@pytest.mark.parametrize("values", [(), (0.2, 0.1), (0.1, 0.1), (-0.1, 1.0), (1.0, math.inf)])
def test_an_axis_must_ascend_from_zero_or_more(values):
    with pytest.raises(ValueError, match="decay must list ascending values >= 0"):
        Grid(axes={"decay": values})


def test_only_an_axis_can_be_widened():
    with pytest.raises(ValueError, match="widest must name one of decay; not 'epochs'"):
        Grid(axes={"decay": (1, 2)}, widest={"epochs": (1, 4)})


def test_axes_can_be_stepped_along_together():
    both = ("decay", "epochs")
    grid = Grid(axes=GRID.axes, together=(both,))
    assert grid.directions() == [("decay",), ("epochs",), both]
    assert grid.directions(["decay", "epochs"]) == [("decay",), ("epochs",)]
    assert grid.step((0.1, 2), both, 1) == (0.2, 4)
    assert grid.step((0.4, 2), both, 1) is None
    assert grid.neighbors((0.1, 2)) == [*GRID.neighbors((0.1, 2)), (0.0, 1), (0.2, 4)]
    with pytest.raises(ValueError, match="together must name some of decay, epochs; not 'lr'"):
        Grid(axes=GRID.axes, together=(("decay", "lr"),))
