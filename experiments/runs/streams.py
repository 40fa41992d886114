"""Token streams that recipes write themselves, kept in the store beside the runs that read them.

    streams/SHA.npz    the training stream, and windows to score by name

A run names such a text by the hash of its tokens; what wrote it is only a label to people. Tokens
that are read but not predicted (`models.text.batches.unscored`) are kept as they are, negative.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.runs.files import replacing, storing
from experiments.runs.spec import DataConfig, RunSpec
from experiments.runs.texts import held_out, held_out_text, unique_tokens
from models.text.data_home import CorpusError

if TYPE_CHECKING:
    pass

FOLDER = "streams"


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """A text as models read it.

    Attributes:
        tokens: int [D], read from the beginning to the end.
        held_out: windows [n_windows, context + 1] to score by name, such as `test`; one of each
            name that the scores of a run are to have.
    """

    tokens: np.ndarray
    held_out: Mapping[str, np.ndarray]

    @property
    def sha256(self) -> str:
        """Hash of all token ids, whatever type of number holds them."""
        digest = hashlib.sha256()
        for name, ids in _arrays(self).items():
            digest.update(f"{name}{ids.shape}".encode())
            digest.update(np.ascontiguousarray(ids, "<i4").tobytes())
        return digest.hexdigest()


def _arrays(stream: Stream) -> dict[str, np.ndarray]:
    return {"tokens": stream.tokens, **dict(sorted(stream.held_out.items()))}


def text_of(spec: RunSpec, root: Path) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Return the tokens that a run reads and the windows that it is scored on.

    Args:
        spec: the run.
        root: folder of its store.

    Raises:
        CorpusError: the text cannot be had on this machine, or differs.
    """
    if spec.data.is_stream:
        stream = read_stream(root, spec.data)
        return stream.tokens, stream.held_out
    vocab_size, context = spec.model.vocab_size, spec.model.context
    return unique_tokens(spec.data, vocab_size), held_out(spec.data, vocab_size, context)


def documents_of(spec: RunSpec) -> Mapping[str, np.ndarray]:
    """Return the document of each scored token [n_windows, context] of a run, by part.

    Empty for a stream, whose documents nobody has numbered.

    Raises:
        CorpusError: as `text_of`.
    """
    if spec.data.is_stream:
        return {}
    scored = held_out_text(spec.data, spec.model.vocab_size, spec.model.context)
    return {part: text.documents for part, text in scored.items()}


def keep_stream(root: Path, stream: Stream) -> None:
    """Write a stream into a store, whole or not at all."""
    path = stream_path(root, stream.sha256)
    if path.is_file():
        return
    arrays = {name: _compact(ids) for name, ids in _arrays(stream).items()}
    with storing(root), replacing(path) as beside:
        np.savez_compressed(beside, **arrays)  # type: ignore[arg-type]


def read_stream(root: Path, data: DataConfig) -> Stream:
    """Read the stream of a run.

    Raises:
        CorpusError: the store does not have it, or it is damaged.
    """
    return _read(stream_path(root, data.sha256), data)


@lru_cache(maxsize=8)
def _read(path: Path, data: DataConfig) -> Stream:
    try:
        with np.load(path) as arrays:
            held_out = {name: arrays[name] for name in arrays.files if name != "tokens"}
            stream = Stream(tokens=arrays["tokens"], held_out=held_out)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise CorpusError(
            f"the text {data.corpus!r} is not in the store, or damaged ({path}); the recipe that "
            "wrote it writes it again"
        ) from error
    if stream.sha256 != data.sha256:
        raise CorpusError(f"the text {data.corpus!r} has been changed on the disk: remove {path}")
    return stream


def stream_path(root: Path, sha256: str) -> Path:
    """Return where the stream of a hash is kept in the store at `root`."""
    return root / FOLDER / f"{sha256[:32]}.npz"


def _compact(ids: np.ndarray) -> np.ndarray:
    fits = ids.min(initial=0) >= -(2**15) and ids.max(initial=0) < 2**15
    return ids.astype(np.int16 if fits else np.int32)
