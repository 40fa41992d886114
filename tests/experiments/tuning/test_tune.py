"""The search on landscapes whose best point is known, without noise and with it."""

import dataclasses
import itertools
import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import stats

from experiments.tuning.grid import Grid
from experiments.tuning.search import Effort, Tuned, descend, estimate_noise, measure

GRID = Grid(axes={"decay": (0.1, 0.2, 0.4, 0.8, 1.6), "epochs": (1, 2, 4, 8, 16)})
POINTS = list(itertools.product(*GRID.axes.values()))
EXACT = Effort(n_seeds=2)


def bowl(best):
    """A convex loss in the logarithms, lowest at `best`."""
    return {p: sum(math.log2(a / b) ** 2 for a, b in zip(p, best, strict=True)) + 3 for p in POINTS}


@dataclass
class Lookup:
    """Objective that adds noise by (point, seed) to known losses, and counts what it is asked."""

    losses: dict
    noise: object = None
    runs: set = field(default_factory=set)
    asked: list = field(default_factory=list)

    def __call__(self, requests):
        answers = {}
        for key, request in requests.items():
            self.asked += [(key, p, request.n_seeds) for p in request.points]
            self.runs |= {(key, p, s) for p in request.points for s in range(request.n_seeds)}
            answers[key] = {
                p: [
                    self.losses[p] + (self.noise(p, s) if self.noise else 0.001 * s)
                    for s in range(request.n_seeds)
                ]
                for p in request.points
            }
        return answers


def tune(losses, start, *, grid=GRID, effort=EXACT):
    return descend({0: start}, grid, Lookup(losses), effort)[0]


@pytest.mark.parametrize("last", [(), ("epochs",)])
@pytest.mark.parametrize("best", [(0.4, 4), (0.2, 8), (0.8, 2)])
def test_search_finds_the_minimum_that_the_whole_grid_has(best, last):
    losses = bowl(best)
    objective = Lookup(losses)
    starts = {"a": (1.6, 16), "b": (0.1, 1)}
    found = descend(starts, GRID, objective, Effort(n_seeds=2, last=last))
    for key, tuned in found.items():
        assert tuned.point == min(losses, key=losses.__getitem__) == best
        assert tuned.certified
        assert tuned.path[0] == starts[key]
        assert set(GRID.neighbors(best)) <= tuned.looks.keys()
        assert all(near.verdict == "worse" and near.margin >= 1 for near in tuned.neighbors)
    assert len(objective.asked) == len(set(objective.asked))
    assert len(objective.runs) < 2 * len(POINTS)


def test_an_axis_kept_for_last_is_tried_only_where_the_others_are_best():
    losses = bowl((0.4, 4))
    eager, late = Lookup(losses), Lookup(losses)
    descend({0: (0.1, 4)}, GRID, eager, EXACT)
    tuned = descend({0: (0.1, 4)}, GRID, late, Effort(n_seeds=2, last=("epochs",)))[0]
    assert tuned.point == (0.4, 4)
    assert {p for _, p, _ in late.asked if p[1] != 4} == {(0.4, 2), (0.4, 8)}
    assert len(late.runs) < len(eager.runs)


def test_a_ridge_is_climbed_only_by_steps_along_both_axes():
    """Decay and epochs as on novels at width 128: doubling both helps, doubling either hurts."""
    best = (0.8, 8)
    away = {p: [math.log2(a / b) for a, b in zip(p, best, strict=True)] for p in POINTS}
    losses = {p: 3 + 4 * (x - y) ** 2 + 0.1 * (x + y) ** 2 for p, (x, y) in away.items()}
    stuck = tune(losses, (0.2, 2))
    assert stuck.point == (0.2, 2)
    assert stuck.certified
    both = dataclasses.replace(GRID, together=(("decay", "epochs"),))
    climbed = tune(losses, (0.2, 2), grid=both)
    assert climbed.point == best
    assert climbed.certified
    assert [near.step for near in climbed.neighbors if len(near.direction) == 2] == [-1, 1]
    seen = dataclasses.replace(stuck, grid=both, looks={**stuck.looks, (0.4, 4): losses[0.4, 4]})
    assert seen.flaws[1] == "decay 0.4, epochs 4 better by 1.200"


