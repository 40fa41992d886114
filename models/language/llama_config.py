"""Conversion between `ModelConfig` and transformers' `config.json` of the Llama family.

Only architectures that `models.network.transformer` computes exactly as `LlamaForCausalLM` are
accepted; keys and defaults are those of transformers 4.48 to 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.config import ModelConfig, RopeScaling

FAMILY = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}
"""The architecture of each model type with this layout of weights."""

SIZES = {
    "vocab_size": "vocab_size",
    "width": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "mlp_width": "intermediate_size",
    "context": "max_position_embeddings",
}
"""The sizes of `ModelConfig` that every checkpoint states, under transformers' names."""

SCALING = {
    "factor": "factor",
    "low_frequency": "low_freq_factor",
    "high_frequency": "high_freq_factor",
    "original_context": "original_max_position_embeddings",
}
"""The fields of `RopeScaling` under transformers' names."""

FIXED = {
    "hidden_act": "silu",
    "attention_bias": False,
    "mlp_bias": False,
    "partial_rotary_factor": 1.0,
    "quantization_config": None,
}
"""Settings supported in one value only, which is also transformers' default."""

ABSENT: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": None, "sliding_window": None},
    "mistral": {"num_key_value_heads": 8, "sliding_window": 4096},
}
"""transformers' defaults that differ between the model types."""

ACROSS_DOCUMENTS = "attend_across_documents"
"""An additional key, written if the model confines attention to documents."""


def llama_config(model: ModelConfig) -> dict[str, Any]:
    """Return the `config.json` of a model as `LlamaForCausalLM`, with float32 weights.

    Raises:
        ValueError: the model normalises queries and keys, loops its blocks or predicts masked
            tokens, which Llama does not.
    """
    if model.is_diffusion:
        raise ValueError("a masked diffusion model cannot be exported: Llama predicts next tokens")
    if model.n_loops > 1:
        raise ValueError(
            f"a model that loops its blocks {model.n_loops} times cannot be exported: Llama passes "
            "each once"
        )
    if model.qk_norm:
        raise ValueError("a model with qk_norm cannot be exported: Llama has no such norm")
    config: dict[str, Any] = {
        "architectures": [FAMILY["llama"]],
        "model_type": "llama",
        **{theirs: getattr(model, ours) for ours, theirs in SIZES.items()},
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_width,
        "hidden_act": "silu",
        "rms_norm_eps": model.norm_epsilon,
        "rope_theta": model.rope_base,
        "rope_scaling": None,
        "tie_word_embeddings": model.tied_embeddings,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": model.start_id,
        "eos_token_id": model.end_of_text_id,
        "torch_dtype": "float32",
    }
    if (scaling := model.rope_scaling) is not None:
        stretch = {theirs: getattr(scaling, ours) for ours, theirs in SCALING.items()}
        config["rope_scaling"] = {"rope_type": "llama3", **stretch}
    if not model.attend_across_documents:
        config[ACROSS_DOCUMENTS] = False
    return config


def model_config(config: Mapping[str, Any], context: int | None = None) -> ModelConfig:
    """Return the architecture that a `config.json` describes.

    Args:
        config: its content.
        context: most positions the model attends to; by default as many as it says.

    Raises:
        ValueError: a key is missing, or the architecture is not supported (with the difference).
    """
    kind = _model_type(config)
    missing = [name for name in (*SIZES.values(), "eos_token_id") if config.get(name) is None]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    sizes = {ours: config[theirs] for ours, theirs in SIZES.items()}
    config = ABSENT[kind] | dict(config)
    _refuse_unsupported(config)
    longest = sizes["context"]
    sizes["context"] = longest if context is None else context
    if sizes["context"] > longest:
        raise ValueError(
            f"its context is {longest}, shorter than the {context} positions requested"
        )
    window = config["sliding_window"] if kind == "mistral" else None
    if window is not None and window < sizes["context"]:
        raise ValueError(
            f"its sliding window of {window} positions is not supported in the context "
            f"{sizes['context']}: ask for a context of at most {window}"
        )
    n_kv_heads, end = config["num_key_value_heads"], config["eos_token_id"]
    # Chat models list several; the first one ends a document.
    end = end[0] if isinstance(end, list) and end else end
    begin = config.get("bos_token_id")
    return ModelConfig(
        **sizes,
        tied_embeddings=bool(config.get("tie_word_embeddings")),
        n_kv_heads=None if n_kv_heads == sizes["n_heads"] else n_kv_heads,
        norm_epsilon=_number(config, "rms_norm_eps", 1e-6),
        **_rotary(config),
        attend_across_documents=config.get(ACROSS_DOCUMENTS, True),
        end_of_text_id=end,
        begin_of_text_id=None if begin == end else begin,
    )


def _model_type(config: Mapping[str, Any]) -> str:
    kind, architectures = config.get("model_type"), config.get("architectures")
    if kind not in FAMILY:
        raise ValueError(f"model_type must be one of {', '.join(FAMILY)}; not {kind!r}")
    if architectures and architectures != [FAMILY[kind]]:
        raise ValueError(f"architectures must be [{FAMILY[kind]!r}]; not {architectures!r}")
    return str(kind)


def _refuse_unsupported(config: Mapping[str, Any]) -> None:
    for name, only in FIXED.items():
        if config.get(name) not in (None, only):
            raise ValueError(f"{name} {config[name]!r} is not supported; only {only!r} is")
    width, n_heads = config["hidden_size"], config["num_attention_heads"]
    head_dim = config.get("head_dim")
    if head_dim is not None and head_dim * n_heads != width:
        raise ValueError(
            f"head_dim {head_dim} is not supported; only hidden_size / num_attention_heads is, "
            f"{width} / {n_heads}"
        )


def _rotary(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read the rotary settings; transformers 5 gathers in one object what 4 keeps in two places."""
    rope = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
    kind = rope.get("rope_type", rope.get("type")) or "default"
    if kind not in ("default", "llama3"):
        raise ValueError(f"rope type {kind!r} is not supported; only default and llama3 are")
    if rope.get("partial_rotary_factor") not in (None, 1):
        raise ValueError("a partial_rotary_factor other than 1 is not supported")
    base = _number({**config, **rope}, "rope_theta", 10_000.0)
    if kind == "default":
        return {"rope_base": base, "rope_scaling": None}
    missing = [name for name in SCALING.values() if rope.get(name) is None]
    if missing:
        raise ValueError(f"its llama3 rope lacks {', '.join(missing)}")
    scaling = RopeScaling(
        factor=_number(rope, SCALING["factor"]),
        low_frequency=_number(rope, SCALING["low_frequency"]),
        high_frequency=_number(rope, SCALING["high_frequency"]),
        original_context=rope[SCALING["original_context"]],
    )
    return {"rope_base": base, "rope_scaling": scaling}


def _number(config: Mapping[str, Any], name: str, absent: float | None = None) -> float:
    value = config.get(name, absent)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"its {name} must be a number; not {value!r}")
    return float(value)
