"""transformers computes, says and reads the same as we do."""

import itertools
import json
from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx

from models.config import ModelConfig, RopeScaling
from models.evals.continuations import encode_continuation, score_continuations
from models.language.huggingface import export_llama, import_llama
from models.language.language_model import LanguageModel
from models.text.tokens import END_OF_TEXT
from models.training.train import graph_of

torch = pytest.importorskip("torch", reason="needs the extra hf: PyTorch")
transformers = pytest.importorskip("transformers", reason="needs the extra hf: transformers")

SMALL = {"vocab_size": 300, "width": 32, "n_heads": 4, "mlp_width": 48, "context": 64}
# Of the 4 frequencies of a head, one stays, one is interpolated and two are divided.
STRETCH = RopeScaling(factor=8.0, low_frequency=1.0, high_frequency=4.0, original_context=48)
PLAIN = ModelConfig(**SMALL, n_layers=2)
SHARED = ModelConfig(
    **SMALL, n_layers=2, n_kv_heads=2, tied_embeddings=True, rope_base=500.0, norm_epsilon=1e-3,
    rope_scaling=STRETCH,
)  # fmt: skip
TEXTS = ["vékidolu menora 東", "naïve 🙂 — \t東京\n\n", " leading, trailing ", ""]


@partial(jax.jit, static_argnums=0)
def ours(model, params, ids):
    return nnx.merge(graph_of(model), params)(ids)


def theirs(llama, ids):
    with torch.no_grad():
        return llama(torch.tensor(ids)).logits.numpy()


def assert_logits_agree(model, params, llama):
    ids = np.random.default_rng(0).integers(model.vocab_size, size=(2, model.context))
    wanted = theirs(llama, ids)
    assert wanted.std() > 0.5  # or the tolerance would say little
    np.testing.assert_allclose(ours(model, params, ids), wanted, atol=1e-4, rtol=0)


def random_llama(kind="Llama", **settings):
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=300, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=64, initializer_range=0.3, **settings,
    )  # fmt: skip
    torch.manual_seed(0)
    llama = getattr(transformers, f"{kind}ForCausalLM")(config)
    for name, weight in llama.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return llama.eval()


@pytest.fixture(scope="module", params=[PLAIN, SHARED], ids=["plain", "shared"])
def exported(request, tmp_path_factory, draw_params, made_up_tokens):
    model, folder = request.param, tmp_path_factory.mktemp("exported") / "llama"
    params = draw_params(model)
    export_llama(folder, model, params, made_up_tokens.tokenizer_path)
    return model, params, folder


def test_an_exported_model_computes_the_same_logits(exported):
    model, params, folder = exported
    llama = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert isinstance(llama, transformers.LlamaForCausalLM)
    assert llama.num_parameters() == model.n_params
    assert_logits_agree(model, params, llama)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Llama", {"rms_norm_eps": 1e-3, "num_key_value_heads": 1}),
        (
            "Llama",
            {
                "tie_word_embeddings": True,
                "num_key_value_heads": 2,
                "rope_parameters": {
                    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0,
                    "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 48,
                },
            },
        ),
        ("Mistral", {"num_key_value_heads": 2, "sliding_window": 64}),
    ],
)  # fmt: skip
def test_an_imported_model_computes_the_same_logits(tmp_path, kind, settings):
    llama = random_llama(kind, **settings)
    llama.save_pretrained(tmp_path)
    model, params, tokenizer = import_llama(tmp_path)
    assert tokenizer is None
    assert model.n_params == llama.num_parameters()
    assert_logits_agree(model, params, llama)


ROPES = {
    "default": {"rope_type": "default", "rope_theta": 500.0},
    "llama3": {
        "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 48,
    },
}  # fmt: skip
ENDS = {
    "one token": (0, 0),
    "begin and end": (1, 2),
    "several ends": (1, [2, 3]),
    "no begin": (None, 2),
}


CELLS = [
    tuple(values)
    for cell in itertools.product(*map(enumerate, (ENDS, (False, True), ROPES, (4, 2, 1))))
    for places, values in [zip(*cell, strict=True)]
    if sum(places) % 3 == 0
]
"""A third of the grid, with every pair of values of two settings."""


@pytest.mark.long
@pytest.mark.exhaustive
@pytest.mark.parametrize(("ends", "tied", "rope", "kv_heads"), CELLS)
def test_log_probabilities_of_texts_agree_over_a_grid_of_checkpoints(
    tmp_path, made_up_tokens, tied, ends, rope, kv_heads
):
    """A third of the cells are stored in bfloat16, and half in several files."""
    begin, end = ENDS[ends]
    is_narrow, n_files = kv_heads == 2, 1 + (tied != (rope == "llama3"))
    settings = {
        "tie_word_embeddings": tied, "num_key_value_heads": kv_heads,
        "rope_parameters": ROPES[rope], "bos_token_id": begin, "eos_token_id": end,
    }  # fmt: skip
    stored = random_llama(**settings).to(torch.bfloat16 if is_narrow else torch.float32)
    stored.save_pretrained(tmp_path, max_shard_size="20KB" if n_files > 1 else "1GB")
    assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == (n_files > 1)
    made_up_tokens.tokenizer().save(str(tmp_path / "tokenizer.json"))
    model, params, tokenizer = import_llama(tmp_path)
    reference = random_llama(**settings)
    reference.load_state_dict(stored.state_dict())
    predictor = LanguageModel(model=model, params=params, tokenizer=tokenizer)
    texts = ["vékidolu menora 東", "a b c d e"]
    requests = [encode_continuation(predictor, "", text) for text in texts]
    first_end = end[0] if isinstance(end, list) else end
    for text, scored in zip(texts, score_continuations(predictor, requests), strict=True):
        ids = [first_end if begin is None else begin, *tokenizer.encode(text).ids]
        logits = torch.tensor(theirs(reference, [ids])[0, :-1])
        wanted = logits.log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]].numpy()
        assert wanted.std() > 0.5
        np.testing.assert_allclose(scored.log_probs, wanted, atol=1e-4, rtol=0)