def test_an_optimum_on_the_edge_is_not_certified():
    tuned = tune(bowl((1.6, 4)), (0.4, 4))
    assert tuned.point == (1.6, 4)
    assert tuned.flaws == ("edge of decay",)


def test_widening_goes_beyond_the_edge_only_as_far_as_needed():
    wide = Grid(axes={"decay": (0.1, 0.2), "epochs": (1, 2, 4)}, widest={"decay": (0.0125, 1.6)})
    losses = {
        p: (math.log2(p[0] / 0.4) ** 2 + math.log2(p[1] / 2) ** 2)
        for p in itertools.product(wide.values["decay"], (1, 2, 4))
    }
    tuned = tune(losses, (0.1, 2), grid=wide)
    assert tuned.point == (0.4, 2)
    assert tuned.certified
    assert wide.widened(tuned.point) == ("decay",)
    assert max(decay for decay, _ in tuned.looks) == 0.8


def test_no_decay_can_be_best_and_certified():
    grid = Grid(axes={"decay": (0.0, 0.1, 0.2), "epochs": (1, 2, 4)})
    losses = {p: p[0] + abs(math.log2(p[1] / 2)) for p in itertools.product(*grid.axes.values())}
    tuned = tune(losses, (0.15, 4), grid=grid)
    assert tuned.point == (0.0, 2)
    assert tuned.certified
    assert len(tuned.neighbors) == 3


def test_a_flat_objective_stays_where_it_starts_and_reports_ties():
    tuned = tune(dict.fromkeys(POINTS, 1.0), (0.4, 4))
    assert tuned.path == ((0.4, 4),)
    assert tuned.certified
    assert [near.verdict for near in tuned.neighbors] == ["tie"] * 4


def test_cells_that_diverge_are_infinitely_bad():
    nan = float("nan")
    everywhere = tune(dict.fromkeys(POINTS, nan), (0.4, 4))
    assert everywhere.flaws == ("diverged",)
    around = dict.fromkeys(GRID.neighbors((0.4, 4)), nan)
    tuned = tune({**bowl((0.4, 4)), **around}, (0.4, 4))
    assert tuned.point == (0.4, 4)
    assert all(near.margin == math.inf and near.verdict == "worse" for near in tuned.neighbors)
    # One seed of the best cell diverges: it is not chosen, and its neighbour is judged without it.
    losses = bowl((0.4, 4))
    diverges = Lookup(losses, lambda p, s: nan if (p, s) == ((0.4, 4), 1) else 0.001 * s)
    tuned = descend({0: (0.4, 4)}, GRID, diverges, EXACT)[0]
    assert tuned.point in GRID.neighbors((0.4, 4))
    assert tuned.certified
    assert [near.margin for near in tuned.neighbors].count(math.inf) == 1


def test_a_search_left_in_a_hole_between_diverged_cells_walks_out_when_it_can():
    nan = float("nan")
    losses = {**bowl((0.4, 4)), (0.1, 1): nan, (0.2, 1): nan}
    assert tune(losses, (0.1, 1)).point == (0.4, 4)


def test_what_evaluate_leaves_out_is_an_error():
    with pytest.raises(ValueError, match=r"no objective was returned for \[\(0.4, 4\)"):
        descend({0: (0.4, 4)}, GRID, lambda asked: {key: {} for key in asked}, EXACT)

    def one_seed(requests):
        return {key: {p: [1.0] for p in request.points} for key, request in requests.items()}

    with pytest.raises(ValueError, match="1 of 3 seeds were returned"):
        descend({0: (0.4, 4)}, GRID, one_seed, Effort(n_seeds=3))
    with pytest.raises(ValueError, match="last must name axes of decay, epochs; not lr"):
        descend({0: (0.4, 4)}, GRID, one_seed, Effort(last=("lr",)))


