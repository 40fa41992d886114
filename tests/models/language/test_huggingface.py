"""Checkpoints of the Llama family as files; what transformers computes with them is tested beside.

None of these tests needs torch or transformers.
"""

import json

import jax
import ml_dtypes
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from models.config import ModelConfig, OptimizerConfig, RopeScaling, TrainConfig
from models.language import huggingface
from models.language.huggingface import export_llama, import_llama
from models.language.llama_config import llama_config, model_config
from models.training.checkpoint import CheckpointError
from models.training.job_list import Finished, Job, train_jobs

SMALL = {
    "vocab_size": 400, "width": 16, "n_layers": 2, "n_heads": 4, "mlp_width": 24, "context": 32
}  # fmt: skip
STRETCH = RopeScaling(factor=8.0, low_frequency=1.0, high_frequency=4.0, original_context=16)
MODELS = [
    ModelConfig(**SMALL),
    ModelConfig(**SMALL, n_kv_heads=2, rope_base=5e5, norm_epsilon=1e-5, end_of_text_id=7),
    ModelConfig(**SMALL, n_kv_heads=1, tied_embeddings=True, rope_scaling=STRETCH),
]
SHARED = MODELS[1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, draw_params):
    """A folder as we export it, to be spoiled by copies of its content."""
    folder = tmp_path_factory.mktemp("exported") / "llama"
    export_llama(folder, SHARED, draw_params(SHARED, 0))
    return folder


@pytest.fixture
def copy(checkpoint, tmp_path):
    """Write the checkpoint again with another config or other tensors."""

    def write(tensors=None, **config):
        folder = tmp_path / "copy"
        folder.mkdir()
        found = json.loads((checkpoint / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**found, **config}))
        found = load_file(checkpoint / "model.safetensors") | (tensors or {})
        save_file({k: v for k, v in found.items() if v is not None}, folder / "model.safetensors")
        return folder

    return write


def assert_equal_weights(found, wanted):
    found, wanted = nnx.to_pure_dict(found), nnx.to_pure_dict(wanted)
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_an_export_holds_the_tensors_of_llama(checkpoint, draw_params):
    layer = {
        "input_layernorm": (16,),
        "self_attn.q_proj": (16, 16),
        "self_attn.k_proj": (8, 16),
        "self_attn.v_proj": (8, 16),
        "self_attn.o_proj": (16, 16),
        "post_attention_layernorm": (16,),
        "mlp.gate_proj": (24, 16),
        "mlp.up_proj": (24, 16),
        "mlp.down_proj": (16, 24),
    }
    tensors = load_file(checkpoint / "model.safetensors")
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "model.embed_tokens.weight": (400, 16),
        **{f"model.layers.0.{name}.weight": shape for name, shape in layer.items()},
        **{f"model.layers.1.{name}.weight": shape for name, shape in layer.items()},
        "model.norm.weight": (16,),
        "lm_head.weight": (400, 16),
    }
    assert {tensor.dtype for tensor in tensors.values()} == {np.dtype(np.float32)}
    qkv = np.asarray(nnx.to_pure_dict(draw_params(SHARED, 0))["blocks"]["attention"]["qkv"])
    keys = tensors["model.layers.1.self_attn.k_proj.weight"]
    np.testing.assert_array_equal(keys, qkv[1][:, 16:24].T)


