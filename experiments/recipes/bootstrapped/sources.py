"""Where the documents come from: concepts invented for the purpose, or excerpts of real text."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from experiments.lab.lab import Lab
from experiments.recipes.bootstrapped.concepts import ConceptSettings, ConceptWorld
from experiments.worlds.plans_part2 import ConceptPlan, ExcerptPlan
from models.text.tokens import END_OF_TEXT_ID

if TYPE_CHECKING:
    import tokenizers


class Texts(NamedTuple):
    """Documents of one world, int [n, length], each with its end-of-text token."""

    real: np.ndarray
    validation: np.ndarray
    test: np.ndarray


class Source(Protocol):
    """Worlds of documents, each drawn by its seed."""

    @property
    def n_real(self) -> int:
        """Real documents of a world."""

    @property
    def length(self) -> int:
        """Tokens of a document, its end-of-text token included."""

    @property
    def vocab_size(self) -> int:
        """Different tokens."""

    def identity(self, world: int) -> list[Any]:
        """Return everything that decides the documents of a world, as JSON."""

    def texts(self, world: int) -> Texts:
        """Return the documents that are trained on and those that are held out."""

    def new(self, world: int, times: int) -> np.ndarray:
        """Return other documents, token ids [n_tokens], `times` as many as the real ones."""

    def spell(self, world: int, ids: np.ndarray) -> str:
        """Return a document as text, without the end of text."""


class Concepts:
    """Documents about concepts, of which everything is known.

    Args:
        plan: how many there are.
    """

    REAL, VALIDATION, TEST, NEW = range(4)
    """Parts of a world's documents."""

    def __init__(self, plan: ConceptPlan) -> None:
        self.plan = plan

    @property
    def n_real(self) -> int:
        """Real documents of a world."""
        return self.plan.n_concepts * self.plan.per_concept

    @property
    def length(self) -> int:
        """Tokens of a document, its end-of-text token included."""
        return ConceptSettings().length

    @property
    def vocab_size(self) -> int:
        """Different words."""
        return len(self.world(0).words)

    @lru_cache(maxsize=8)  # noqa: B019 - a source lives as long as its recipe
    def world(self, world: int) -> ConceptWorld:
        """Return what the documents of a world are about."""
        return ConceptWorld(settings=ConceptSettings(n_concepts=self.plan.n_concepts, seed=world))

    def identity(self, world: int) -> list[Any]:
        """Return everything that decides the documents of a world, as JSON."""
        settings = asdict(self.world(world).settings)
        return [settings, self.plan.per_concept, self.plan.held_out_per_concept]

    @lru_cache(maxsize=8)  # noqa: B019 - a source lives as long as its recipe
    def texts(self, world: int) -> Texts:
        """Write the documents that are trained on and those that are held out."""
        drawn, n_held_out = self.world(world), self.plan.held_out_per_concept
        return Texts(
            drawn.documents(self.plan.per_concept, part=self.REAL),
            drawn.documents(n_held_out, part=self.VALIDATION),
            drawn.documents(n_held_out, part=self.TEST),
        )

    def new(self, world: int, times: int) -> np.ndarray:
        """Write other documents about the same concepts, token ids [n_tokens]."""
        return self.world(world).documents(times * self.plan.per_concept, part=self.NEW)

    def spell(self, world: int, ids: np.ndarray) -> str:
        """Return a document as text, without the end of text."""
        return self.world(world).text(ids)


class Excerpts:
    """Pieces of equal length of a lab's text, where related ones are rarer and less alike.

    Args:
        lab: whose text; its train part only.
        plan: how many there are.
    """

    def __init__(self, lab: Lab, plan: ExcerptPlan) -> None:
        self.lab, self.plan = lab, plan

    @property
    def n_real(self) -> int:
        """Real documents of a world."""
        return self.plan.n_documents

    @property
    def length(self) -> int:
        """Tokens of a document, its end-of-text token included."""
        return self.plan.length

    @property
    def vocab_size(self) -> int:
        """Entries of the vocabulary."""
        return self.lab.world.vocab_size

    def identity(self, world: int) -> list[Any]:
        """Return everything that decides the documents of a world, as JSON."""
        plan = self.plan
        return [self.lab.text.facts.sha256, plan.length, plan.n_documents, plan.n_held_out, world]

    @cached_property
    def pieces(self) -> np.ndarray:
        """Every piece that the text has room for, int [n_pieces, length]; none spans two texts."""
        tokens = self.lab.text.tokens.train
        n_tokens = self.plan.length - 1
        texts = np.split(tokens, np.flatnonzero(tokens == END_OF_TEXT_ID) + 1)
        pieces = np.concatenate(
            [text[: len(text) // n_tokens * n_tokens].reshape(-1, n_tokens) for text in texts]
        )
        # A text ends with its end of text, which a last piece may have reached.
        whole = pieces[(pieces != END_OF_TEXT_ID).all(axis=1)].astype(np.int32)
        return np.pad(whole, ((0, 0), (0, 1)), constant_values=END_OF_TEXT_ID)

    @lru_cache(maxsize=8)  # noqa: B019 - a source lives as long as its recipe
    def texts(self, world: int) -> Texts:
        """Draw the documents that are trained on and those that are held out.

        Raises:
            ValueError: the text has fewer.
        """
        n_real, n_held_out = self.plan.n_documents, self.plan.n_held_out
        drawn = self._drawn(world, n_real + 2 * n_held_out)
        return Texts(*np.split(drawn, [n_real, n_real + n_held_out]))

    def new(self, world: int, times: int) -> np.ndarray:
        """Return other documents, token ids [n_tokens].

        Raises:
            ValueError: the text has fewer.
        """
        n_before = self.plan.n_documents + 2 * self.plan.n_held_out
        return self._drawn(world, n_before + times * self.plan.n_documents)[n_before:]

    def beginning(self, text: str) -> np.ndarray:
        """Return the first token ids of a text [n], at most as many as fit a document."""
        return np.array(self._tokenizer.encode(text).ids[: self.length - 1], np.int32)

    def spell(self, world: int, ids: np.ndarray) -> str:
        """Return a document as text, without the end of text."""
        return self._tokenizer.decode([int(i) for i in ids if i != END_OF_TEXT_ID])

    @cached_property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        return self.lab.text.tokens.tokenizer()

    def _drawn(self, world: int, n: int) -> np.ndarray:
        if n > len(self.pieces):
            raise ValueError(
                f"{n:,} documents of {self.length - 1} tokens are wanted; the train part of "
                f"{self.lab.world.corpus} has {len(self.pieces):,}"
            )
        order = np.random.default_rng((world, 3)).permutation(len(self.pieces))
        return self.pieces[order[:n]]
