import jax
import numpy as np
import pytest

from models.augment.synthesizer import (
    longest_document,
    pair_losses,
    pair_rows,
    pair_windows,
    sample_related,
    synthesizer_job,
    train_synthesizer,
)
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.job_list import Finished, train_jobs
from models.language_model import LanguageModel
from models.train import Execution, Program, init_params, mean_loss

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


def test_a_synthesizer_learns_what_the_first_document_tells():
    documents = make_documents(200)
    base = LanguageModel(model=MODEL, params=init_params(MODEL, 0))
    synthesizer = train_synthesizer(
        base, documents, related(160), optimizer=ADAMW, train=TRAIN
    )  # fmt: skip
    found = pair_losses(base, synthesizer, documents, related(200)[160:196])
    # Once the concept is known: log 5 for each of four tokens, and nothing for the end. Without it
    # log 20; the model comes near to the former.
    loss = found.given.sum() / found.n_tokens.sum()
    assert 0.8 * np.log(5) - 0.05 < loss < 0.8 * np.log(10)
    assert found.specific_gain > 0.3
    assert found.specific_gain > 3 * found.specific_gain_stderr
    assert found.gain > found.specific_gain / 2
    samples = list(sample_related(synthesizer, documents, 40, seed=1))
    assert len(samples) == 40
    same = [set((s.ids - 1) // 5) == {s.source % N_CONCEPTS} for s in samples]
    assert np.mean(same) > 0.8
    assert np.mean([s.ended and len(s.ids) == 4 for s in samples]) > 0.8
    # Samples from the tenth on are the same ones.
    rest = list(sample_related(synthesizer, documents, 40, seed=1, first_sample=10))
    assert [s.ids.tolist() for s in rest] == [s.ids.tolist() for s in samples[10:]]
    assert [s.source for s in rest] == [s.source for s in samples[10:]]


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
