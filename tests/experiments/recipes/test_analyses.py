"""What is read off finished runs, on tables made up so that the answer is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from experiments.analysis.members import limit_by_member, loss_by_member
from experiments.recipes.classical import Classical
from experiments.recipes.downstream import Downstream
from experiments.recipes.learning_curves import LearningCurves
from experiments.recipes.members.diversity import Diversity
from experiments.story import equal_size
from models.ensembles.ensemble import member_subsets

N_MEMBERS = 5


def pool(losses, *, shared=0.0):
    """Scores of an ensemble whose loss is the mean of its members' plus `shared` / K."""
    rows = [
        {
            "members": ",".join(map(str, np.flatnonzero(subset))),
            "n_members": int(subset.sum()),
            "average": average,
            "validation_loss": float(np.mean(np.array(losses)[subset]) + shared / subset.sum()),
            "test_loss": float(np.mean(np.array(losses)[subset]) + shared / subset.sum()) + 0.1,
        }
        for average in ("logit", "probability")
        for subset in member_subsets(len(losses))
    ]
    return pd.DataFrame(rows)


MEMBERS = (3.0, 3.1, 3.3, 3.4, 3.2)


@pytest.mark.parametrize("n_members", [1, 2, 3, 4])
def test_a_loss_splits_into_its_members_influences(n_members):
    """Where the loss is a mean over members, leaving one out recovers each."""
    values = loss_by_member(pool(MEMBERS), n_members)
    assert np.mean(values) == pytest.approx(np.mean(MEMBERS))
    np.testing.assert_allclose(values, MEMBERS)


def test_the_whole_ensemble_has_the_spread_of_the_next_smaller_one():
    scores = pool(MEMBERS, shared=0.4)
    whole = loss_by_member(scores, N_MEMBERS)
    assert np.mean(whole) == pytest.approx(np.mean(MEMBERS) + 0.4 / N_MEMBERS)
    assert np.std(whole) == pytest.approx(np.std(loss_by_member(scores, N_MEMBERS - 1)))
    assert np.mean(limit_by_member(scores)) == pytest.approx(np.mean(MEMBERS))


def sizes_story(*, one, n_params):
    """Two sizes: members of the smaller one, whose loss is 3.2 + .4 / K + .1 on test."""
    best = pd.DataFrame(
        [
            {"width": width, "seed": seed, "n_params": n, "test_loss": x}
            for width, n, losses in ((16, 100, (4.0, 4.1)), (32, n_params, one))
            for seed, x in enumerate(losses)
        ]
    )  # fmt: skip
    ensembles = SimpleNamespace(
        tuned={16: SimpleNamespace(point=())}, at=lambda width, point: pool(MEMBERS, shared=0.4)
    )
    return SimpleNamespace(best=best), ensembles


def test_members_are_read_between_whole_numbers_where_the_law_is_a_line():
    regularized, ensembles = sizes_story(one=(3.6, 3.62), n_params=250)
    [pair] = equal_size.compare(regularized, ensembles)
    assert (pair.small, pair.large, pair.n_members) == (16, 32, 2.5)
    assert pair.ensemble.value == pytest.approx(3.3 + 0.4 / 2.5)
    assert pair.ensemble.low < pair.ensemble.value < pair.ensemble.high
    assert pair.gain.value == pytest.approx(3.61 - pair.ensemble.value)


def test_a_size_that_no_ensemble_reaches_is_left_out():
    assert equal_size.compare(*sizes_story(one=(3.6, 3.62), n_params=501)) == []
    with pytest.raises(ValueError, match="count must be one of n_params, n_params_non_embedding"):
        equal_size.compare(*sizes_story(one=(3.6, 3.62), n_params=250), count="width")


def curves(*, train_shift=0.0, noise=0.002):
    """Cortes' curves with asymptote 4, exponents .5 and .4, three seeds."""
    rng = np.random.default_rng(0)
    rows = [
        {"n_examples": float(n), "is_train": is_train, "seed": seed, "n_epochs": 1,
         "loss": loss + noise * rng.standard_normal()}
        for n in (1024, 2048, 4096, 8192, 16384, 32768)
        for seed in range(3)
        for is_train, loss in (
            (0.0, 4 + 40 / n**0.5), (1.0, 4 + train_shift - 15 / n**0.4)
        )
    ]  # fmt: skip
    return LearningCurves(width=16, table=pd.DataFrame(rows))


