"""What is written about a fact world: the source, its paraphrases, and EntiGraph's documents.

The template writer stands for a language model with the source in its context. Paraphrases and
EntiGraph's documents use the same sentences and synonyms, so that they differ in content only: the
stated edges again, or the stars of `graphsim`'s process, which state what paths imply.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from experiments.recipes.entigraph.graph import FactGraph
from experiments.recipes.entigraph.words import (
    N_SYNONYMS,
    QUESTION,
    REVERSE_QUESTION,
    SOURCE_ITEM,
    TEMPLATES,
    Words,
)

Tokens = list[int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Author:
    """Writes about one world in its words.

    Every document ends with the end-of-text id 0.

    Attributes:
        graph: the facts.
        words: the vocabulary.
        world: which entities of the vocabulary are this world's.
    """

    graph: FactGraph
    words: Words
    world: int

    @cached_property
    def _first(self) -> int:
        return int(self.words.entity(self.world, 0))

    def entity(self, x: int) -> int:
        """Return the id of an entity."""
        return self._first + x

    def source(self) -> list[Tokens]:
        """Write the source: for each entity with edges one document, always the same."""
        documents = []
        for x in range(self.graph.n_entities):
            targets = self.graph.edges.successors(x)
            if not len(targets):
                continue
            document = [self.entity(x), self.words.ids[":"]]
            for y in targets:
                document += self._sentence(SOURCE_ITEM, x, int(y), synonym=0)
                document.append(self.words.ids[","])
            documents.append([*document[:-1], self.words.ids["."], 0])
        return documents

    def paraphrases(self, rng: np.random.Generator) -> Iterator[Tokens]:
        """Yield paraphrases of the source without end: all edges of an entity in random order."""
        subjects = np.flatnonzero(np.diff(self.graph.edges.indptr))
        while True:
            for x in rng.permutation(subjects):
                yield self._statements(int(x), self.graph.edges.successors(x), rng)

    def stars(self, rng: np.random.Generator) -> Iterator[Tokens]:
        """Yield what each step of EntiGraph writes, without end; empty where there is no path.

        A step draws an ordered pair (x, y) uniformly and states the relation of x to every entity
        on the path to y, in random order (arXiv 2409.07431, Section 6.1).
        """
        n = self.graph.n_entities
        while True:
            x, y = (int(entity) for entity in rng.integers(n, size=2))
            if x != y:
                path = self.graph.path(x, y)
                yield self._statements(x, np.array(path), rng) if path else []

    def questions(self, rng: np.random.Generator, *, reverse: bool = False) -> Iterator[Tokens]:
        """Yield questions with their answers without end, on all reachable pairs alike."""
        form = REVERSE_QUESTION if reverse else QUESTION
        pairs = np.argwhere(self.graph.depths > 0)
        while True:
            for x, y in rng.permutation(pairs):
                synonym = int(rng.integers(N_SYNONYMS))
                yield [*self._sentence(form, int(x), int(y), synonym=synonym), 0]

    def _statements(self, x: int, targets: np.ndarray, rng: np.random.Generator) -> Tokens:
        document: Tokens = []
        n_facts = len(targets)
        forms = rng.integers(len(TEMPLATES), size=n_facts).tolist()
        synonyms = rng.integers(N_SYNONYMS, size=n_facts).tolist()
        for y, form, synonym in zip(
            rng.permutation(targets).tolist(), forms, synonyms, strict=True
        ):
            document += self._sentence(TEMPLATES[form], x, y, synonym=synonym)
        return [*document, 0]

    def _sentence(self, form: str, x: int, y: int, *, synonym: int) -> Tokens:
        relation = self.words.relation(int(self.graph.relations[x, y]), synonym)
        return self.words.fill(form, x=self._first + x, relation=relation, y=self._first + y)


def take_tokens(documents: Iterator[Tokens], n_tokens: int) -> list[Tokens]:
    """Return the first documents, empty ones too, that have `n_tokens` tokens or more together."""
    taken, n_taken = [], 0
    while n_taken < n_tokens:
        document = next(documents)
        taken.append(document)
        n_taken += len(document)
    return taken