def test_a_text_begins_as_the_tokenizer_of_the_checkpoint_has_it(tmp_path, made_up_tokens):
    from tokenizers.processors import TemplateProcessing

    def imported(folder, begin, template):
        config = {"bos_token_id": begin, "eos_token_id": 2}
        random_llama(**config).save_pretrained(folder)
        tokenizer = made_up_tokens.tokenizer()
        names = [(tokenizer.id_to_token(i), i) for i in (1, 2, 5)]
        spelled = [w if w == "$A" else tokenizer.id_to_token(int(w)) for w in template]
        tokenizer.post_processor = TemplateProcessing(single=spelled, special_tokens=names)
        tokenizer.save(str(folder / "tokenizer.json"))
        return import_llama(folder)

    model, params, tokenizer = imported(tmp_path / "a", 1, ["1", "$A"])
    assert (model.start_id, model.end_of_text_id) == (1, 2)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "a/tokenizer.json"))
    predictor = LanguageModel(model=model, params=params, tokenizer=tokenizer)
    assert list(encode_continuation(predictor, "", "menora").ids) == fast("menora")["input_ids"]
    assert imported(tmp_path / "b", 1, ["$A", "2"])[0].start_id == 1
    assert imported(tmp_path / "c", None, ["2", "$A", "2"])[0].start_id == 2
    with pytest.warns(UserWarning, match=r"token 5, config.json with 1: 5 is used"):
        assert imported(tmp_path / "d", 1, ["5", "$A"])[0].start_id == 5
    # It is kept: what is exported again begins its texts in the same way.
    export_llama(tmp_path / "again", model, params, tokenizer)
    assert import_llama(tmp_path / "again")[0] == model
    said = json.loads((tmp_path / "again" / "config.json").read_text())
    assert (said["bos_token_id"], said["eos_token_id"]) == (1, 2)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "again").bos_token_id == 1


def test_an_imported_model_of_many_files_in_bfloat16_computes_the_same_logits(tmp_path):
    llama = random_llama().to(torch.bfloat16)
    llama.save_pretrained(tmp_path, max_shard_size="30KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    model, params, _ = import_llama(tmp_path)
    # Not llama.float(): what it rotates by would keep the few digits of bfloat16.
    reference = random_llama()
    reference.load_state_dict(llama.state_dict())
    assert_logits_agree(model, params, reference)


def test_an_exported_model_writes_the_same_greedy_text(exported, made_up_tokens):
    """The most probable token again and again, ours from the whole text at every step."""
    model, params, folder = exported
    llama = transformers.AutoModelForCausalLM.from_pretrained(folder)
    their_tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer = made_up_tokens.tokenizer()
    prompt = tokenizer.encode("vékidolu 東").ids
    ids = list(prompt)
    while len(ids) < 48 and (len(ids) == len(prompt) or ids[-1] != model.end_of_text_id):
        padded = np.pad(ids, (0, model.context - len(ids)))[None]
        ids.append(int(ours(model, params, padded)[0, len(ids) - 1].argmax()))
    assert len(set(ids[len(prompt) :])) > 10
    inputs = their_tokenizer("vékidolu 東", return_tensors="pt")
    found = llama.generate(**inputs, do_sample=False, max_length=48)[0].tolist()
    assert found == ids
    assert their_tokenizer.decode(found) == tokenizer.decode(ids, skip_special_tokens=False)


def test_an_exported_tokenizer_reads_and_writes_as_ours(exported, made_up_tokens):
    tokenizer = made_up_tokens.tokenizer()
    found = transformers.AutoTokenizer.from_pretrained(exported[2])
    assert isinstance(found, transformers.PreTrainedTokenizerFast)
    assert (found.eos_token, found.eos_token_id) == (END_OF_TEXT, 0)
    assert len(found) == made_up_tokens.vocab_size
    for text in TEXTS:
        assert found(text)["input_ids"] == tokenizer.encode(text).ids
        assert found.decode(found(text)["input_ids"]) == text


def test_what_transformers_writes_of_our_export_is_read_back(exported, tmp_path):
    model, _, folder = exported
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["transformers_version"]
    found, params, _ = import_llama(tmp_path)
    assert found == model
    _, wanted, _ = import_llama(folder)
    for a, b in zip(*map(nnx.to_flat_state, (params, wanted)), strict=True):
        np.testing.assert_array_equal(a[1], b[1])
