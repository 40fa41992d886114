import jax
import numpy as np
import optax
import pytest

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.language.distill import distill_soft, sample_teacher, soft_cross_entropy
from models.language.generate import generate
from models.text.batches import evaluation_windows
from models.training.evaluate import all_log_probs
from models.training.job_list import Finished, Job, Segment, train_jobs
from models.training.train import init_params, token_log_probs

MODEL = ModelConfig.from_width(16, vocab_size=12, context=8, n_layers=1)
ADAMW = OptimizerConfig(learning_rate=0.02, weight_decay=0.1)


def markov_tokens(n, seed):
    """A text with structure to learn: each token follows from the one before, with noise."""
    rng = np.random.default_rng(seed)
    noise, tokens = rng.random(n) < 0.3, rng.integers(12, size=n)
    for i in range(1, n):
        if not noise[i]:
            tokens[i] = (5 * tokens[i - 1] + 3) % 12
    return tokens


def job(tokens, n_epochs, **settings):
    return Job(
        id="job", model=MODEL, optimizer=ADAMW, train=TrainConfig(n_epochs=n_epochs, batch_size=8),
        seed=1, tokens=tokens, held_out={}, **settings,
    )  # fmt: skip


def trained(one):
    events = []
    train_jobs([one], events.append)
    return next(event for event in events if isinstance(event, Finished)).params


@pytest.fixture(scope="module")
def teacher():
    return MODEL, trained(job(markov_tokens(8192, seed=0), n_epochs=4))


def divergence_from(teacher, params):
    """KL(teacher || student) in nats per token on a text that neither has seen."""
    windows = evaluation_windows(markov_tokens(2000, seed=7), context=8).astype(np.int32)
    wanted = np.asarray(all_log_probs(*teacher, windows))
    given = np.asarray(all_log_probs(MODEL, params, windows))
    return (np.exp(wanted) * (wanted - given)).sum(-1).mean()


def test_a_certain_teacher_gives_the_cross_entropy():
    """By temperature towards 0 of the teacher, or by labels: optax's loss is the oracle."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(20, 12)).astype(np.float32), rng.integers(12, size=20)
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    certain = np.where(np.arange(12) == labels[:, None], 0.0, -100.0)
    assert float(soft_cross_entropy(logits, certain)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_student_equal_to_its_teacher_has_nothing_to_learn(temperature):
    params = init_params(MODEL, 0)
    ids = np.random.default_rng(0).integers(12, size=(4, 8))
    wanted = token_log_probs(MODEL, params, ids)

    def loss(params):
        return soft_cross_entropy(token_log_probs(MODEL, params, ids), wanted, temperature)

    def slope(params):
        return max(float(abs(g).max()) for g in jax.tree.leaves(jax.grad(loss)(params)))

    assert slope(params) < 1e-6
    assert slope(init_params(MODEL, 1)) > 1e-3


@pytest.mark.long
def test_a_student_comes_nearer_to_its_teacher_by_soft_targets_and_by_its_text(teacher):
    """Few real tokens: what the student lacks is in the teacher. Same steps for all three."""
    tokens = markov_tokens(256, seed=3)
    settings = {"optimizer": ADAMW, "train": TrainConfig(n_epochs=40, batch_size=8), "seed": 1}
    soft = distill_soft(MODEL, [teacher], tokens, **settings)
    hard = distill_soft(MODEL, [teacher], tokens, **settings, soft_share=0)
    windows = sample_teacher([teacher], n_tokens=4096, seed=2)
    read = job(tokens, n_epochs=20, synthetic=windows, synthetic_share=0.5)
    assert len(soft.losses) == len(hard.losses) == read.n_steps == 160
    without = divergence_from(teacher, hard.params)
    assert divergence_from(teacher, soft.params) < 0.5 * without
    assert divergence_from(teacher, trained(read)) < 0.5 * without


@pytest.mark.long
def test_hard_labels_alone_are_the_training_of_a_job():
    """Loss by loss, for as many steps as rounding does not part them."""
    tokens, events = markov_tokens(256, seed=3), []
    student = distill_soft(
        MODEL, [(MODEL, init_params(MODEL, 0))], tokens, optimizer=ADAMW, seed=1, soft_share=0,
        train=TrainConfig(n_epochs=5, batch_size=8),
    )  # fmt: skip
    train_jobs([job(tokens, n_epochs=5)], events.append)
    plain = np.concatenate([event.losses for event in events if isinstance(event, Segment)])
    assert len(plain) == 20
    np.testing.assert_allclose(student.losses, plain, rtol=1e-4)


@pytest.mark.long
def test_pooled_members_write_a_share_each(teacher):
    """At temperature 0 a writer's window is its greedy text, so its writer can be identified."""
    other = (MODEL, init_params(MODEL, 5))
    pool = sample_teacher([teacher, other], n_tokens=80, pooled=True, temperature=0)
    greedy = [
        generate([one], n_samples=1, n_tokens=8, temperature=0).ids[0] for one in (teacher, other)
    ]
    assert (greedy[0] != greedy[1]).any()
    np.testing.assert_array_equal(pool[:, 1:], np.repeat(greedy, 5, axis=0))


@pytest.mark.parametrize(
    ("student", "settings", "said"),
    [
        (ModelConfig.from_width(16, vocab_size=13, context=8), {}, "have 13 and 12 ids"),
        (ModelConfig.from_width(16, vocab_size=12, context=9), {}, "context 9 must not be longer"),
        (MODEL, {"soft_share": 2}, r"soft_share must lie in \[0, 1\]"),
        (MODEL, {"temperature": 0}, "temperature must be > 0"),
        (MODEL, {"synthetic_share": 0.5}, "needs synthetic windows"),
    ],
)
def test_what_cannot_be_distilled_is_refused_with_the_reason(student, settings, said):
    train = TrainConfig(n_epochs=1, batch_size=8)
    with pytest.raises(ValueError, match=said):
        distill_soft(
            student, [(MODEL, None)], markov_tokens(256, seed=3), optimizer=ADAMW, train=train,
            seed=0, **settings,
        )  # fmt: skip
