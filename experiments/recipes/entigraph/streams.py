"""The text that models read of a fact world: what they start from, and what they go on with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from experiments.recipes.entigraph.documents import Author, Tokens, take_tokens
from experiments.recipes.entigraph.graph import FactGraph
from experiments.recipes.entigraph.words import Words

Method = Literal["raw", "paraphrase", "entigraph"]

SOURCE_SHARE, REPLAY_SHARE = 0.05, 0.10
"""Shares of the tokens that every method gives to the source and to the first training's text."""

BASE_SHARES = {
    "source": 0.05,
    "paraphrase": 0.15,
    "entigraph": 0.40,
    "question": 0.20,
    "reverse": 0.20,
}
"""What the first training reads of the other worlds, by tokens."""


@dataclass(frozen=True, kw_only=True)
class FactSettings:
    """The worlds of one experiment: some to learn the language from, and one to learn facts of.

    Attributes:
        n_entities: V of each world.
        mean_degree: expected stated edges of an entity.
        n_base_worlds: other worlds, of which the first training reads.
        base_seed: draws those.
        seed: draws the target world, and the questions about it.
    """

    n_entities: int = 30
    mean_degree: float = 3.0
    n_base_worlds: int = 3
    base_seed: int = 0
    seed: int = 0

    @property
    def words(self) -> Words:
        """The vocabulary, the same whatever the seeds."""
        return Words(n_worlds=self.n_base_worlds + 1, n_entities=self.n_entities)

    def target(self) -> Author:
        """Return the author of the target world."""
        return self._author(self.n_base_worlds, (self.seed, 1))

    def base(self) -> list[Author]:
        """Return the author of each of the other worlds."""
        return [self._author(i, (self.base_seed, 0, i)) for i in range(self.n_base_worlds)]

    def _author(self, world: int, seed: tuple[int, ...]) -> Author:
        drawn = int(np.random.default_rng(seed).integers(2**31))
        graph = FactGraph.random(self.n_entities, self.mean_degree, drawn)
        return Author(graph=graph, words=self.words, world=world)


def base_stream(settings: FactSettings, n_tokens: int, *, seed: int = 0) -> np.ndarray:
    """Return the text of the first training: everything about the other worlds, shuffled.

    It teaches words, synonyms, and what questions look like in both directions.

    Args:
        settings: the worlds.
        n_tokens: length of the text.
        seed: of the documents and their order.

    Returns:
        int32 [n_tokens].
    """
    authors = settings.base()
    documents: list[Tokens] = []
    for i, author in enumerate(authors):
        rng = np.random.default_rng((settings.base_seed, seed, 2, i))
        kinds: dict[str, Iterator[Tokens]] = {
            "source": _repeated(author.source(), rng),
            "paraphrase": author.paraphrases(rng),
            "entigraph": author.stars(rng),
            "question": author.questions(rng),
            "reverse": author.questions(rng, reverse=True),
        }
        for kind, share in BASE_SHARES.items():
            documents += take_tokens(kinds[kind], round(share * n_tokens / len(authors)) + 1)
    return _shuffled(documents, np.random.default_rng((settings.base_seed, seed, 3)), n_tokens)


@dataclass(frozen=True, kw_only=True, eq=False)
class SyntheticCorpus:
    """What one method makes of the source.

    Attributes:
        documents: texts with content, in the order of writing.
        n_steps: texts asked for, those without content included: the steps t of the process.
    """

    documents: list[Tokens]
    n_steps: int

    @property
    def n_tokens(self) -> int:
        """Tokens of all documents together."""
        return sum(map(len, self.documents))


def synthesize(author: Author, method: Method, n_tokens: int, *, seed: int) -> SyntheticCorpus:
    """Return synthetic text of at least `n_tokens` tokens; of raw training, the source itself.

    A smaller corpus of one seed is the beginning of a larger one.

    Args:
        author: of the world.
        method: "raw", "paraphrase" or "entigraph".
        n_tokens: how many at least.
        seed: draws what is written.

    Raises:
        ValueError: an unknown method.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}; not {method!r}")
    if method == "raw":
        documents = author.source()
        return SyntheticCorpus(documents=documents, n_steps=len(documents))
    rng = np.random.default_rng((seed, 4, method == "entigraph"))
    written = author.paraphrases(rng) if method == "paraphrase" else author.stars(rng)
    taken = take_tokens(written, n_tokens)
    return SyntheticCorpus(
        documents=[document for document in taken if document], n_steps=len(taken)
    )


def continued_stream(
    settings: FactSettings, method: Method, n_unique: int, n_tokens: int, *, seed: int
) -> np.ndarray:
    """Return the text of continued training by one method.

    The synthetic corpus of `n_unique` tokens is repeated, in a new order each time, until it fills
    its share; source and replayed text have the same shares whatever the method.

    Args:
        settings: the worlds.
        method: "raw", "paraphrase" or "entigraph".
        n_unique: tokens of the synthetic corpus.
        n_tokens: length of the text.
        seed: draws what is written.

    Returns:
        int32 [n_tokens].
    """
    author = settings.target()
    rng = np.random.default_rng((settings.seed, seed, 5))
    corpus = synthesize(author, method, n_unique, seed=seed)
    n_source, n_replay = round(SOURCE_SHARE * n_tokens), round(REPLAY_SHARE * n_tokens)
    documents = take_tokens(_repeated(corpus.documents, rng), n_tokens - n_source - n_replay)
    documents += take_tokens(_repeated(author.source(), rng), n_source)
    replayed = base_stream(settings, n_replay, seed=seed + 1)
    ends = np.flatnonzero(replayed == 0) + 1
    documents += [part.tolist() for part in np.split(replayed, ends) if len(part)]
    return _shuffled(documents, rng, n_tokens)


def _repeated(documents: Sequence[Tokens], rng: np.random.Generator) -> Iterator[Tokens]:
    while True:
        for at in rng.permutation(len(documents)):
            yield documents[at]


def _shuffled(documents: list[Tokens], rng: np.random.Generator, n_tokens: int) -> np.ndarray:
    order = rng.permutation(len(documents))
    return np.concatenate([documents[at] for at in order]).astype(np.int32)[:n_tokens]
