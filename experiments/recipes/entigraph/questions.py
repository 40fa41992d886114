"""Multiple-choice questions on a fact world, fixed before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from experiments.recipes.entigraph.documents import Author, Tokens
from experiments.recipes.entigraph.words import N_SYNONYMS, QUESTION, REVERSE_QUESTION

N_CHOICES = 4
CHANCE = 1 / N_CHOICES
Kind = Literal["explicit", "implicit"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Questions:
    """Questions of one kind in one direction, Q of them.

    All choices of a question are related to its subject, and all by an edge or all by a path only:
    that two entities have to do with each other gives nothing away, only the relation does.

    Attributes:
        kind: whether edges state the answers, or paths imply them.
        reverse: whether the subject is asked for rather than the object.
        prompts: int [Q, P] what is read before the answer, from the end-of-text token on.
        choices: int [Q, 4] ids of the answers to choose from, the right one first.
        pairs: int [Q, 4, 2] the pair (x, y) that each choice would make.
    """

    kind: Kind
    reverse: bool
    prompts: np.ndarray
    choices: np.ndarray
    pairs: np.ndarray

    def __len__(self) -> int:
        return len(self.prompts)


def ask(author: Author, kind: Kind, *, reverse: bool = False, seed: int = 0) -> Questions:
    """Return a question for every pair of a kind that has three distractors of the same kind.

    A distractor is an entity in another relation to the same subject (in a reverse question: that
    stands in another relation to the same object). Each question is asked with both words for the
    relation, which count as two.

    Args:
        author: of the world.
        kind: pairs that an edge states, or that only a longer path implies.
        reverse: ask for the subject rather than the object.
        seed: draws the distractors.

    Raises:
        ValueError: no pair has enough distractors.
    """
    graph = author.graph
    which = graph.explicit if kind == "explicit" else graph.implicit
    related = np.where(which, graph.relations, -1)
    if reverse:
        related = related.T
    rng = np.random.default_rng((seed, reverse, kind == "implicit"))
    prompts, choices, pairs = [], [], []
    for known, right in np.argwhere(related >= 0):
        relation = int(related[known, right])
        others = np.flatnonzero((related[known] >= 0) & (related[known] != relation))
        if len(others) < N_CHOICES - 1:
            continue
        options = [int(right), *rng.choice(others, N_CHOICES - 1, replace=False)]
        for synonym in range(N_SYNONYMS):
            prompts.append(_prompt(author, int(known), relation, synonym, reverse=reverse))
            choices.append([author.entity(option) for option in options])
            both = [(int(known), int(option)) for option in options]
            pairs.append([pair[::-1] for pair in both] if reverse else both)
    if not prompts:
        raise ValueError(f"no {kind} pair of this world has {N_CHOICES - 1} distractors")
    return Questions(
        kind=kind,
        reverse=reverse,
        prompts=np.array(prompts),
        choices=np.array(choices),
        pairs=np.array(pairs),
    )


def _prompt(author: Author, known: int, relation: int, synonym: int, *, reverse: bool) -> Tokens:
    word, entity = author.words.relation(relation, synonym), author.entity(known)
    form = REVERSE_QUESTION if reverse else QUESTION
    filled = author.words.fill(form, x=entity, relation=word, y=entity)
    return [0, *filled[:-1]]


def right_answers(scores: np.ndarray) -> np.ndarray:
    """Return 1 where the right choice, the first of [Q, 4], has the highest score, else 0 [Q].

    Where several are highest, they share the 1.
    """
    best = scores == scores.max(axis=1, keepdims=True)
    return best[:, 0] / best.sum(axis=1)


def association_scores(questions: Questions, stated: np.ndarray) -> np.ndarray:
    """Return how often a text relates each choice to the subject, in whatever relation.

    What a reader would answer who remembers which entities belong together and nothing else.

    Args:
        questions: what is asked.
        stated: int [V, V], how often each pair is stated, see `count_pairs`.

    Returns:
        int [Q, 4].
    """
    return stated[questions.pairs[..., 0], questions.pairs[..., 1]]


def count_pairs(author: Author, documents: Iterable[Tokens]) -> np.ndarray:
    """Return how often documents name y in a statement about x, int [V, V].

    A document of this world is about the first of its entities.
    """
    n = author.graph.n_entities
    first = author.entity(0)
    counts = np.zeros((n, n), int)
    for document in documents:
        named = np.array(document) - first
        entities = named[(named >= 0) & (named < n)]
        if len(entities):
            x = _subject(entities)
            np.add.at(counts, (x, entities[entities != x]), 1)
    return counts


def _subject(entities: np.ndarray) -> int:
    """The source names its subject first; of other sentences each names it before its object."""
    return int(entities[0])


def answer_scores(logits: np.ndarray, questions: Questions) -> np.ndarray:
    """Return the scores of the choices [Q, 4], from predictions of the answer [Q, V]."""
    return np.take_along_axis(logits, questions.choices, axis=1)
