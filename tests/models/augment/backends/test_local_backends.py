"""Writers on this machine: our own models, and transformers with a tiny model made here."""

import jax
import numpy as np
import pytest
from flax import nnx

from models.augment.backends.ours import OurBackend
from models.augment.backends.transformers import TransformersBackend
from models.augment.sbp.hidden_states import HiddenStates
from models.augment.writing.requests import BackendError, Failure
from models.config import ModelConfig
from models.language.generate import generate
from models.language.language_model import LanguageModel
from models.training.train import graph_of, init_params
from tests.models.augment.tiny import byte_tokenizer, save_tiny_llama


@pytest.fixture(scope="module")
def language_model():
    model = ModelConfig.from_width(8, vocab_size=257, context=32, n_layers=1)
    return LanguageModel(model=model, params=init_params(model, 0), tokenizer=byte_tokenizer())


def test_our_model_continues_the_prompt(language_model, make_request):
    backend = OurBackend(language_model=language_model)
    requests = [make_request("hello you", temperature=0.0, n_tokens=6)]
    requests.append(make_request("x" * 30, n_tokens=6))
    found = {answer.request.prompt: answer.result for answer in backend.generate(requests)}
    for request in requests[:1]:
        ids = [0, *language_model.encode(request.prompt)]
        drawn = generate(
            [(language_model.model, language_model.params)], prompts=[ids], n_tokens=6,
            temperature=0.0, stop_at_end=True,
        ).texts()[0]  # fmt: skip
        reply = found[request.prompt]
        ended = drawn[-1] == 0
        assert reply.text == language_model.tokenizer.decode(drawn[: len(drawn) - ended].tolist())
        assert reply.finish == ("stop" if ended else "length")
        assert (reply.n_prompt_tokens, reply.n_reply_tokens) == (len(ids), len(drawn) - ended)
    assert found["x" * 30] == Failure(
        reason="prompt and answer take 37 tokens, more than the context 32"
    )
    assert backend.count_tokens("abc") == 3
    with pytest.raises(ValueError, match="tokenizer"):
        OurBackend(
            language_model=LanguageModel(model=language_model.model, params=language_model.params)
        )


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory):
    return save_tiny_llama(tmp_path_factory.mktemp("llama"), n_positions=64)


def test_a_model_of_transformers_writes_as_alone_in_any_batch(tiny_llama, make_request):
    import torch

    prompts = ["a", "a longer prompt", "mid one", "x" * 60]
    backend = TransformersBackend(model=str(tiny_llama), batch_size=4)
    requests = [make_request(prompt, temperature=0.0, n_tokens=12) for prompt in prompts]
    found = {answer.request.prompt: answer.result for answer in backend.generate(requests)}
    assert found["x" * 60] == Failure(reason="prompt and answer take 72 tokens of 64")
    tokenizer, model = backend._loaded
    for prompt in prompts[:3]:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            alone = model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=0)
        written = alone[0, ids.shape[1] :].tolist()
        kept = written[: written.index(0)] if 0 in written else written
        assert found[prompt].text == tokenizer.decode(kept)
        assert found[prompt].n_reply_tokens == len(kept)
    sampled = [make_request(prompt, temperature=1.0, n_tokens=12) for prompt in prompts[:3]]
    once, again = ([answer.result.text for answer in backend.generate(sampled)] for _ in range(2))
    assert once == again
    assert backend.context == 64


def test_a_chat_template_is_used_where_there_is_one(tiny_llama, make_request):
    backend = TransformersBackend(model=str(tiny_llama))
    plain = backend.count_tokens("hi")
    backend._loaded[
        0
    ].chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    assert backend.count_tokens("hi") == plain + len("<user><assistant>")
    reply = next(backend.generate([make_request("hi", n_tokens=3)])).result
    assert reply.n_prompt_tokens == len("<user>hi<assistant>")


def test_a_model_that_is_not_there_is_named(tmp_path, make_request):
    pytest.importorskip("transformers")
    backend = TransformersBackend(model=str(tmp_path))
    with pytest.raises(BackendError, match=f"cannot load '{tmp_path}'"):
        list(backend.generate([make_request()]))
    with pytest.raises(ValueError, match="batch_size"):
        TransformersBackend(model="m", batch_size=0)


@jax.jit(static_argnums=0)
def states_and_logits(model, params, ids):
    module = nnx.merge(graph_of(model), params)
    return module.hidden_states(ids), module(ids)


def test_hidden_states_tell_texts_apart_and_do_not_depend_on_their_company(language_model):
    texts = ["aaaa", "bbbb" * 20, "a", "", "bbbb"]
    embedder = HiddenStates.fit(language_model, texts)
    vectors = embedder.embed(iter(texts))
    assert vectors.shape == (5, 8)
    np.testing.assert_allclose(embedder.embed(["bbbb"]), vectors[4:], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
    # A long text is the mean over its windows, each of which begins a document.
    ids = np.pad(language_model.encode(texts[1]), (0, 13)).reshape(3, 31)
    windows = np.pad(ids, ((0, 0), (1, 0)))
    states, logits = states_and_logits(language_model.model, language_model.params, windows)
    by_hand = np.asarray(states)[:, 1:].reshape(-1, 8)[:80].mean(axis=0) - embedder._center
    np.testing.assert_allclose(vectors[1], by_hand / np.linalg.norm(by_hand), atol=1e-4)
    head = np.asarray(language_model.params["head"][...])
    np.testing.assert_allclose(np.asarray(states) @ head, logits, atol=1e-4)
