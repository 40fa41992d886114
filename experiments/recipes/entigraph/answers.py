"""How well models answer, closed book and with the source in front of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.recipes.entigraph.documents import Author, Tokens
from experiments.recipes.entigraph.questions import (
    Kind,
    Questions,
    answer_scores,
    ask,
    count_pairs,
    right_answers,
)
from experiments.recipes.entigraph.streams import SyntheticCorpus
from graphsim import expected_accuracy
from models.config import ModelConfig

if TYPE_CHECKING:
    from models.training.train import Params

SHEETS: dict[str, tuple[Kind, bool]] = {
    "explicit": ("explicit", False),
    "implicit": ("implicit", False),
    "reverse_explicit": ("explicit", True),
    "reverse_implicit": ("implicit", True),
}
"""Every kind of question in both directions: (kind, reverse)."""


TIMES = (0, 1, 2, 3, 5, 9, 17, 33, 65)
"""Facts are counted together by how often a corpus states them: from each number to the next."""


def question_sheets(author: Author) -> dict[str, Questions]:
    """Return all questions about one world by sheet; their seed is fixed."""
    return {name: ask(author, kind, reverse=reverse) for name, (kind, reverse) in SHEETS.items()}


def prompts_with_source(author: Author, questions: Questions) -> list[Tokens]:
    """Return the questions' prompts, each after the source's document about its subject."""
    by_subject = {document[0]: document for document in author.source()}
    return [
        [*by_subject.get(author.entity(int(pairs[0, 0])), []), *prompt]
        for prompt, pairs in zip(questions.prompts.tolist(), questions.pairs, strict=True)
    ]


def right_by_members(
    members: Sequence[tuple[ModelConfig, Params]],
    questions: Questions,
    prompts: Sequence[Tokens] | None = None,
) -> np.ndarray:
    """Return 1 for each question that members, their log-probabilities averaged, answer right [Q].

    Args:
        members: models with their weights.
        questions: what is asked.
        prompts: read instead of the questions' own prompts.
    """
    from models.evals.continuations import next_log_probs

    read = questions.prompts.tolist() if prompts is None else prompts
    scores = [next_log_probs(model, params, read) for model, params in members]
    return right_answers(answer_scores(np.mean(scores, axis=0), questions))


def accuracies(author: Author, members: Sequence[tuple[ModelConfig, Params]]) -> dict[str, float]:
    """Return the share of right answers by sheet; "open_..." are asked after the source.

    Where a source's document and a question do not fit the context, there are no open ones.
    """
    sheets = question_sheets(author)
    found = {name: right_by_members(members, sheet) for name, sheet in sheets.items()}
    for kind in ("explicit", "implicit"):
        prompts = prompts_with_source(author, sheets[kind])
        if max(map(len, prompts)) <= members[0][0].context:
            found[f"open_{kind}"] = right_by_members(members, sheets[kind], prompts)
    return {name: float(right.mean()) for name, right in found.items()}


def right_by_times(
    author: Author, corpus: SyntheticCorpus, models: Sequence[tuple[ModelConfig, Params]]
) -> pd.DataFrame:
    """Return how models, each by itself, answer about implied facts stated more or less often.

    Args:
        author: of the world.
        corpus: of synthetic text, which the models read.
        models: with their weights.

    Returns:
        A row for each of `TIMES` that occurs, with the columns `times`, the least number of
        statements of these facts in the corpus; `n_questions` about them; and `right`, the mean
        share of right answers.
    """
    questions = ask(author, "implicit")
    stated = count_pairs(author, corpus.documents)
    subject, answer = questions.pairs[:, 0].T
    times = np.array(TIMES)[np.searchsorted(TIMES, stated[subject, answer], side="right") - 1]
    right = np.mean([right_by_members([model], questions) for model in models], axis=0)
    table = pd.DataFrame({"times": times, "right": right})
    return table.groupby("times", as_index=False).agg(
        n_questions=("right", "size"), right=("right", "mean")
    )


def balanced(found: Mapping[str, float]) -> float:
    """Return the accuracy that selects learning rates: 1/3 explicit and 2/3 implicit facts."""
    return found["explicit"] / 3 + found["implicit"] * 2 / 3


def coverage(author: Author, corpus: SyntheticCorpus, *, times: int = 1) -> float:
    """Return the share of the implicit pairs that a corpus states.

    Args:
        author: of the world.
        corpus: of synthetic text.
        times: how often at least a pair must be stated.
    """
    stated = count_pairs(author, corpus.documents)
    return float((stated >= times)[author.graph.implicit].mean())


def expected_coverage(author: Author, n_steps: int) -> float:
    """Return the expected share of the implicit pairs that `n_steps` of EntiGraph state, exactly.

    From the expectation of `graphsim` over all ordered pairs, in which stated edges are known from
    the beginning and pairs without a path never.
    """
    graph = author.graph
    accuracy = float(expected_accuracy(graph.edges, np.array([n_steps])).accuracy[0])
    n_known = accuracy * graph.edges.n_pairs - graph.edges.n_edges
    return n_known / int(graph.implicit.sum())
