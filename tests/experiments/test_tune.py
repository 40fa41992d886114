import itertools

import pytest

from experiments.tune import Grid, descend

GRID = Grid(axes={"decay": (0.1, 0.2, 0.4, 0.8, 1.6), "epochs": (1, 2, 4, 8, 16)})
POINTS = list(itertools.product(*GRID.axes.values()))


def bowl(best):
    """A convex loss in the logarithms, lowest at `best`."""
    import math

    return {p: sum(math.log2(a / b) ** 2 for a, b in zip(p, best, strict=True)) + 3 for p in POINTS}


@pytest.mark.parametrize("best", [(0.4, 4), (0.2, 8), (0.8, 2)])
def test_descent_finds_the_minimum_that_the_whole_grid_has(best):
    losses, asked = bowl(best), []

    def evaluate(wanted):
        asked.extend(p for points in wanted.values() for p in points)
        return {key: {p: losses[p] for p in points} for key, points in wanted.items()}

    found = descend({"a": (1.6, 16), "b": (0.1, 1)}, GRID, evaluate)
    for tuned in found.values():
        assert tuned.point == min(losses, key=losses.__getitem__) == best
        assert tuned.certified
        assert set(GRID.neighbors(best)) <= tuned.values.keys()
    assert len(asked) < 2 * len(POINTS)


def looking_up(losses):
    return lambda wanted: {key: {p: losses[p] for p in ps} for key, ps in wanted.items()}


def test_an_optimum_on_the_edge_is_not_certified():
    losses = bowl((1.6, 4))
    tuned = descend({0: (0.4, 4)}, GRID, looking_up(losses))[0]
    assert tuned.point == (1.6, 4)
    assert tuned.edges == ("decay",)
    assert not tuned.certified


def test_a_flat_objective_stays_where_it_starts():
    tuned = descend({0: (0.4, 4)}, GRID, looking_up(dict.fromkeys(POINTS, 1.0)))[0]
    assert tuned.point == (0.4, 4)


def test_start_moves_to_the_nearest_cell_by_ratio():
    assert GRID.nearest((0.5, 100)) == (0.4, 16)
    assert GRID.neighbors((0.1, 1)) == [(0.2, 1), (0.1, 2)]


def test_a_missing_objective_is_an_error():
    with pytest.raises(ValueError, match="no objective was returned"):
        descend({0: (0.4, 4)}, GRID, lambda wanted: {key: {} for key in wanted})


def test_a_cell_that_diverged_is_never_certified():
    tuned = descend({0: (0.4, 4)}, GRID, looking_up(dict.fromkeys(POINTS, float("nan"))))[0]
    assert not tuned.certified
    losses = {**bowl((0.4, 4)), (0.4, 8): float("nan")}
    assert descend({0: (0.4, 8)}, GRID, looking_up(losses))[0].point == (0.4, 4)
