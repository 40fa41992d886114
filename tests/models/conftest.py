"""Tiny models that read text byte by byte."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from models.config import ModelConfig
from models.language_model import Ensemble, LanguageModel
from models.train import init_params

CONTEXT = 12


def make_byte_tokenizer() -> Tokenizer:
    """One token a byte, after the end of text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {"<|endoftext|>": 0, **{symbol: i + 1 for i, symbol in enumerate(alphabet)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def make_sharp_model(seed: int) -> LanguageModel:
    """An untrained model with a sharpened head, whose predictions are far from uniform."""
    model = ModelConfig.from_width(16, vocab_size=257, context=CONTEXT)
    params = init_params(model, seed)
    params["head"][...] = 20 * params["head"][...]
    return LanguageModel(model=model, params=params, tokenizer=make_byte_tokenizer())


@pytest.fixture(scope="session")
def byte_tokenizer():
    return make_byte_tokenizer


@pytest.fixture(scope="session")
def three_models():
    return [make_sharp_model(seed) for seed in range(3)]


@pytest.fixture(scope="session", params=["model", "ensemble"])
def predictor(request, three_models):
    """One model, and an ensemble of three."""
    return three_models[0] if request.param == "model" else Ensemble(three_models)
