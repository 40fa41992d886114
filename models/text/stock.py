"""The stock of text that a model trains on, mixed from many documents."""

import numpy as np

from models.text.tokens import END_OF_TEXT_ID, TokenizedCorpus, check_n_unique

LEAST_DOCUMENTS = 64
"""Documents that a stock is drawn from, or all where the text has fewer: with one of a few, what
is measured is the document as much as the recipe."""


def draw_chunks(
    tokens: TokenizedCorpus, n_unique: int, *, chunk_tokens: int, draw_seed: int = 0
) -> np.ndarray:
    """Return training tokens of one draw of the corpus, from many documents, ids [n_unique].

    Every training document is cut into chunks of equal length, `chunk_tokens` to twice as many
    tokens, and each is followed by the end-of-text id, so that a model meets every boundary as it
    meets the end of a document; a shorter document is one chunk. A draw takes one chunk of every
    document, in random order, then another one of every document that has more, and so on: no
    token is taken twice, and a smaller draw of the same seed is a prefix of a larger one.

    Args:
        tokens: the tokenized corpus.
        n_unique: number of tokens D.
        chunk_tokens: tokens of the shortest chunk of a long document.
        draw_seed: random seed of the chunks and of their order.

    Raises:
        ValueError: the training part has fewer tokens, `n_unique` or `chunk_tokens` is below 1, or
            the tokens come from fewer than `LEAST_DOCUMENTS` documents though the text has more.
    """
    check_n_unique(tokens, n_unique)
    if chunk_tokens < 1:
        raise ValueError(f"chunk_tokens must be a whole number >= 1; not {chunk_tokens!r}")
    document, first, last = _chunks(tokens, chunk_tokens)
    order = _in_turns(document, np.random.default_rng(draw_seed))
    ends = np.cumsum((last - first + 1)[order])
    chosen = order[: int(np.searchsorted(ends, n_unique)) + 1]
    _check_documents(tokens, len(np.unique(document[chosen])), n_unique, chunk_tokens, ends)
    end = np.array([END_OF_TEXT_ID], tokens.train.dtype)
    pieces = [part for i in chosen for part in (tokens.train[first[i] : last[i]], end)]
    return np.concatenate(pieces)[:n_unique]


def _chunks(tokens: TokenizedCorpus, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each chunk's document, its first token and one past its last, end of text excluded."""
    starts = tokens.document_starts["train"]
    sizes = np.append(starts[1:], len(tokens.train)) - starts - 1
    n_chunks = np.maximum(1, sizes // length)
    document = np.repeat(np.arange(len(starts)), n_chunks)
    place = np.arange(len(document)) - np.repeat(np.cumsum(n_chunks) - n_chunks, n_chunks)
    start, size, n = starts[document], sizes[document], n_chunks[document]
    return document, start + size * place // n, start + size * (place + 1) // n


def _in_turns(document: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random order of chunks that takes one of every document before a second of any."""
    shuffled = rng.permutation(len(document))
    by_document = shuffled[np.argsort(document[shuffled], kind="stable")]
    n_chunks = np.bincount(document)
    turn = np.empty(len(document), int)
    turn[by_document] = np.arange(len(document)) - np.repeat(
        np.cumsum(n_chunks) - n_chunks, n_chunks
    )
    # Another permutation, because in the first one long documents come early.
    return np.lexsort((rng.permutation(len(document)), turn))


def _check_documents(
    tokens: TokenizedCorpus, n_drawn: int, n_unique: int, chunk_tokens: int, ends: np.ndarray
) -> None:
    n_there = len(tokens.document_starts["train"])
    if n_drawn < min(LEAST_DOCUMENTS, n_there):
        needed = min(LEAST_DOCUMENTS, n_there)
        raise ValueError(
            f"{n_unique:,} tokens in chunks of {chunk_tokens:,} come from {n_drawn:,} of the "
            f"{n_there:,} training documents of {tokens.corpus_name!r}; {needed} are needed: "
            f"{ends[needed - 2] + 1:,} tokens, or chunks of {max(1, n_unique // (2 * needed)):,}"
        )
