import jax
import numpy as np
import pytest

from models.augment.sbp.pair_rows import longest_document, pair_rows, pair_windows
from models.augment.sbp.prototypes import prototype_scores
from models.augment.sbp.synthesizer import (
    pair_losses,
    sample_related,
    synthesizer_job,
    train_synthesizer,
)
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.language.language_model import LanguageModel
from models.training.job_list import Finished, train_jobs
from models.training.train import Execution, Program, init_params, mean_loss

MODEL = ModelConfig.from_width(16, vocab_size=24, context=13, n_layers=1)
ADAMW = OptimizerConfig(learning_rate=2e-2, weight_decay=0.1)
TRAIN = TrainConfig(n_epochs=25, batch_size=16)
N_CONCEPTS = 4


def make_documents(n: int, seed: int = 0) -> list[np.ndarray]:
    """Documents of 4 tokens drawn from their concept's own 5 of the vocabulary."""
    rng = np.random.default_rng(seed)
    return [1 + 5 * (i % N_CONCEPTS) + rng.integers(5, size=4) for i in range(n)]


def related(n: int) -> np.ndarray:
    """Each document with the next of its concept."""
    return np.stack([np.arange(n), (np.arange(n) + N_CONCEPTS) % n], axis=1)


def losses_by_hand(params, rows):
    """Mean of -log p over scored targets, by gathering from the model's log-softmax."""
    model = LanguageModel(model=MODEL, params=params)
    ids = np.where(rows < 0, ~rows, rows)
    log_probs = model.next_token_log_probs(ids[:, :-1])
    gold = np.take_along_axis(log_probs, ids[:, 1:, None], axis=-1)[..., 0]
    return -gold[rows[:, 1:] >= 0].mean()


def test_rows_score_the_second_document_and_its_end_only():
    documents = [np.array([5, 6, 7]), np.array([8, 9])]
    row = pair_rows(documents, np.array([[0, 1]]), model=MODEL)[0]
    ids = np.where(row < 0, ~row, row)
    assert ids.tolist() == [0, 5, 6, 7, 0, 8, 9, 0, 0, 0, 0, 0, 0]
    assert np.flatnonzero(row >= 0).tolist() == [5, 6, 7]
    assert longest_document(MODEL) == 5
    with pytest.raises(ValueError, match="documents 0 and 0 of 6 and 6 tokens do not fit"):
        pair_rows([np.arange(6)], np.array([[0, 0]]), model=MODEL)
    with pytest.raises(ValueError, match="at least one pair"):
        pair_rows(documents, np.zeros((0, 2), int), model=MODEL)


def test_masked_loss_equals_the_mean_over_scored_targets():
    params = init_params(MODEL, 0)
    windows = pair_windows(make_documents(8), related(8), model=MODEL)
    loss = jax.jit(mean_loss, static_argnums=0)(
        MODEL, params, windows, n_scored=(windows[:, 1:] >= 0).sum()
    )
    assert float(loss) == pytest.approx(losses_by_hand(params, windows), rel=1e-5)


@pytest.mark.long
def test_parts_of_a_batch_and_layouts_train_alike():
    documents, pairs = make_documents(48), related(48)

    def trained(execution, layout):
        job = synthesizer_job(
            documents, pairs, model=MODEL, optimizer=ADAMW, seed=0, held_out_pairs=pairs[:8],
            train=TRAIN,
        )  # fmt: skip
        assert job.program() == Program(model=MODEL, has_unscored=True)
        events = []
        train_jobs([job], events.append, execution=execution, layout=layout)
        return next(event for event in events if isinstance(event, Finished))

    plain = trained(Execution(), "one_a_device")
    other = trained(Execution(n_microbatches=4), "side_by_side")
    windows = pair_windows(documents, pairs[:8], model=MODEL)
    assert plain.scores["pairs"] == pytest.approx(losses_by_hand(plain.params, windows), rel=1e-5)
    assert other.scores["pairs"] == pytest.approx(plain.scores["pairs"], rel=1e-4)


@pytest.fixture(scope="module")
def learned():
    """A base model, and what it becomes when it continues on related documents."""
    base = LanguageModel(model=MODEL, params=init_params(MODEL, 0))
    documents = make_documents(200)
    return base, train_synthesizer(base, documents, related(160), optimizer=ADAMW, train=TRAIN)


def test_a_synthesizer_learns_what_the_first_document_tells(learned):
    base, synthesizer = learned
    documents = make_documents(200)
    found = pair_losses(base, synthesizer, documents, related(200)[160:196])
    # Once the concept is known: log 5 for each of four tokens, and nothing for the end. Without it
    # log 20; the model comes near to the former.
    loss = found.given.sum() / found.n_tokens.sum()
    assert 0.8 * np.log(5) - 0.05 < loss < 0.8 * np.log(10)
    assert found.specific_gain > 0.3
    assert found.specific_gain > 3 * found.specific_gain_stderr
    assert found.gain > found.specific_gain / 2


