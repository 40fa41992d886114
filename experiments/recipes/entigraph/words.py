"""The words of a fact world, one token each."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

END = "<|endoftext|>"
RELATION_WORDS = (("ahead", "forward"), ("right", "starboard"), ("behind", "aft"), ("left", "port"))
"""Two words for each relation: the source uses the first, other texts and questions both."""
N_SYNONYMS = len(RELATION_WORDS[0])
TEMPLATES = (
    "X has R Y .",
    "the R of X is Y .",
    "for X the R is Y .",
    "seen from X , R lies Y .",
    "R of X : Y .",
    "R from X stands Y .",
)
"""Sentences that state (x, relation, y). All name y last: none can be read backwards."""
SOURCE_ITEM = "Y R"
"""How the source lists a fact: the target before the relation, its subject named once."""
QUESTION, REVERSE_QUESTION = "ask R of X ? Y", "whose R is Y ? X"
"""The answer is the last word."""

_FORMS = (*TEMPLATES, SOURCE_ITEM, QUESTION, REVERSE_QUESTION)
_FUNCTION_WORDS = sorted({word for form in _FORMS for word in form.split()} - {*"XRY"} | {","})
_ONSETS, _VOWELS = "bdfgklmnprstvz", "aeiou"


@dataclass(frozen=True, kw_only=True)
class Words:
    """Word-level vocabulary of several worlds with entities of their own.

    Attributes:
        n_worlds: worlds.
        n_entities: entities of each.
    """

    n_worlds: int
    n_entities: int

    @cached_property
    def all(self) -> tuple[str, ...]:
        """Every word in the order of its id: the end of text, function words, relations, names."""
        syllables = [a + b for a, b in itertools.product(_ONSETS, _VOWELS)]
        names = (a + b for a, b in itertools.product(syllables, syllables))
        entities = itertools.islice(names, self.n_worlds * self.n_entities)
        relations = itertools.chain(*RELATION_WORDS)
        return (END, *_FUNCTION_WORDS, *relations, *(name.capitalize() for name in entities))

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each word."""
        return {word: at for at, word in enumerate(self.all)}

    def __len__(self) -> int:
        return len(self.all)

    def relation(self, relation: int, synonym: int = 0) -> int:
        """Return the id of a word for a relation."""
        return self.ids[RELATION_WORDS[relation][synonym]]

    def entity(self, world: int, entity: int | np.ndarray) -> int | np.ndarray:
        """Return the id of an entity of a world, a scalar or an array like `entity`.

        Raises:
            ValueError: no such world.
        """
        if not 0 <= world < self.n_worlds:
            raise ValueError(f"world must lie in 0..{self.n_worlds - 1}; not {world}")
        return len(self) - (self.n_worlds - world) * self.n_entities + entity

    @cached_property
    def _forms(self) -> dict[str, list[int]]:
        """Sentence forms as ids; -1, -2 and -3 stand for subject, relation and object."""
        ids = {**self.ids, "X": -1, "R": -2, "Y": -3}
        return {form: [ids[word] for word in form.split()] for form in _FORMS}

    def fill(self, form: str, *, x: int = 0, relation: int = 0, y: int = 0) -> list[int]:
        """Return a sentence form with subject, relation and object in it.

        Args:
            form: such as one of `TEMPLATES`.
            x: id of the subject.
            relation: id of the word for the relation.
            y: id of the object.
        """
        filled = (0, x, relation, y)
        return [id if id >= 0 else filled[-id] for id in self._forms[form]]

    def text(self, ids: np.ndarray | list[int]) -> str:
        """Return ids as text."""
        return " ".join(self.all[i] for i in ids)