def test_an_export_is_configured_as_llama(checkpoint):
    assert {path.name for path in checkpoint.iterdir()} == {
        *("config.json", "generation_config.json", "model.safetensors")
    }
    assert json.loads((checkpoint / "config.json").read_text()) == {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 400,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "intermediate_size": 24,
        "max_position_embeddings": 32,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 5e5,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 7,
        "eos_token_id": 7,
        "torch_dtype": "float32",
    }
    assert llama_config(MODELS[2])["rope_scaling"] == {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_model_comes_back_bit_for_bit(tmp_path, draw_params, made_up_tokens, model):
    params = draw_params(model, 1)
    export_llama(tmp_path / "llama", model, params, made_up_tokens.tokenizer_path)
    found, weights, tokenizer = import_llama(tmp_path / "llama")
    assert found == model
    assert_equal_weights(weights, params)
    text = "né 東 lu <|endoftext|> 🙂"
    assert tokenizer.encode(text).ids == made_up_tokens.tokenizer().encode(text).ids


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_sharded_halves_are_read_as_float32(checkpoint, draw_params, tmp_path, dtype):
    tensors = load_file(checkpoint / "model.safetensors")
    halves = {name: tensor.astype(dtype) for name, tensor in tensors.items()}
    # Llama 2 has such a tensor in every layer; it holds no weight.
    halves["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(2, dtype)
    names = sorted(halves)
    placed = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(placed.values()):
        save_file({name: halves[name] for name in names if placed[name] == file}, tmp_path / file)
    index = {"metadata": {}, "weight_map": placed}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    model, params, tokenizer = import_llama(tmp_path)
    assert (model, tokenizer) == (SHARED, None)
    rounded = jax.tree.map(
        lambda leaf: np.asarray(leaf).astype(dtype).astype(np.float32), draw_params(SHARED, 0)
    )
    assert_equal_weights(params, rounded)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00002"):
        import_llama(tmp_path)


LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32000,
    "hidden_size": 2048, "num_attention_heads": 32, "num_hidden_layers": 22,
    "num_key_value_heads": 4, "intermediate_size": 5632, "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5, "eos_token_id": 2, "hidden_act": "silu",
}  # fmt: skip
LLAMA_3 = {
    **LLAMA, "vocab_size": 128_256, "num_hidden_layers": 16, "num_key_value_heads": 8,
    "intermediate_size": 8192, "max_position_embeddings": 131_072, "rope_theta": 500_000.0,
    "tie_word_embeddings": True, "eos_token_id": [128_001, 128_008, 128_009],
    "rope_scaling": {
        "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}  # fmt: skip
MISTRAL = {
    **LLAMA, "model_type": "mistral", "architectures": ["MistralForCausalLM"],
    "vocab_size": 32_768, "hidden_size": 4096, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "intermediate_size": 14_336, "max_position_embeddings": 32_768, "sliding_window": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "n_params"),
    [(LLAMA, 1_100_048_384), (LLAMA_3, 1_235_814_400), (MISTRAL, 7_248_023_552)],
    ids=["TinyLlama 1.1B", "Llama 3.2 1B", "Mistral 7B v0.3"],
)
def test_published_models_have_their_published_number_of_weights(config, n_params):
    assert model_config(config).n_params == n_params


def test_settings_of_llama_3_in_the_words_of_either_version_of_transformers():
    model = model_config(LLAMA_3, context=4096)
    assert model.context == 4096
    assert model.end_of_text_id == 128_001
    assert model.rope_scaling == RopeScaling(
        factor=32, low_frequency=1, high_frequency=4, original_context=8192
    )
    newer = {k: v for k, v in LLAMA_3.items() if k not in ("rope_theta", "rope_scaling")}
    newer["rope_parameters"] = {**LLAMA_3["rope_scaling"], "rope_theta": 500_000.0}
    assert model_config(newer, context=4096) == model


def test_the_beginning_of_a_text_is_told_from_its_end():
    model = model_config({**LLAMA, "bos_token_id": 1, "eos_token_id": 2})
    assert (model.start_id, model.begin_of_text_id, model.end_of_text_id) == (1, 1, 2)
    assert llama_config(model)["bos_token_id"] == 1
    for same in (2, None):
        model = model_config({**LLAMA, "bos_token_id": same, "eos_token_id": 2})
        assert (model.start_id, model.begin_of_text_id) == (2, None)


def test_a_sliding_window_is_no_hindrance_within_it():
    config = {**MISTRAL, "sliding_window": 4096}
    assert model_config(config, context=4096).context == 4096
    del config["sliding_window"]  # transformers takes 4096
    for longer in (None, 4097):
        with pytest.raises(ValueError, match=r"window of 4096 .* context of at most 4096"):
            model_config(config, context=longer)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "gpt2"}, "model_type must be one of llama, mistral; not 'gpt2'"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "must be .*LlamaForCausalLM"),
        ({"attention_bias": True}, "attention_bias True is not supported"),
        ({"mlp_bias": True}, "mlp_bias True is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported; only 'silu' is"),
        ({"head_dim": 128}, "head_dim 128 is not supported"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope type 'linear'"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "rope type 'yarn'"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "lacks low_freq_factor, "),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"hidden_size": None, "eos_token_id": None}, "lacks hidden_size, eos_token_id"),
        ({"hidden_size": "wide"}, "width must be a whole number"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps must be a number; not 'small'"),
        ({"num_key_value_heads": 5}, "n_kv_heads must be a divisor of n_heads"),
        ({"eos_token_id": 32_000}, "end_of_text_id must be in"),
        ({"bos_token_id": 32_000}, "start_id must be in"),
    ],
)
def test_what_our_models_do_not_compute_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        model_config({**LLAMA, **change})
    with pytest.raises(
        ValueError, match="its context is 2048, shorter than the 2049 positions requested"
    ):
        model_config(LLAMA, context=2049)