def test_samples_are_of_their_sources_concept_and_can_be_gone_on_with(learned):
    _, synthesizer = learned
    documents = make_documents(200)
    samples = list(sample_related(synthesizer, documents, 40, seed=1))
    assert len(samples) == 40
    same = [set((s.ids - 1) // 5) == {s.source % N_CONCEPTS} for s in samples]
    assert np.mean(same) > 0.8
    assert np.mean([s.ended and len(s.ids) == 4 for s in samples]) > 0.8
    rest = list(sample_related(synthesizer, documents, 40, seed=1, first_sample=10))
    assert [s.ids.tolist() for s in rest] == [s.ids.tolist() for s in samples[10:]]
    assert [s.source for s in rest] == [s.source for s in samples[10:]]


def test_the_prototype_model_sums_over_prototypes(learned):
    _, editor = learned
    prototypes, texts = make_documents(12, seed=5), make_documents(4, seed=6)
    everything = np.tile(np.arange(12), (4, 1))
    whole = prototype_scores(editor, prototypes, texts, everything)
    for i, text in enumerate(texts):
        ids = np.array([[0, *prototype, 0, *text, 0] for prototype in prototypes])
        each = editor.gold_log_probs(ids)[:, 5:].sum(axis=1, dtype=float)
        expected = np.log(np.mean(np.exp(each)))
        assert whole.log_probs[i] == pytest.approx(expected, rel=1e-4)
    own = np.arange(12).reshape(3, N_CONCEPTS).T
    near = prototype_scores(editor, prototypes, texts, own)
    far = prototype_scores(editor, prototypes, texts, np.roll(own, 1, axis=0))
    # A part of the sum bounds it, but for float32's rounding of sums over 5 tokens; the concept's
    # own prototypes are nearly all of it.
    rounding = 1e-5
    assert (near.log_probs <= whole.log_probs + rounding).all()
    assert far.loss > near.loss + 0.1
    assert near.loss < whole.loss + 0.1
    assert whole.n_tokens.tolist() == [5] * 4
    np.testing.assert_allclose(whole.posterior.sum(axis=1), 1)
    assert (whole.effective_prototypes < 8).all()
    ragged = np.where(np.arange(3) < 2, own, -1)
    fewer = prototype_scores(editor, prototypes, texts, ragged)
    assert (fewer.log_probs <= near.log_probs + rounding).all()
    assert fewer.loss > near.loss
    # Others that are sampled stand for all: with every one of them sampled, the sum is exact.
    rest = np.array([np.setdiff1d(np.arange(12), row) for row in own])
    columns = np.column_stack([own, rest])
    sampled = prototype_scores(editor, prototypes, texts, columns, n_sampled=9)
    np.testing.assert_allclose(sampled.log_probs, whole.log_probs, rtol=1e-5)
    np.testing.assert_allclose(
        sampled.share_of_nearest, np.exp(near.log_probs - whole.log_probs), rtol=1e-4
    )
    np.testing.assert_allclose(sampled.of_nearest(3).log_probs, near.log_probs, rtol=1e-6)
    # Each other prototype alone as the sample: the estimates of p(x) average to it.
    estimates = [
        prototype_scores(editor, prototypes, texts, columns[:, [0, 1, 2, at]], n_sampled=1)
        for at in range(3, 12)
    ]
    mean = np.mean([np.exp(one.log_probs) for one in estimates], axis=0)
    np.testing.assert_allclose(mean, np.exp(whole.log_probs), rtol=1e-4)
    with pytest.raises(ValueError, match="n_sampled must lie between 0 and 2"):
        prototype_scores(editor, prototypes, texts, own, n_sampled=3)
    with pytest.raises(ValueError, match="text 2 has no neighbour"):
        prototype_scores(editor, prototypes, texts, np.where(np.arange(4)[:, None] == 2, -1, own))
    with pytest.raises(ValueError, match="text 0 of 9 tokens does not fit the context 13"):
        prototype_scores(editor, prototypes, [np.ones(9, int)], own[:1])


def test_what_cannot_be_trained_on_is_refused():
    documents, pairs = make_documents(8), related(8)
    with pytest.raises(ValueError, match="8 pairs do not fill a batch of 16"):
        synthesizer_job(documents, pairs, model=MODEL, optimizer=ADAMW, seed=0, train=TRAIN)
    apart = ModelConfig(
        vocab_size=24, width=16, n_layers=1, n_heads=1, mlp_width=16, context=13,
        attend_across_documents=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match="attend_across_documents=True"):
        pair_rows(documents, pairs, model=apart)
    with pytest.raises(ValueError, match="two held-out pairs"):
        pair_losses(None, None, documents, pairs[:1])
