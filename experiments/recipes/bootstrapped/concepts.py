"""Documents about latent concepts: those about one concept share its name and its values.

The world favours bootstrapping by construction: what one document says of its concept is news
about every other document of that concept. Real text does so far less.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from experiments.recipes.bootstrapped.words import FAMILY_NAMES, FIRST_NAMES, VALUES

END = "<|endoftext|>"

SLOTS = tuple(VALUES)
"""Properties of a concept; each has words of its own for its values."""
TEMPLATES = (
    "the S of N is V .",
    "N has the S V .",
    "for N the S is V .",
    "as S N takes V .",
    "V is the S of N .",
    "N : S V .",
    "people say V is the S N likes .",
    "when asked for a S N answers V .",
)
"""Ways of giving a concept's value V of a slot S; N is its name."""
N_NAME_WORDS = 2

_FUNCTION_WORDS = sorted({word for form in TEMPLATES for word in form.split()} - {"S", "N", "V"})


@dataclass(frozen=True, kw_only=True)
class ConceptSettings:
    """One world.

    Attributes:
        n_concepts: concepts.
        n_values: values of each slot, drawn uniformly for each concept; at most 24.
        n_name_words: first names, and family names; every pair names one concept at most.
        length: tokens of a document, its end-of-text token included.
        seed: draws the concepts; other seeds draw other worlds in the same words.

    Raises:
        ValueError: more concepts than names, or more values or names than there are words.
    """

    n_concepts: int = 256
    n_values: int = 24
    n_name_words: int = 32
    length: int = 47
    seed: int = 0

    def __post_init__(self) -> None:
        most = {"n_values": min(map(len, VALUES.values())), "n_name_words": len(FIRST_NAMES)}
        for name, n_words in most.items():
            if not 1 <= getattr(self, name) <= n_words:
                raise ValueError(
                    f"{name} must lie between 1 and the {n_words} words that there are; not "
                    f"{getattr(self, name)}"
                )
        if not 1 <= self.n_concepts <= self.n_name_words**N_NAME_WORDS:
            raise ValueError(
                f"n_concepts must lie between 1 and the {self.n_name_words**N_NAME_WORDS} names "
                f"that two of {self.n_name_words} words make; not {self.n_concepts}"
            )


@dataclass(frozen=True, kw_only=True)
class ConceptWorld:
    """The concepts of a world, and its documents.

    Attributes:
        settings: what it was drawn from.
    """

    settings: ConceptSettings

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Every word by its id: the end of text, function words, slots, their values, names."""
        settings = self.settings
        values = (word for words in VALUES.values() for word in words[: settings.n_values])
        names = (
            word for part in (FIRST_NAMES, FAMILY_NAMES) for word in part[: settings.n_name_words]
        )
        return (END, *_FUNCTION_WORDS, *SLOTS, *values, *names)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each word."""
        return {word: at for at, word in enumerate(self.words)}

    @cached_property
    def first_value(self) -> int:
        """The id of the first value of the first slot; values of a slot follow one another."""
        return self.ids[SLOTS[-1]] + 1

    @cached_property
    def first_name(self) -> int:
        """The id of the first of the first names; family names follow them."""
        return self.first_value + len(SLOTS) * self.settings.n_values

    @cached_property
    def names(self) -> np.ndarray:
        """Ids of the two words of each concept's name, int [n_concepts, 2]."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, 0))
        pairs = np.array(list(itertools.product(range(settings.n_name_words), repeat=2)))
        chosen = rng.permutation(pairs)[: settings.n_concepts]
        return self.first_name + chosen + [0, settings.n_name_words]

    @cached_property
    def values(self) -> np.ndarray:
        """Ids of the values of each concept, int [n_concepts, 6]."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, 1))
        drawn = rng.integers(settings.n_values, size=(settings.n_concepts, len(SLOTS)))
        return self.first_value + drawn + settings.n_values * np.arange(len(SLOTS))

    def documents(self, per_concept: int, *, part: int = 0) -> np.ndarray:
        """Write documents, as many about each concept, in random order.

        A document is a run of sentences about slots drawn with replacement, cut at the settings'
        length; its last token is the end of text.

        Args:
            per_concept: documents about each concept.
            part: another number gives other documents about the same concepts.

        Returns:
            int32 [n_concepts * per_concept, length].
        """
        rng = np.random.default_rng((self.settings.seed, 2, part))
        concepts = rng.permutation(np.repeat(np.arange(self.settings.n_concepts), per_concept))
        return np.array([self._document(concept, rng) for concept in concepts], np.int32)

    def _document(self, concept: int, rng: np.random.Generator) -> list[int]:
        found: list[int] = []
        while len(found) < self.settings.length - 1:
            found += self._sentence(
                concept, int(rng.integers(len(SLOTS))), TEMPLATES[rng.integers(len(TEMPLATES))]
            )
        return [*found[: self.settings.length - 1], 0]

    def _sentence(self, concept: int, slot: int, form: str) -> list[int]:
        filled = {
            "N": self.names[concept].tolist(),
            "S": [self.ids[SLOTS[slot]]],
            "V": [int(self.values[concept, slot])],
        }
        return [id for word in form.split() for id in (filled.get(word) or [self.ids[word]])]

    def concept_of(self, documents: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Return the concept that each document names first, int [n]; -1 where it names none."""
        second = self.first_name + self.settings.n_name_words
        found = np.full(len(documents), -1)
        known = {tuple(name): concept for concept, name in enumerate(self.names.tolist())}
        for row, document in enumerate(documents):
            for at in np.flatnonzero(document[1:] >= second):
                concept = known.get((int(document[at]), int(document[at + 1])), -1)
                if concept >= 0:
                    found[row] = concept
                    break
        return found

    def is_value(self, ids: np.ndarray) -> np.ndarray:
        """Return which ids are values of slots, bool, in the shape of `ids`."""
        return (ids >= self.first_value) & (ids < self.first_name)

    def first_mentions(self, documents: np.ndarray) -> np.ndarray:
        """Mark the values that a document [n, length] gives for the first time in it.

        They must be known to be predicted; a later mention can be copied.
        """
        marked = np.zeros(documents.shape, bool)
        for row, document in enumerate(documents):
            ids, places = np.unique(document, return_index=True)
            marked[row, places[self.is_value(ids)]] = True
        return marked

    def agreement(self, documents: Sequence[np.ndarray] | np.ndarray) -> float:
        """Return the share of the values given in documents that are those of their concept.

        Documents that name no concept count as wrong in every value they give.
        """
        concepts = self.concept_of(documents)
        right = n_values = 0
        for document, concept in zip(documents, concepts, strict=True):
            given = document[self.is_value(document)]
            n_values += len(given)
            if concept >= 0:
                right += int(np.isin(given, self.values[concept]).sum())
        return right / n_values if n_values else 0.0

    def text(self, ids: np.ndarray) -> str:
        """Return a document as text, without the end of text."""
        return " ".join(self.words[i] for i in ids if i)
