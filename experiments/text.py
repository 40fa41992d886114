"""The tokens that the runs of a world read."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from experiments.spec import DataConfig
from experiments.worlds import World
from models.batches import evaluation_windows, steps_per_epoch
from models.tokens import draw_unique_tokens, tokenize_corpus


class WorldText:
    """A tokenized corpus, cut for the runs of one world.

    Raises:
        ValueError: the corpus is too small for the world (says how much is there and needed).
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.tokens = tokenize_corpus(world.corpus, vocab_size=world.vocab_size)
        steps_per_epoch(world.n_unique_tokens, context=world.context, batch_size=world.batch_size)
        needed = {
            "train": world.n_unique_tokens,
            "validation": world.n_eval_tokens + 1,
            "test": world.n_eval_tokens + 1,
        }
        for part, n_needed in needed.items():
            n_there = len(getattr(self.tokens, part))
            if n_there < n_needed:
                raise ValueError(
                    f"world {world.name} needs {n_needed:,} tokens in the {part} part of "
                    f"{world.corpus}; there are {n_there:,}"
                )

    def data(self, *, n_unique_tokens: int | None = None, draw_seed: int = 0) -> DataConfig:
        """Return the identity of one draw of unique tokens (default: the world's D)."""
        return DataConfig(
            corpus=self.world.corpus,
            sha256=self.tokens.sha256,
            n_unique_tokens=n_unique_tokens or self.world.n_unique_tokens,
            draw_seed=draw_seed,
            n_eval_tokens=self.world.n_eval_tokens,
        )

    @lru_cache(maxsize=8)  # noqa: B019 - a world's text lives as long as the program
    def unique_tokens(self, data: DataConfig) -> np.ndarray:
        """Return the unique tokens [D] of a run."""
        return draw_unique_tokens(self.tokens, data.n_unique_tokens, draw_seed=data.draw_seed)

    @lru_cache(maxsize=8)  # noqa: B019
    def held_out(self, data: DataConfig, context: int) -> Mapping[str, np.ndarray]:
        """Return the windows [n_windows, context + 1] of the validation and of the test part."""
        n_tokens = data.n_eval_tokens + 1
        return {
            part: evaluation_windows(getattr(self.tokens, part)[:n_tokens], context=context)
            for part in ("validation", "test")
        }
