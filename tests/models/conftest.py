"""Tiny models that read text byte by byte, weights that cost nothing, a made-up language."""

import jax
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from models.config import ModelConfig
from models.language.language_model import Ensemble, LanguageModel
from models.text.tokens import tokenize_corpus
from models.training.train import init_params

CONTEXT = 12


SYLLABLES = ["ba", "do", "ki", "lu", "me", "no", "ra", "si", "tu", "vé", "\n", "東"]


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


@pytest.fixture(scope="session")
def draw_params():
    """Draw weights of a size at which logits differ; norm gains differ from 1."""

    def draw(model, seed=0):
        rng = np.random.default_rng(seed)
        shapes = jax.eval_shape(lambda: init_params(model, 0))
        return jax.tree.map(lambda leaf: 0.5 * rng.standard_normal(leaf.shape, np.float32), shapes)

    return draw


@pytest.fixture(scope="session")
def made_up_tokens(tmp_path_factory):
    """A corpus of 300 tokens."""
    folder = tmp_path_factory.mktemp("made_up")
    for i in range(40):
        rng = np.random.default_rng(i)
        words = ["".join(rng.choice(SYLLABLES, rng.integers(1, 5))) for _ in range(120)]
        (folder / f"{i}.txt").write_text(" ".join(words), encoding="utf-8")
    cache = tmp_path_factory.mktemp("cache")
    return tokenize_corpus(f"files:{folder}", vocab_size=300, cache_dir=cache)
