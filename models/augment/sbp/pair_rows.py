"""Pairs of documents as rows of tokens, from which a synthesizer learns the second of each.

Documents are arrays of token ids without an end-of-text token; pairs are positions [n_pairs, 2] of
d1 and d2 among them, as `neighbors.find_pairs` returns them. Nothing here needs jax.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.config import ModelConfig
from models.text.batches import unscored

N_SEPARATORS = 3
"""End-of-text tokens of a row: before d1, between the two, after d2."""


def longest_document(model: ModelConfig) -> int:
    """Return the most tokens a document may have so that any pair fits the context."""
    return (model.context - N_SEPARATORS) // 2


def pair_rows(
    documents: Sequence[np.ndarray], pairs: np.ndarray, *, model: ModelConfig
) -> np.ndarray:
    """Return each pair as one row: end-of-text, d1, end-of-text, d2, end-of-text, padding.

    Only d2 and its end-of-text are to be predicted; everything else is marked as
    `batches.unscored`.

    Args:
        documents: token ids of each document, without end-of-text.
        pairs: positions [n_pairs, 2] of d1 and d2.
        model: architecture; gives the context and the end-of-text id.

    Returns:
        int32 [n_pairs, context].

    Raises:
        ValueError: no pairs, a pair longer than the context, or a model in which d2 cannot attend
            to d1.
    """
    if not model.attend_across_documents:
        raise ValueError(
            "a synthesizer needs a model with attend_across_documents=True: the second document "
            "of a pair must attend to the first"
        )
    if not len(pairs):
        raise ValueError("there must be at least one pair of documents")
    end = model.end_of_text_id
    rows = np.full((len(pairs), model.context), unscored(np.array(end)), np.int32)
    for row, (first, second) in zip(rows, pairs, strict=True):
        d1, d2 = documents[first], documents[second]
        n_ids = len(d1) + len(d2) + N_SEPARATORS
        if n_ids > model.context:
            raise ValueError(
                f"documents {first} and {second} of {len(d1)} and {len(d2)} tokens do not fit a "
                f"context of {model.context} together; cut documents to at most "
                f"{longest_document(model)} tokens"
            )
        begin = len(d1) + 2
        row[1 : begin - 1] = unscored(d1)
        row[begin : begin + len(d2)] = d2
        row[begin + len(d2)] = end
    return rows


def pair_windows(
    documents: Sequence[np.ndarray], pairs: np.ndarray, *, model: ModelConfig
) -> np.ndarray:
    """Return `pair_rows` as windows int32 [n_pairs, context + 1].

    They serve as `Job.synthetic`, mixed with replayed text, or as `Job.held_out`, whose score is
    then L(d2 | d1).

    Args:
        documents: token ids of each document, without end-of-text.
        pairs: positions [n_pairs, 2] of d1 and d2.
        model: architecture; gives the context and the end-of-text id.
    """
    rows = pair_rows(documents, pairs, model=model)
    padding = unscored(np.array(model.end_of_text_id))
    return np.pad(rows, ((0, 0), (0, 1)), constant_values=padding)
