"""The tokenized corpus of one world."""

from __future__ import annotations

import logging
from functools import cached_property

from experiments.runs.spec import DataConfig
from experiments.runs.texts import HELD_OUT, TextFacts, unique_tokens
from experiments.worlds.world import World
from models.text.batches import steps_per_epoch
from models.text.stock import LEAST_DOCUMENTS
from models.text.tokens import TokenizedCorpus, tokenize_corpus

logger = logging.getLogger("datawall")


class WorldText:
    """The tokenized corpus of one world.

    Args:
        world: names the corpus.
        facts: what is known of it, where the tokens themselves are not needed.

    Raises:
        ValueError: the corpus is too small for the world (says how much is there and needed).
    """

    def __init__(self, world: World, facts: TextFacts | None = None) -> None:
        self.world = world
        self.facts = facts or TextFacts.of(self.tokens)
        steps_per_epoch(world.n_unique_tokens, context=world.context, batch_size=world.batch_size)
        needed = {"train": world.n_unique_tokens}
        needed |= dict.fromkeys(HELD_OUT, world.n_eval_tokens + 1)
        for part, n_needed in needed.items():
            n_there = self.facts.n_tokens[part]
            if n_there < n_needed:
                raise ValueError(
                    f"world {world.name} needs {n_needed:,} tokens in the {part} part of "
                    f"{world.corpus}; there are {n_there:,}"
                )
        if facts is None:
            if world.chunk_tokens:
                unique_tokens(self.data(), world.vocab_size)  # raises if documents are too few
            if self.facts.is_cut:
                logger.warning("%s", self.scope)

    @property
    def scope(self) -> str:
        """What the losses of this text can show and what they cannot, in a sentence."""
        if self.facts.is_cut:
            return (
                f"The text {self.world.corpus} is one document or two, cut into pieces: results "
                "show how recipes compare on it, and not how they compare on other texts."
            )
        if not self.world.chunk_tokens:
            return (
                "Whole documents are read until the unique tokens are full, and the opening of "
                "each held-out part is scored: where documents are long, results hold for a few."
            )
        n_documents, n_windows = (
            self.facts.n_documents,
            self.world.n_eval_tokens // self.world.context,
        )
        validation, test = (min(n_documents[part], n_windows) for part in HELD_OUT)
        train = n_documents["train"]
        drawn = f"at least {LEAST_DOCUMENTS} of" if train > LEAST_DOCUMENTS else "all"
        return (
            f"The unique tokens are chunks of {drawn} {train:,} documents; hyperparameters are "
            f"selected on windows of {validation:,} other documents and losses reported on windows "
            f"of {test:,} others: results hold for documents like these."
        )

    @cached_property
    def tokens(self) -> TokenizedCorpus:
        """The tokens, read when first asked for."""
        return tokenize_corpus(self.world.corpus, vocab_size=self.world.vocab_size)

    def data(
        self, *, n_unique_tokens: int | None = None, draw_seed: int | None = None
    ) -> DataConfig:
        """Return the identity of one draw of unique tokens (default: the world's).

        Raises:
            ValueError: there are fewer.
        """
        n_there = self.facts.n_tokens["train"]
        if n_unique_tokens is not None and not 1 <= n_unique_tokens <= n_there:
            raise ValueError(
                f"n_unique_tokens must lie between 1 and the {n_there:,} of the train part of "
                f"{self.world.corpus}; not {n_unique_tokens:,}"
            )
        return DataConfig(
            corpus=self.world.corpus,
            sha256=self.facts.sha256,
            n_unique_tokens=n_unique_tokens or self.world.n_unique_tokens,
            draw_seed=self.world.draw_seed if draw_seed is None else draw_seed,
            n_eval_tokens=self.world.n_eval_tokens,
            chunk_tokens=self.world.chunk_tokens,
        )
