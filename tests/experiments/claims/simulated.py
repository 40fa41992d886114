"""Worlds drawn from known laws with the noise of real runs, in the tables that rules read.

Standard deviations between seeds are those of the shipped world: 0.01 to 0.03 nats for single
models and 0.01 to 0.04 for members, most of it common to validation and test.
"""

import itertools
import math
from collections import Counter

import numpy as np
import pandas as pd

from experiments.analysis.laws import LOSS, K, N
from experiments.tuning.grid import Grid
from experiments.tuning.search import Effort, descend

N_DRAWS = 50
SEED_SD = 0.02
SIZES = {16: 6_736, 32: 23_712, 64: 100_672, 128: 389_760}
"""Parameters without embeddings by width, those of the shipped world."""


def mostly(judge, draw, *rightly):
    """Whether a rule judges nine tenths of 50 stories rightly; stops when that is certain.

    Args:
        judge: a claim.
        draw: a function of a generator that returns a story.
        rightly: the verdicts that are right.
    """
    rng, wrong = np.random.default_rng(0), Counter()
    for n_drawn in range(1, N_DRAWS + 1):
        verdict = judge(draw(rng)).verdict
        if verdict not in rightly:
            wrong[verdict] += 1
        if n_drawn - wrong.total() >= 0.9 * N_DRAWS:
            return True
        assert wrong.total() <= 0.1 * N_DRAWS, f"{wrong} of {n_drawn}"
    return False


def runs_of(rng, losses, *, n_seeds, sd=SEED_SD):
    """Runs with several seeds.

    Args:
        rng: of the noise.
        losses: {(width, epochs): true loss}.
        n_seeds: seeds of each.
        sd: standard deviation between seeds.
    """
    rows = [
        {
            "width": width, N: SIZES[width], "n_epochs": epochs, "seed": seed,
            "validation_loss": loss - 0.15 + common + 0.3 * sd * rng.normal(),
            LOSS: loss + common + 0.3 * sd * rng.normal(),
        }
        for (width, epochs), loss in losses.items()
        for seed, common in enumerate(sd * rng.normal(size=n_seeds))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def search_of(rng, best, *, curvature=0.06, sd=SEED_SD):
    """A search for decay and epochs on a bowl, nats per squared octave, with three seeds.

    Args:
        rng: of the noise.
        best: decay and epochs where the bowl is lowest.
        curvature: of the bowl.
        sd: standard deviation between seeds.
    """
    decays, epochs = tuple(0.05 * 2.0**i for i in range(12)), (4, 8, 16, 32, 64, 128)
    grid = Grid(axes={"learning_rate": (0.01,), "weight_decay": decays, "n_epochs": epochs})

    def loss(point):
        return 4 + curvature * sum(
            math.log2(a / b) ** 2 for a, b in zip(point[1:], best, strict=True)
        )

    values = {
        point: tuple(loss(point) + sd * rng.normal(size=3))
        for point in itertools.product(*grid.axes.values())
    }

    def evaluate(requests):
        return {
            key: {point: values[point][: request.n_seeds] for point in request.points}
            for key, request in requests.items()
        }

    return descend({0: (0.01, 1.6, 32)}, grid, evaluate, Effort(n_seeds=3))[0]


def member_tables(rng, loss, n_members, *, n_logits=1_600, sd=0.0):
    """Mean losses over all subsets of some members, and of all but each of them.

    A member's logits are off by independent errors, and a subset's loss rises with the square of
    their mean: 1/K exactly, on average over members. `loss` is added to that.

    Args:
        rng: of the members.
        loss: function of the number of members.
        n_members: size of the pool.
        n_logits: number of logits.
        sd: standard deviation of a logit's error, times the root of `n_logits`.

    Returns:
        A table with columns `n_members` and `test_loss`, and a list of such tables.
    """
    errors = sd / math.sqrt(n_logits) * rng.normal(size=(n_members, n_logits))
    shifts = 0.01 * rng.normal(size=n_members)
    losses = {
        subset: loss(k) + (errors[list(subset)].mean(axis=0) ** 2).sum() + shifts[[*subset]].mean()
        for k in range(1, n_members + 1)
        for subset in itertools.combinations(range(n_members), k)
    }

    def means(left_out=None):
        of = {}
        for subset, value in losses.items():
            if left_out not in subset:
                of.setdefault(len(subset), []).append(value)
        return pd.DataFrame({K: list(of), LOSS: [np.mean(values) for values in of.values()]})

    return means(), [means(member) for member in range(n_members)]
