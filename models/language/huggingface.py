"""Exchange of models with Hugging Face transformers, weight for weight.

A model of this package computes what `LlamaForCausalLM` computes with the same weights, so both
directions only rename: the tensors of such a checkpoint are views of the stacked arrays, with
matrices transposed. Neither transformers nor torch is needed.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from models.config import ModelConfig
from models.language.llama_config import llama_config, model_config
from models.text.tokens import load_tokenizer
from models.training.checkpoint import CheckpointError
from models.training.train import Params, init_params

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
NUMBER_FORMATS = ("F32", "BF16", "F16")

MOST_NAMED = 3
"""Tensors that an error names before it counts the others."""


def export_llama(
    folder: Path,
    model: ModelConfig,
    params: Params,
    tokenizer: Tokenizer | Path | None = None,
) -> None:
    """Write a folder that `AutoModelForCausalLM` and `AutoTokenizer` load.

    The folder appears only when complete. The weights are float32. transformers' tokenizer encodes
    the text "<|endoftext|>" as the special token, while the tokenizer here encodes it as plain
    text. A model that confines attention to documents is exported with a warning: transformers lets
    it attend across them, so the two agree within one document.

    Args:
        folder: the folder to create; it may exist if it is empty.
        model: architecture.
        params: its weights.
        tokenizer: the tokenizer it was trained with, or the path of its `tokenizer.json`.

    Raises:
        ValueError: the folder is not empty, the weights are of another architecture or have
            `qk_norm`, or the tokenizer cannot be read or is of another vocabulary.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} already exists: choose a new or an empty folder")
    if isinstance(tokenizer, str | Path):
        tokenizer = load_tokenizer(Path(tokenizer))
    files = {"config.json": llama_config(model), "generation_config.json": _generation(model)}
    if tokenizer is not None:
        files["tokenizer_config.json"] = _tokenizer_config(model, tokenizer)
    arrays = jax.tree.map(np.asarray, nnx.to_pure_dict(params))
    _check_arrays(model, arrays)
    tensors = {name: np.ascontiguousarray(view) for name, view in _views(model, arrays).items()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        beside = Path(scratch) / "new"
        beside.mkdir()
        for name, values in files.items():
            text = json.dumps(values, indent=2, ensure_ascii=False)
            (beside / name).write_text(text + "\n", encoding="utf-8")
        if tokenizer is not None:
            tokenizer.save(str(beside / "tokenizer.json"))
        # transformers refuses weights that do not say they are laid out as PyTorch's.
        (beside / WEIGHTS).write_bytes(save(tensors, {"format": "pt"}))
        beside.replace(folder)
    if not model.attend_across_documents:
        warnings.warn(
            "this model confines attention to documents, which transformers does not: there, give "
            "it one document at a time",
            stacklevel=2,
        )


def import_llama(
    folder: Path, *, context: int | None = None
) -> tuple[ModelConfig, Params, Tokenizer | None]:
    """Return the model in a checkpoint of the Llama family: Llama 1 to 3, Mistral and alike.

    Args:
        folder: holds `config.json`, the weights in safetensors (one file, or several with their
            index; float32, bfloat16 or float16), and optionally `tokenizer.json`.
        context: most positions the model attends to; by default as many as the checkpoint allows.

    Returns:
        The architecture, its weights in float32, and the tokenizer (None without a
        `tokenizer.json`), which encodes names of special tokens in a text as plain text. A text
        begins with the token that the tokenizer puts first, else with `bos_token_id`, else with
        `eos_token_id`, as transformers and EleutherAI's harness have it.

    Raises:
        CheckpointError: a file is missing or damaged, or the architecture is not supported (with
            the difference).
        ValueError: the tokenizer is damaged.
    """
    folder = Path(folder)
    model = _read_config(folder / "config.json", context)
    abstract = jax.eval_shape(lambda: init_params(model, 0))
    arrays = jax.tree.map(lambda leaf: np.empty(leaf.shape, np.float32), nnx.to_pure_dict(abstract))
    views = _views(model, arrays)
    with _open_tensors(folder) as files:
        _check_tensors(folder, model, views, files)
        for name, view in views.items():
            with _reading(folder):
                view[...] = files[name].get_tensor(name)
    path = folder / "tokenizer.json"
    tokenizer = load_tokenizer(path) if path.exists() else None
    if tokenizer is not None:
        model = _with_begin_of(model, tokenizer, path)
    params = jax.tree.unflatten(jax.tree.structure(abstract), jax.tree.leaves(arrays))
    return model, params, tokenizer


def _views(model: ModelConfig, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the tensors of `LlamaForCausalLM` as views of our arrays, nested as in the model."""
    blocks = arrays["blocks"]
    views = {"model.embed_tokens.weight": arrays["embedding"]}
    for i in range(model.n_layers):
        # PyTorch's linear layers hold [out, in].
        qkv, gate_and_up = blocks["attention"]["qkv"][i].T, blocks["mlp"]["gate_and_up"][i].T
        q, k, v = np.split(qkv, [model.width, model.width + model.head_width * model.kv_heads])
        gate, up = np.split(gate_and_up, 2)
        layer = {
            "input_layernorm": blocks["attention_norm"]["gain"][i],
            "self_attn.q_proj": q,
            "self_attn.k_proj": k,
            "self_attn.v_proj": v,
            "self_attn.o_proj": blocks["attention"]["out"][i].T,
            "post_attention_layernorm": blocks["mlp_norm"]["gain"][i],
            "mlp.gate_proj": gate,
            "mlp.up_proj": up,
            "mlp.down_proj": blocks["mlp"]["down"][i].T,
        }
        views |= {f"model.layers.{i}.{name}.weight": view for name, view in layer.items()}
    views["model.norm.weight"] = arrays["norm"]["gain"]
    if not model.tied_embeddings:
        views["lm_head.weight"] = arrays["head"].T
    return views


# --- export


def _check_arrays(model: ModelConfig, arrays: Any) -> None:
    abstract = jax.eval_shape(lambda: init_params(model, 0))
    found, wanted = _shapes(arrays), _shapes(nnx.to_pure_dict(abstract))
    for name in wanted | found:
        if found.get(name) != wanted.get(name):
            raise ValueError(
                f"the weights are of another architecture: {name} is {found.get(name)} in them, "
                f"{wanted.get(name)} in the model"
            )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf.shape for path, leaf in leaves
    }


def _generation(model: ModelConfig) -> dict[str, Any]:
    """Begin a text as the model does, end it at the end of text, and fill a batch up with that."""
    end = model.end_of_text_id
    return {"bos_token_id": model.start_id, "eos_token_id": end, "pad_token_id": end}


def _tokenizer_config(model: ModelConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    n_tokens, end = tokenizer.get_vocab_size(), tokenizer.id_to_token(model.end_of_text_id)
    if n_tokens > model.vocab_size or end is None:
        raise ValueError(
            f"the tokenizer does not belong to the model: it has {n_tokens:,} tokens, the model "
            f"knows {model.vocab_size:,}, the end of text {model.end_of_text_id} among them"
        )
    has_begin = model.begin_of_text_id is not None
    begin = {"bos_token": tokenizer.id_to_token(model.start_id)} if has_begin else {}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **begin,
        "eos_token": end,
        "model_max_length": model.context,
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
    }


# --- import


def _with_begin_of(model: ModelConfig, tokenizer: Tokenizer, path: Path) -> ModelConfig:
    """Return the model with the token that its tokenizer puts before a text, if it does."""
    encoded = tokenizer.encode("")
    if not encoded.ids or not encoded.special_tokens_mask[0]:
        return model
    begin = encoded.ids[0]
    if begin == model.start_id or begin == encoded.ids[-1] == model.end_of_text_id:
        return model
    warnings.warn(
        f"{path} begins a text with the token {begin}, config.json with {model.start_id}: {begin} "
        "is used",
        stacklevel=3,
    )
    is_end = begin == model.end_of_text_id
    return replace(model, begin_of_text_id=None if is_end else begin)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def _read_config(path: Path, context: int | None) -> ModelConfig:
    config = _read_object(path)
    try:
        return model_config(config, context)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not of a model supported here: {error}") from error


def _read_object(path: Path) -> dict[str, Any]:
    with _reading(path):
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError("it holds no JSON object")
        return values


@contextmanager
def _open_tensors(folder: Path) -> Iterator[dict[str, Any]]:
    """Open the files of weights; yield the open file that holds each tensor."""
    with ExitStack() as stack:
        files: dict[str, Any] = {}
        for path in _weight_files(folder):
            with _reading(path):
                file = stack.enter_context(safe_open(str(path), framework="numpy"))
            files |= dict.fromkeys(file.keys(), file)
        yield files


def _weight_files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if not (folder / INDEX).exists():
        raise CheckpointError(f"{folder} holds neither {WEIGHTS} nor {INDEX}")
    placed = _read_object(folder / INDEX).get("weight_map")
    if not isinstance(placed, dict) or not all(isinstance(name, str) for name in placed.values()):
        raise CheckpointError(f"{folder / INDEX} does not say which file holds which tensor")
    return [folder / name for name in sorted(set(placed.values()))]


def _check_tensors(
    folder: Path, model: ModelConfig, views: Mapping[str, np.ndarray], files: Mapping[str, Any]
) -> None:
    if missing := [name for name in views if name not in files]:
        raise CheckpointError(f"{folder} lacks the weights {_listed(missing)}")
    if extra := [name for name in files if name not in views and not _is_redundant(name, model)]:
        raise CheckpointError(f"{folder} holds weights its model has no use for: {_listed(extra)}")
    for name, view in views.items():
        tensor = files[name].get_slice(name)
        shape, stored = tuple(tensor.get_shape()), tensor.get_dtype()
        if shape != view.shape:
            raise CheckpointError(
                f"{name} has the shape {shape} in {folder}, {view.shape} after its config.json"
            )
        if stored not in NUMBER_FORMATS:
            raise CheckpointError(
                f"{name} is stored as {stored} in {folder}, not as {' or '.join(NUMBER_FORMATS)}"
            )


def _is_redundant(name: str, model: ModelConfig) -> bool:
    """Frequencies that old versions stored, and a head beside the embedding it is tied to."""
    tied = model.tied_embeddings and name == "lm_head.weight"
    return tied or name.endswith("rotary_emb.inv_freq")


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
