import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from tokenizers import Tokenizer, models

from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.ensembles.ensemble import AVERAGES, average_log_probs, ensemble_log_probs
from models.language.language_model import Ensemble, LanguageModel
from models.language.members import train_members
from models.training.checkpoint import CheckpointError
from models.training.evaluate import all_log_probs, gold_log_probs, held_out_loss
from models.training.train import init_params

MODEL = ModelConfig.from_width(16, vocab_size=257, context=12)
WINDOWS = np.random.default_rng(0).integers(257, size=(5, 9))


def test_a_model_scores_as_the_functions_below_it(three_models):
    one = three_models[0]
    expected = all_log_probs(MODEL, one.params, WINDOWS)
    found = one.next_token_log_probs(WINDOWS[:, :-1])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    scores = one.gold_scores(WINDOWS)
    np.testing.assert_allclose(
        scores.log_probs, gold_log_probs(MODEL, one.params, WINDOWS), atol=1e-4
    )
    assert (scores.greedy == (np.argmax(expected, -1) == WINDOWS[:, 1:])).all()


@pytest.mark.parametrize("average", AVERAGES)
def test_an_ensemble_scores_as_its_definition(three_models, average):
    weights = [0.5, 0.0, 0.5]
    pool = [(one.model, one.params) for one in three_models]
    found = Ensemble(three_models, average=average, weights=weights)
    stack = jnp.stack([all_log_probs(*member, WINDOWS) for member in pool])
    expected = average_log_probs(stack, average, weights=weights)
    np.testing.assert_allclose(found.next_token_log_probs(WINDOWS[:, :-1]), expected, atol=1e-4)
    gold = ensemble_log_probs(pool, WINDOWS, how=average, weights=weights)
    np.testing.assert_allclose(found.gold_log_probs(WINDOWS), gold, atol=1e-4)


def test_a_model_comes_back_from_its_folder(three_models, tmp_path):
    three_models[1].save(tmp_path / "model")
    again = LanguageModel.load(tmp_path / "model")
    assert again.model == MODEL
    assert again.tokenizer_sha256 == three_models[1].tokenizer_sha256
    found, expected = again.gold_log_probs(WINDOWS), three_models[1].gold_log_probs(WINDOWS)
    np.testing.assert_array_equal(found, expected)
    assert LanguageModel.load(tmp_path / "model" / "params.safetensors").model == MODEL
    (tmp_path / "model" / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer\.json cannot be read as a tokenizer"):
        LanguageModel.load(tmp_path / "model")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        LanguageModel.load(tmp_path)


def test_bad_ensembles_are_refused(three_models, byte_tokenizer):
    one = three_models[0]
    larger = byte_tokenizer()
    larger.add_tokens(["word"])
    with pytest.raises(ValueError, match="more than the model's vocabulary of 257"):
        dataclasses.replace(one, tokenizer=larger)
    other = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    with pytest.raises(ValueError, match="must share one tokenizer; that of member 1"):
        Ensemble([one, dataclasses.replace(one, tokenizer=other)])
    wide = dataclasses.replace(MODEL, vocab_size=300)
    with pytest.raises(ValueError, match="one vocabulary size"):
        Ensemble([one, dataclasses.replace(one, model=wide)])
    with pytest.raises(ValueError, match="at least one member"):
        Ensemble([])
    with pytest.raises(ValueError, match="weights must be 3 numbers"):
        Ensemble(three_models, average="probability", weights=[1, 1, 1])
    with pytest.raises(ValueError, match="how must be one of"):
        Ensemble(three_models, average="median")


def test_bad_ids_are_refused(three_models):
    with pytest.raises(ValueError, match="ids must lie in the vocabulary, 0 to 256"):
        three_models[0].next_token_log_probs(np.array([[257]]))
    with pytest.raises(ValueError, match="vocabulary"):
        Ensemble(three_models).gold_scores(np.array([[-1, 3]]))
    with pytest.raises(ValueError, match="more than the members' context 12"):
        three_models[0].next_token_log_probs(np.zeros((1, 13), int))
    nameless = LanguageModel(model=MODEL, params=three_models[0].params)
    with pytest.raises(ValueError, match="needs a model with its tokenizer"):
        nameless.encode("text")


@pytest.mark.long
def test_members_are_trained_in_the_order_of_their_seeds(byte_tokenizer):
    model = ModelConfig.from_width(8, vocab_size=257, context=12, n_layers=1)
    tokens = np.tile(np.arange(1, 25), 20)
    recipe = {
        "model": model,
        "optimizer": OptimizerConfig(learning_rate=0.03, weight_decay=0.0),
        "train": TrainConfig(n_epochs=3),
    }
    members = train_members(tokens, byte_tokenizer(), **recipe, seeds=[3, 1])
    windows = tokens[:24].reshape(2, 12)
    losses = [held_out_loss(one.model, one.params, windows) for one in members]
    fresh = [held_out_loss(model, init_params(model, seed), windows) for seed in (3, 1)]
    assert np.less(losses, fresh).all()
    [alone] = train_members(tokens, **recipe, seeds=[1])
    assert held_out_loss(model, alone.params, windows) == pytest.approx(losses[1], abs=1e-5)
    with pytest.raises(ValueError, match="0 to 256; the tokens hold 300"):
        train_members(np.append(tokens, 300), **recipe, seeds=[0])
