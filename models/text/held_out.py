"""Windows of held-out text that models are scored on, and the document of each scored token."""

from dataclasses import dataclass

import numpy as np

from models.text.batches import evaluation_windows
from models.text.tokens import TokenizedCorpus


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """Windows to score models on.

    Attributes:
        windows: token ids [n_windows, context + 1]; the first of each is read but not scored.
        documents: int [n_windows, context] document of each scored token, numbered as in
            `TokenizedCorpus.document_starts`.
    """

    windows: np.ndarray
    documents: np.ndarray


def opening_windows(tokens: TokenizedCorpus, part: str, *, n_tokens: int, context: int) -> HeldOut:
    """Return the opening of a part of a corpus, which may be that of its first document.

    Args:
        tokens: the tokenized corpus.
        part: "validation" or "test".
        n_tokens: tokens to score, rounded down to whole windows.
        context: tokens scored in a window.

    Raises:
        ValueError: the tokens do not fill one window.
    """
    positions = np.arange(min(n_tokens + 1, len(getattr(tokens, part))))
    return _held_out(tokens, part, evaluation_windows(positions, context=context))


def spread_windows(tokens: TokenizedCorpus, part: str, *, n_tokens: int, context: int) -> HeldOut:
    """Return windows of all documents of a part of a corpus, of each about equally many.

    The windows of a document are spread evenly over it and do not cross its ends. Documents shorter
    than a window follow one another, as they do in training; what is missing in the last of their
    windows is the beginning of a longer document. Where there are more documents than windows, the
    first ones are scored, in the order of the corpus, which is random.

    Args:
        tokens: the tokenized corpus.
        part: "validation" or "test".
        n_tokens: most tokens to score; fewer where the part has fewer in whole windows.
        context: tokens scored in a window.

    Raises:
        ValueError: `n_tokens` or the part does not fill one window.
    """
    starts, n_there = tokens.document_starts[part], len(getattr(tokens, part))
    n_windows = n_tokens // context
    if n_windows < 1 or n_there <= context:
        raise ValueError(
            f"a window scores {context:,} tokens and reads one more; n_eval_tokens is "
            f"{n_tokens:,}, and the {part} part of {tokens.corpus_name!r} holds {n_there:,} tokens "
            f"in {len(starts):,} documents"
        )
    starts, ends = starts[:n_windows], np.append(starts[1:], n_there)[:n_windows]
    places = (ends - starts - 1) // context
    short, long = np.flatnonzero(places == 0), np.flatnonzero(places)
    rows = _short_windows(starts, ends, short, long, context)
    counts = _shares(places[long], n_windows - len(rows))
    firsts = [
        starts[i] + context * ((np.arange(n) + 0.5) * places[i] / n).astype(int)
        for i, n in zip(long, counts, strict=True)
    ]
    inside = np.concatenate([np.empty(0, int), *firsts])[:, None] + np.arange(context + 1)
    return _held_out(tokens, part, np.concatenate([rows, inside]))


def _short_windows(
    starts: np.ndarray, ends: np.ndarray, short: np.ndarray, long: np.ndarray, context: int
) -> np.ndarray:
    """Return positions [n_windows, context + 1] of windows that hold the short documents."""
    stream = [np.arange(starts[i], ends[i]) for i in (*short, *long[:1])]
    n_short = int((ends - starts)[short].sum())
    n_windows = -(-(n_short - 1) // context) if n_short else 0
    positions = np.resize(np.concatenate(stream), n_windows * context + 1)
    if not n_windows:
        return np.empty((0, context + 1), int)
    return evaluation_windows(positions, context=context)


def _shares(places: np.ndarray, n_windows: int) -> np.ndarray:
    """Return how many windows each document gets, equally many as far as it has places."""
    document = np.repeat(np.arange(len(places)), places)
    turn = np.concatenate([np.empty(0, int), *map(np.arange, places)])
    taken = document[np.argsort(turn, kind="stable")[:n_windows]]
    return np.bincount(taken, minlength=len(places))


def _held_out(tokens: TokenizedCorpus, part: str, positions: np.ndarray) -> HeldOut:
    starts = tokens.document_starts[part]
    return HeldOut(
        windows=np.asarray(getattr(tokens, part))[positions],
        documents=np.searchsorted(starts, positions[:, 1:], side="right") - 1,
    )