def test_a_given_point_is_measured_alone_and_not_certified():
    lookup = Lookup(bowl((0.4, 4)))
    found = measure({0: (0.4, 4), 1: (1.6, 16)}, GRID, lookup, Effort(n_look=1, n_seeds=3))
    assert lookup.asked == [(0, (0.4, 4), 3), (1, (1.6, 16), 3)]
    assert [found[key].point for key in (0, 1)] == [(0.4, 4), (1.6, 16)]
    assert found[0].loss == pytest.approx(3.001)
    assert found[0].looks == {(0.4, 4): 3.0}
    assert found[0].flaws == ("4 neighbours not run",)
    with pytest.raises(ValueError, match=r"no objective was returned for \[\(0.4, 4\)"):
        measure({0: (0.4, 4)}, GRID, lambda asked: {key: {} for key in asked}, EXACT)


def test_one_seed_knows_no_noise_and_certifies_nothing():
    tuned = tune(bowl((0.4, 4)), (0.4, 4), effort=Effort(n_seeds=1))
    assert tuned.point == (0.4, 4)
    assert tuned.flaws == ("noise unknown: one seed",)
    assert math.isnan(tuned.stderr)
    assert math.isnan(tuned.optimism)


def test_noise_is_the_residual_of_an_additive_model():
    """Agrees with the two-way analysis of variance, computed as a least-squares fit."""
    x = np.random.default_rng(0).normal(size=(5, 3)) + np.array([0, 10, -10])
    points, seeds = np.indices(x.shape)
    design = np.hstack([np.eye(5)[points.ravel()], np.eye(3)[seeds.ravel()]])
    fitted = design @ np.linalg.lstsq(design, x.ravel(), rcond=None)[0]
    noise = estimate_noise(x.tolist())
    assert noise.df == 15 - np.linalg.matrix_rank(design) == 8
    assert noise.sd == pytest.approx(np.sqrt(np.sum((x.ravel() - fitted) ** 2) / 8))
    diverged = [*x.tolist(), [1.0, math.inf, 1.0]]
    assert estimate_noise(diverged) == noise
    alone = estimate_noise([x[0].tolist()])
    assert (alone.sd, alone.df) == (pytest.approx(x[0].std(ddof=1)), 2)


def test_luck_that_seeds_have_everywhere_drops_out_of_the_margins():
    rng = np.random.default_rng(1)
    losses, luck = bowl((0.4, 4)), (0.0, 5.0, -5.0)
    cell = {(p, s): rng.normal(scale=0.01) for p in POINTS for s in range(3)}
    objective = Lookup(losses, lambda p, s: luck[s] + cell[p, s])
    # Every neighbour has all seeds: one look cannot distinguish them before noise is known.
    tuned = descend({0: (0.8, 4)}, GRID, objective, Effort(n_seeds=3))[0]
    assert tuned.best == {"decay": 0.4, "epochs": 4}
    assert tuned.stderr > 1
    for near in tuned.neighbors:
        seeds = range(near.n_seeds)
        gaps = [cell[near.point, s] - cell[(0.4, 4), s] for s in seeds]
        assert near.margin == pytest.approx(1 + np.mean(gaps))
        assert near.stderr == pytest.approx(0.01 * math.sqrt(2 / near.n_seeds), rel=0.6)
        assert near.verdict == "worse"


def judged(margin):
    """A point whose lower neighbour has a given margin, under noise of variance 8 / 6."""
    grid = Grid(axes={"x": (1, 2, 4)})
    # A pattern without effect of point or seed: these residuals are the noise, exactly.
    pattern = np.array([[1, -1, 0], [-1, 1, 0], [1, -1, 0], [-1, 1, 0]])
    values = {(2,): pattern[0], (1,): pattern[1] + margin, (4,): pattern[2] + 9}
    values[(8,)] = pattern[3] + 20
    return Tuned(
        grid=grid, n_look=1, path=((2,),), looks={p: v[0] for p, v in values.items()},
        values={p: tuple(map(float, v)) for p, v in values.items()},
    )  # fmt: skip


def test_a_neighbour_counts_as_better_only_beyond_the_noise():
    limit = stats.t.ppf(0.975, 6) * math.sqrt(8 / 6) * math.sqrt(2 / 3)
    tie = judged(-limit + 0.01)
    assert tie.neighbors[0].verdict == "tie"
    assert tie.certified
    better = judged(-limit - 0.01)
    assert better.neighbors[0].verdict == "better"
    assert better.flaws == (f"x 1 better by {limit + 0.01:.3f}",)
    assert judged(limit + 0.01).neighbors[0].verdict == "worse"