def test_learning_curves_of_the_law_predict_the_largest_and_share_their_asymptote():
    found = curves()
    assert found.largest == 32768
    assert found.known["n_examples"].max() == 16384
    truth = 4 + 40 / 32768**0.5
    predicted = found.predicted(is_train=0)
    assert predicted.value == pytest.approx(truth, abs=0.01)
    assert predicted.low < truth < predicted.high
    assert found.measured(is_train=0).value == pytest.approx(truth, abs=0.01)
    assert found.asymptote_gap.low < 0 < found.asymptote_gap.high
    alone = found.predicted_by_test_alone()
    assert predicted.high - predicted.low < alone.high - alone.low


def test_a_training_curve_with_an_asymptote_of_its_own_is_found_out():
    gap = curves(train_shift=-0.5, noise=0.0005).asymptote_gap
    assert gap.low < -0.5 < gap.high < 0


def test_what_one_source_of_difference_gains():
    scores = {
        "both": pool(MEMBERS, shared=0.4),
        "weights": pool(MEMBERS, shared=0.3),
        "order": pool(MEMBERS, shared=0.1),
    }
    found = Diversity(width=32, scores=scores)
    assert found.n_members == N_MEMBERS
    assert found.gain("both") == pytest.approx(0.4)
    share = found.share("weights")
    assert share.value == pytest.approx(0.75)
    assert share.low <= 0.75 <= share.high
    assert found.share("order").value == pytest.approx(0.25)


def downstream(accuracies, losses, n_members, flops):
    rng = np.random.default_rng(0)
    paradigms = pd.DataFrame([a + 0.02 * rng.standard_normal(40) for a in accuracies])
    models = pd.DataFrame(
        {
            "recipe": ["ensemble" if n > 1 else "tuned" for n in n_members],
            "n_members": n_members,
            "train_flops": flops,
            "validation_loss": losses,
            "test_loss": losses,
            "pairs": paradigms.mean(axis=1),
        }
    )
    return Downstream(models=models, paradigms=paradigms, n_pairs=400, n_items=100)


def test_accuracy_that_follows_loss_has_rank_correlation_minus_one():
    found = downstream([0.5, 0.6, 0.7, 0.8], [4.0, 3.8, 3.6, 3.4], [1, 1, 2, 4], [1, 2, 4, 8])
    correlation = found.rank_correlation()
    assert correlation.value == -1
    assert correlation.high < -0.9
    assert found.selected(ensemble=True).name == 3
    assert found.selected(ensemble=False).name == 1
    gain = found.gain_of_ensembles()
    assert gain.value == pytest.approx(0.2, abs=0.02)
    assert gain.low > 0.15


def test_models_that_are_alike_do_not_differ():
    ranked = downstream([0.5, 0.6, 0.7, 0.8], [4.0, 3.8, 3.6, 3.4], [1, 1, 2, 4], [1, 2, 4, 8])
    assert ranked.differ() < 1e-6
    assert ranked.over_chance().value == pytest.approx(0.3, abs=0.02)
    alike = replace(ranked, paradigms=pd.DataFrame(np.full((4, 40), 0.5)))
    assert alike.differ() == 1
    assert not alike.over_chance().is_positive
    assert alike.rank_correlation().value == 0


def test_the_frontier_holds_what_less_compute_does_not_match():
    found = downstream([0.5, 0.7, 0.6, 0.8], [4.0, 3.8, 3.6, 3.4], [1, 1, 2, 4], [1, 2, 4, 8])
    assert found.frontier().index.tolist() == [0, 1, 3]


def test_a_mixture_is_compared_window_by_window():
    windows = pd.DataFrame({"best": [4.0, 4.2, 4.4], "mixture": [3.9, 4.09, 4.31]})
    found = Classical(order=3, models=pd.DataFrame(), windows=windows, best="a", ensemble="b")
    gain = found.gain("best", of="mixture")
    assert gain.value == pytest.approx(0.1)
    assert gain.is_positive  # the windows differ by far more than the models do
    assert found.perplexity("best") == pytest.approx(np.exp(4.2))
