"""Token streams that recipes write, kept in the store of their lab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from experiments.lab.lab import Lab
from experiments.runs.records import measuring
from experiments.runs.spec import STREAM_PREFIX, DataConfig
from experiments.runs.texts import Stream, keep_stream, stream_path


def plan_stream(lab: Lab, label: str, identity: Any, write: Callable[[], Stream]) -> DataConfig:
    """Return the identity of a stream, writing it where the store does not have it.

    Args:
        lab: whose store.
        label: its name for people.
        identity: everything that decides its tokens, as JSON.
        write: writes it; a stream of other code is written again.
    """

    def kept() -> dict[str, Any]:
        stream = write()
        keep_stream(lab.store.root, stream)
        return {
            "sha256": stream.sha256,
            "n_tokens": len(stream.tokens),
            "n_eval_tokens": sum(windows[:, 1:].size for windows in stream.held_out.values()),
        }

    known = lab.remember("stream_names", identity, kept, code=write)
    if not lab.store.read_only and not stream_path(lab.store.root, known["sha256"]).is_file():
        with measuring():
            kept()
    return DataConfig(
        corpus=f"{STREAM_PREFIX}{label}",
        sha256=known["sha256"],
        n_unique_tokens=known["n_tokens"],
        n_eval_tokens=known["n_eval_tokens"],
    )