# Searches on random noisy bowls.

OWN, SHARED = 0.015, 0.012  # sd of a seed at one point and at all, nats: as in the quick world
NOISY = Grid(
    axes={
        "decay": tuple(0.1 * 2**i for i in range(9)),
        "epochs": tuple(2.0**i for i in range(5)),
        "lr": tuple(1e-3 * 2**i for i in range(6)),
    }
)
SHAPE = tuple(map(len, NOISY.axes.values()))


@dataclass(frozen=True)
class Draw:
    """One landscape, its search and how many runs that took."""

    truth: dict
    tuned: Tuned
    n_runs: int

    @property
    def excess(self):
        return self.truth[self.tuned.point] - min(self.truth.values())

    @property
    def worst_neighbor(self):
        """By how much the best neighbour is truly better than the point chosen."""
        near = NOISY.neighbors(self.tuned.point)
        return self.truth[self.tuned.point] - min(self.truth[p] for p in near)


def random_bowl(rng):
    """Tilted quadratic in log2 steps: .02 to .06 nats a step squared, optimum between cells."""
    points = list(itertools.product(*map(range, SHAPE)))
    curvature = rng.uniform(0.02, 0.06, 3)
    tilt = np.eye(3)
    tilt[0, 1] = tilt[1, 0] = rng.uniform(-0.2, 0.8)
    away = np.array(points) - [rng.uniform(1, n - 2) for n in SHAPE]
    hessian = tilt * np.sqrt(np.outer(curvature, curvature))
    losses = 4 + np.einsum("pi,ij,pj->p", away, hessian, away)
    cells = list(itertools.product(*NOISY.axes.values()))
    return dict(zip(cells, losses, strict=True))


def search_noisy(rng, effort, *, own=OWN):
    truth = random_bowl(rng)
    shared, cells = rng.normal(scale=SHARED, size=9), {}

    def noise(p, s):
        if (p, s) not in cells:
            cells[p, s] = rng.normal(scale=own)
        return shared[s] + cells[p, s]

    objective = Lookup(truth, noise)
    best = min(truth, key=truth.__getitem__)
    start = tuple(
        values[int(np.clip(values.index(x) + rng.integers(-1, 2), 0, len(values) - 1))]
        for values, x in zip(NOISY.axes.values(), best, strict=True)
    )
    tuned = descend({0: start}, NOISY, objective, effort)[0]
    return Draw(truth, tuned, len(objective.runs))


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(0)
    return [search_noisy(rng, Effort(n_seeds=3, last=("lr",))) for _ in range(500)]


def test_the_point_found_is_as_good_as_the_best_within_the_noise(draws):
    """Measured over 4,000 draws: 96.9 % within 0.02 nats of the grid's best, mean 0.003."""
    excess = np.array([draw.excess for draw in draws])
    assert np.mean(excess < 0.02) > 0.95
    assert excess.mean() < 0.005


def test_a_certificate_seldom_overlooks_a_better_neighbour(draws):
    """Measured over 4,000 draws: of certified points, 1.5 % have a neighbour that is truly better
    by 0.02 nats and 0.1 % one that is by 0.03, or 2.5 times the error of a margin (0.012)."""
    certified = [draw for draw in draws if draw.tuned.certified]
    assert len(certified) > 0.95 * len(draws)
    better = np.array([draw.worst_neighbor for draw in certified])
    assert np.mean(better > 0.02) < 0.03
    assert np.mean(better > 0.03) < 0.01


def test_every_tie_has_all_seeds(draws):
    for draw in draws:
        for near in draw.tuned.neighbors:
            assert near.verdict == "worse" or near.n_seeds == 3


def test_verdicts_on_neighbours_err_as_often_as_they_say(draws):
    """A neighbour called worse is truly better in under 2.5 % of cases: they are the rare ones."""
    called_worse = [
        draw.truth[near.point] - draw.truth[draw.tuned.point]
        for draw in draws
        for near in draw.tuned.neighbors
        if near.verdict == "worse"
    ]
    assert np.mean(np.array(called_worse) < 0) < 0.025


