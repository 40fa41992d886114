"""A small domain to go on training in, and the rest of a corpus to train on first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.text.batches import unscored
from models.text.corpora import load_corpus
from models.text.tokens import END_OF_TEXT_ID

if TYPE_CHECKING:
    import tokenizers

DOMAIN = ("tkinter/", "idlelib/", "turtle.py")
"""Modules on graphical interfaces: the docstrings of a subject of its own."""
HELD_OUT_SHARE = 0.1
"""Share of the domain's docstrings that selects, and as much that is reported."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DomainText:
    """Token ids, 1-D, of what is trained on first and of the domain's three parts.

    Attributes:
        general: documents of the corpus that are not of the domain.
        train: docstrings of the domain to go on with.
        validation: others, which select.
        test: others, which are reported.
    """

    general: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def read_domain(corpus: str, tokenizer: tokenizers.Tokenizer, *, seed: int = 0) -> DomainText:
    """Return the domain, from the standard library's docstrings, and the rest of a corpus.

    Each docstring of the domain is a document of its own.

    Args:
        corpus: name of the corpus.
        tokenizer: of the world.
        seed: of the order of the documents.
    """
    general = [d.text for d in load_corpus(corpus).documents if not _of_domain(d.id)]
    pieces = sorted(
        {
            piece.strip()
            for document in load_corpus("stdlib").documents
            if _of_domain(document.id)
            for piece in document.text.split("\n\n")
            if piece.strip()
        }
    )
    rng = np.random.default_rng((seed, 0))
    pieces = [pieces[i] for i in rng.permutation(len(pieces))]
    n_held_out = round(HELD_OUT_SHARE * len(pieces))

    def ids(texts: list[str]) -> np.ndarray:
        encoded = tokenizer.encode_batch_fast(texts)
        parts = [np.array([*each.ids, END_OF_TEXT_ID], np.int32) for each in encoded]
        return np.concatenate(parts)

    return DomainText(
        general=ids([general[i] for i in rng.permutation(len(general))]),
        validation=ids(pieces[:n_held_out]),
        test=ids(pieces[n_held_out : 2 * n_held_out]),
        train=ids(pieces[2 * n_held_out :]),
    )


def _of_domain(id: str) -> bool:
    return id.startswith(DOMAIN)


def draw(tokens: np.ndarray, n_tokens: int, *, seed: int) -> np.ndarray:
    """Return n_tokens tokens in one piece, read as a ring, int [n_tokens].

    Args:
        tokens: token ids [D].
        n_tokens: how many.
        seed: draws where the piece begins.

    Raises:
        ValueError: there are fewer.
    """
    if n_tokens > len(tokens):
        raise ValueError(f"{n_tokens:,} tokens are wanted; there are only {len(tokens):,}")
    start = int(np.random.default_rng((seed, 1)).integers(len(tokens)))
    return np.roll(tokens, -start)[:n_tokens]


def replayed_rows(
    domain: np.ndarray,
    general: np.ndarray,
    *,
    replay: float,
    context: int,
    seed: int,
) -> np.ndarray:
    """Return windows of the domain and windows of the general text to be replayed.

    The first token of a row is marked as unscored, so that no row is asked what the next one begins
    with; a run reads rows in an order of its own each epoch.

    Args:
        domain: token ids [D].
        general: token ids to replay from.
        replay: replayed windows for each window of the domain.
        context: tokens in a window.
        seed: draws what is replayed.

    Returns:
        int32 [n_tokens]: the windows of the domain and the replayed ones, `context` tokens each.
    """
    rng = np.random.default_rng((seed, 2))
    n_windows = len(domain) // context
    n_replayed = round(replay * n_windows)
    starts = rng.integers(len(general) - context, size=n_replayed)
    replayed = general[starts[:, None] + np.arange(context)]
    rows = np.concatenate([domain[: n_windows * context].reshape(-1, context), replayed])
    rows = rows.astype(np.int32)
    rows[:, 0] = unscored(rows[:, 0])
    return rows.ravel()
