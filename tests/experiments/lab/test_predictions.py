"""Settings that laws of size and data predict lie near those that searches found."""

import numpy as np
import pytest

from experiments.lab import predictions
from experiments.lab.lab import Lab
from experiments.planner.cost import MadeUpRuns
from experiments.recipes.regularized import tune_singles
from experiments.runs.texts import TextFacts
from experiments.worlds.registry import WORLDS, get_world
from scaling.published.talk import STOCK_TOKENS

GPU = WORLDS["gpu"]
FACTS = TextFacts(
    corpus="novels", vocab_size=GPU.vocab_size, sha256="", corpus_sha256="", bytes_per_token=1.0,
    n_tokens=dict.fromkeys(("train", "validation", "test"), 10**9),
)  # fmt: skip


@pytest.mark.parametrize("objective", predictions.OBJECTIVES)
@pytest.mark.parametrize("axis", ["learning_rate", "weight_decay", "n_epochs"])
def test_a_law_is_within_a_step_or_two_of_the_grid_of_what_searches_found(objective, axis):
    rows = predictions.searched(objective, axis)
    assert rows["n_unique_tokens"].nunique() > 1
    law = predictions.law(objective, axis)
    found = [law.predict(row)[0] for row in rows.to_dict("records")]
    off = np.abs(np.log2(np.array(found) / rows[axis]))
    # Grids have steps of two or three.
    assert off.mean() < 1
    assert law.sd < np.log(4)


def test_published_settings_at_the_stock_of_the_talk():
    """Kim et al. 2025: 150M to 1.4B parameters on 209M tokens, decay 0.8 to 3.2, 16 to 8 epochs."""
    at = {"n_params": 600e6, "n_unique_tokens": min(STOCK_TOKENS.values())}
    assert 0.8 <= predictions.law("single", "weight_decay").predict(at)[0] <= 6.4
    assert 4 <= predictions.law("single", "n_epochs").predict(at)[0] <= 16
    assert 5e-4 <= predictions.law("single", "learning_rate").predict(at)[0] <= 4e-3


def test_members_are_predicted_less_decay_or_more_epochs_than_single_models():
    grid = GPU.tuned_grid()
    single = predictions.predicted(GPU, "single", GPU.widths, grid)
    member = predictions.predicted(GPU, "ensemble", GPU.widths, grid)
    for width in GPU.widths:
        for point in (single[width], member[width]):
            named = grid.named(point)
            assert all(value in grid.values[axis] for axis, value in named.items())
        assert member[width][1] <= single[width][1]
        assert member[width][2] >= single[width][2]
    assert single[512][1] >= single[64][1]


def test_a_world_with_predicted_settings_trains_them_and_its_search_begins_there():
    predicted = predictions.predicted(GPU, "single", GPU.widths, GPU.tuned_grid())
    lab = Lab(GPU, MadeUpRuns(GPU), facts=FACTS)
    found = tune_singles(lab)
    assert {width: one.tuned.point for width, one in found.items()} == predicted
    assert len(lab.account.runs) == len(GPU.widths) * GPU.n_seeds
    assert not any(one.tuned.certified for one in found.values())
    searched = get_world("gpu", search=True)
    searching = Lab(searched, MadeUpRuns(searched), facts=FACTS)
    begun = {width: one.tuned.path[0] for width, one in tune_singles(searching).items()}
    assert begun == predicted
    assert len(searching.account.runs) > len(lab.account.runs)