def test_noise_is_estimated_without_bias(draws):
    pooled = np.sqrt(np.mean([draw.tuned.noise.sd**2 for draw in draws]))
    assert pooled == pytest.approx(OWN, rel=0.1)


def test_reported_optimism_is_the_true_one(draws):
    """What selection takes off the loss, against the truth that only a simulation knows."""
    true = [draw.truth[draw.tuned.point] - draw.tuned.loss for draw in draws]
    reported = [draw.tuned.optimism for draw in draws]
    assert np.mean(true) > 0.003
    assert np.mean(reported) == pytest.approx(np.mean(true), abs=0.002)


def test_every_move_goes_down_so_walks_never_come_back(draws):
    """Each of the two walks visits a point once; the last point is the best that has all seeds."""
    for draw in draws:
        tuned = draw.tuned
        assert Counter(tuned.path).most_common(1)[0][1] <= 2
        means = [np.mean(values) for values in tuned.values.values()]
        assert tuned.loss == pytest.approx(min(means))


@pytest.mark.parametrize("own", [0.0, 1.0, 100.0])
def test_pure_noise_ends_too(own):
    """A flat landscape under any noise: the search ends, and asks for nothing twice."""
    rng = np.random.default_rng(2)
    cells = {}

    def noise(p, s):
        return cells.setdefault((p, s), rng.normal(scale=own))

    objective = Lookup(dict.fromkeys(itertools.product(*NOISY.axes.values()), 1.0), noise)
    tuned = descend({0: (0.8, 4.0, 4e-3)}, NOISY, objective, Effort(n_seeds=3))[0]
    assert Counter(tuned.path).most_common(1)[0][1] <= 2
    assert len(objective.asked) == len(set(objective.asked))


def test_a_warm_start_saves_runs_on_drifting_bowls():
    """Best decay and epochs drift from size to size: where the last one ended is a nearer start."""

    def optimum(size):
        return (0.1 * 2**size, 2.0 ** (5 - size))

    wide = Grid(
        axes={
            "decay": tuple(0.1 * 2**i for i in range(8)),
            "epochs": tuple(2.0**i for i in range(8)),
        }
    )

    def losses(size):
        return {
            p: sum(math.log2(a / b) ** 2 for a, b in zip(p, optimum(size), strict=True))
            for p in itertools.product(*wide.axes.values())
        }

    runs = {"cold": 0, "warm": 0}
    for kind in runs:
        start = (0.1, 64.0)
        for size in range(1, 6):
            objective = Lookup(losses(size))
            tuned = descend({0: start}, wide, objective, EXACT)[0]
            assert tuned.point == optimum(size)
            runs[kind] += len(objective.runs)
            if kind == "warm":
                start = tuned.point
    assert runs["warm"] < 0.8 * runs["cold"]


def test_the_bracket_ends_at_the_nearest_values_that_are_worse():
    grid = Grid(axes={"decay": (0.1, 0.2, 0.4, 0.8, 1.6), "epochs": (8,)})
    means = {0.1: 3.3, 0.2: 3.1, 0.4: 3.0, 0.8: 3.005, 1.6: 3.2}
    losses = {(decay, 8): (mean, mean + 0.01, mean - 0.01) for decay, mean in means.items()}
    losses[0.2, 8] = (3.11, 3.1, 3.09)  # so that the noise is not zero
    looks = {point: values[0] for point, values in losses.items()}
    values = {(decay, 8): losses[decay, 8] for decay in (0.2, 0.4, 0.8)}

    def bracket(axis, *unknown):
        known = {point: loss for point, loss in looks.items() if point[0] not in unknown}
        tuned = Tuned(grid=grid, n_look=1, path=((0.4, 8),), looks=known, values=values)
        return tuned.bracket(axis)

    assert bracket("decay") == (0.2, 1.6)  # 0.8 is a tie
    assert bracket("decay", 1.6) == (0.2, math.inf)
    assert bracket("decay", 0.2) == (0.1, 1.6)
    assert bracket("epochs") == (0.0, math.inf)
