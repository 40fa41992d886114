"""The options that every command on a world shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class WorldOptions:
    """Which world, on which text, kept where."""

    world: str = "quick"
    """How large: tiny (half a minute) or quick (minutes)."""
    corpus: str | None = None
    """Text to train on instead of the world's: stdlib, novels, files:PATH or hf:DATASET."""
    runs: Path = Path("runs")
    """Folder of the trained runs, one subfolder a world."""