@pytest.mark.parametrize(
    ("tensors", "config", "said"),
    [
        ({"lm_head.weight": None, "model.norm.weight": None}, {}, "lacks .*norm.weight, lm_head"),
        ({"model.norm.weight": np.ones(5, np.float32)}, {}, r"norm.weight has the shape \(5,\)"),
        ({}, {"vocab_size": 401}, r"shape \(400, 16\) in .*, \(401, 16\) after its config.json"),
        ({"model.norm.weight": np.ones(16, np.int8)}, {}, "stored as I8 .* not as F32 or BF16"),
        ({}, {"num_hidden_layers": 1}, "no use for: .*layers.1.* and 6 more"),
        ({}, {"num_hidden_layers": 3}, "lacks the weights .*layers.2.* and 6 more"),
        ({"model.layers.0.self_attn.q_proj.bias": np.ones(16)}, {}, "no use for: .*q_proj.bias"),
        ({}, {"hidden_size": 20}, "config.json is not of a model .* head_dim 4 is not supported"),
    ],
)
def test_weights_that_do_not_fit_are_named(copy, tensors, config, said):
    with pytest.raises(CheckpointError, match=said):
        import_llama(copy(tensors, **config))


def test_a_tied_head_that_is_stored_all_the_same_is_not_read(copy):
    model, params, _ = import_llama(copy(tie_word_embeddings=True))
    assert model.tied_embeddings
    assert "head" not in nnx.to_pure_dict(params)


def test_damaged_files_are_named(copy, tmp_path):
    with pytest.raises(CheckpointError, match=r"config.json cannot be read"):
        import_llama(tmp_path / "nowhere")
    folder = copy()
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer.json cannot be read as a tokenizer"):
        import_llama(folder)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    for n_bytes in (0, 7, 100, len(whole) - 1):
        weights.write_bytes(whole[:n_bytes])
        with pytest.raises(CheckpointError, match=r"model.safetensors cannot be read"):
            import_llama(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"holds neither model.safetensors nor"):
        import_llama(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(CheckpointError, match=r"config.json cannot be read: it holds no JSON obj"):
        import_llama(folder)


def test_a_model_that_minds_documents_says_so(tmp_path, draw_params):
    model = ModelConfig(**SMALL, attend_across_documents=False)
    with pytest.warns(UserWarning, match="one document at a time"):
        export_llama(tmp_path / "llama", model, draw_params(model, 0))
    assert import_llama(tmp_path / "llama")[0] == model


def test_an_export_overwrites_nothing_and_is_never_half_done(tmp_path, draw_params, monkeypatch):
    params = draw_params(SHARED, 0)
    kept = tmp_path / "kept" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    for there in (kept, kept.parent):
        with pytest.raises(ValueError, match="already exists"):
            export_llama(there, SHARED, params)
    with pytest.raises(
        ValueError, match=r"another architecture: head is \(16, 400\) in them, None"
    ):
        export_llama(
            tmp_path / "new", ModelConfig(**{**vars(SHARED), "tied_embeddings": True}), params
        )

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(huggingface, "save", full)
    with pytest.raises(OSError, match="disk full"):
        export_llama(tmp_path / "new", SHARED, params)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert kept.read_text() == "mine"


def test_a_tokenizer_of_another_model_is_refused(tmp_path, draw_params, made_up_tokens):
    model = ModelConfig(**{**SMALL, "vocab_size": 299})
    with pytest.raises(ValueError, match="it has 300 tokens, the model knows 299"):
        export_llama(tmp_path / "new", model, draw_params(model, 0), made_up_tokens.tokenizer())
    lone = ModelConfig(**{**SMALL, "end_of_text_id": 399})
    with pytest.raises(ValueError, match="the end of text 399 among them"):
        export_llama(
            tmp_path / "new",
            lone,
            draw_params(lone, 0),
            made_up_tokens.tokenizer_path,
        )


@pytest.mark.long
def test_training_goes_on_from_imported_weights(checkpoint):
    """At next to no learning rate the weights stay those of the checkpoint."""
    model, params, _ = import_llama(checkpoint)
    job = Job(
        id="on",
        model=model,
        optimizer=OptimizerConfig(learning_rate=1e-9, weight_decay=0.0),
        train=TrainConfig(n_epochs=1, batch_size=2),
        seed=0,
        tokens=np.arange(128),
        held_out={},
        first_params=params,
    )
    events = []
    train_jobs([job], events.append)
    (done,) = (event for event in events if isinstance(event, Finished))
    found, wanted = nnx.to_pure_dict(done.params), nnx.to_pure_dict(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, wanted)
