"""Token streams that recipes write, kept in the store of the runs that read them.

    streams/SHA.npz    the training stream, and windows to score by name

A run identifies such a text by the hash of its tokens; the name of the writer is only a label.
Tokens that are read but not predicted (`models.text.batches.unscored`) are stored as negative ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from experiments.runs.files import replacing, storing
from experiments.runs.spec import DataConfig, RunSpec
from experiments.runs.texts import held_out, unique_tokens
from models.text.data_home import CorpusError

FOLDER = "streams"


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """A text as models read it.

    Attributes:
        tokens: int [D], in the order in which they are read.
        held_out: windows [n_windows, context + 1] to score, by name of the score, such as `test`.
    """

    tokens: np.ndarray
    held_out: Mapping[str, np.ndarray]

    @property
    def sha256(self) -> str:
        """Hash of all token ids, independent of their dtype."""
        digest = hashlib.sha256()
        for name, ids in _arrays(self).items():
            digest.update(f"{name}{ids.shape}".encode())
            digest.update(np.ascontiguousarray(ids, "<i4").tobytes())
        return digest.hexdigest()


def _arrays(stream: Stream) -> dict[str, np.ndarray]:
    return {"tokens": stream.tokens, **dict(sorted(stream.held_out.items()))}


def text_of(spec: RunSpec, root: Path) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Return the tokens [D] that a run reads and the windows [n, context + 1] to score it on.

    Args:
        spec: the run.
        root: folder of its store.

    Raises:
        CorpusError: the text is missing on this machine, or differs.
    """
    if spec.data.is_stream:
        stream = read_stream(root, spec.data)
        return stream.tokens, stream.held_out
    vocab_size, context = spec.model.vocab_size, spec.model.context
    return unique_tokens(spec.data, vocab_size), held_out(spec.data, vocab_size, context)


def keep_stream(root: Path, stream: Stream) -> None:
    """Write a stream into a store atomically."""
    path = stream_path(root, stream.sha256)
    if path.is_file():
        return
    arrays = {name: _compact(ids) for name, ids in _arrays(stream).items()}
    with storing(root), replacing(path) as beside:
        np.savez_compressed(beside, **arrays)  # type: ignore[arg-type]


def read_stream(root: Path, data: DataConfig) -> Stream:
    """Return the stream of a run.

    Raises:
        CorpusError: the store does not hold it, or it is damaged.
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
            f"the text {data.corpus!r} is not in the store, or damaged ({path}); run the recipe "
            "that wrote it to write it again"
        ) from error
    if stream.sha256 != data.sha256:
        raise CorpusError(f"the text {data.corpus!r} was changed on the disk: remove {path}")
    return stream


def stream_path(root: Path, sha256: str) -> Path:
    """Return where the stream of a hash is kept in the store at `root`."""
    return root / FOLDER / f"{sha256[:32]}.npz"


def _compact(ids: np.ndarray) -> np.ndarray:
    fits = ids.min(initial=0) >= -(2**15) and ids.max(initial=0) < 2**15
    return ids.astype(np.int16 if fits else np.int32)
