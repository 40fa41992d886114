"""The prototype view: a text is an edit of another text, and the corpus is the model's memory.

p(x) = sum over prototypes x' of p(x') p(x | x'), with p(x') uniform over the n documents of a
corpus and p(x | x') an editor such as a synthesizer (Guu, Hashimoto, Oren and Liang 2018, arXiv
1709.08878, equation 1, whose editor goes through a latent vector). A nonparametric language model
whose kernel is learned; adding a document changes it without training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from models.evals.continuations import Continuation, score_continuations
from models.language.language_model import Predictor


@dataclass(frozen=True, kw_only=True, eq=False)
class PrototypeScores:
    """Log-likelihoods of texts under the prototype model.

    Attributes:
        log_probs: [n_texts] log p(x) in nats; lower bounds if prototypes were left out.
        n_tokens: int64 [n_texts] tokens of each text, its end-of-text included.
        posterior: [n_texts, k] p(x' | x) over the prototypes that were scored.
    """

    log_probs: np.ndarray
    n_tokens: np.ndarray
    posterior: np.ndarray

    @property
    def loss(self) -> float:
        """Cross-entropy in nats per token, an upper bound where prototypes were left out."""
        return float(-self.log_probs.sum() / self.n_tokens.sum())

    @property
    def effective_prototypes(self) -> np.ndarray:
        """Exponential of the posterior's entropy [n_texts]: 1 where one prototype explains all."""
        p = self.posterior
        return np.exp(-np.sum(p * np.log(np.where(p > 0, p, 1)), axis=1))


def prototype_scores(
    editor: Predictor,
    prototypes: Sequence[np.ndarray],
    texts: Sequence[np.ndarray],
    neighbors: np.ndarray,
) -> PrototypeScores:
    """Return the scores of texts as edits of their neighbours among the prototypes.

    All terms of the sum over prototypes are positive, so the sum over some of them bounds p(x) from
    below; the nearest prototypes hold nearly all of it.

    Args:
        editor: predicts x after end-of-text, x', end-of-text, as a synthesizer does.
        prototypes: token ids of the n documents x', without end-of-text.
        texts: token ids of the texts x, without end-of-text; no text may itself be a prototype.
        neighbors: int [n_texts, k] positions of distinct prototypes to sum over for each text, -1
            for fewer than k; see `neighbors.nearest_among`.

    Raises:
        ValueError: a text without any neighbour, or a pair longer than the context.
    """
    if not (neighbors >= 0).any(axis=1).all():
        lonely = int(np.flatnonzero(~(neighbors >= 0).any(axis=1))[0])
        raise ValueError(f"text {lonely} has no neighbour among the prototypes")
    end, context = editor.model.end_of_text_id, editor.model.context
    at = np.argwhere(neighbors >= 0)
    requests = []
    for text, rank in at:
        before, after = prototypes[neighbors[text, rank]], texts[text]
        if len(before) + len(after) + 2 > context:
            raise ValueError(
                f"text {text} of {len(after)} tokens does not fit the context {context} after a "
                f"prototype of {len(before)}"
            )
        ids = np.concatenate([[end], before, [end], after, [end]])
        requests.append(Continuation(ids, len(after) + 1))
    terms = np.full(neighbors.shape, -np.inf)
    terms[at[:, 0], at[:, 1]] = [one.total for one in score_continuations(editor, requests)]
    total = logsumexp(terms, axis=1)
    return PrototypeScores(
        log_probs=total - np.log(len(prototypes)),
        n_tokens=np.array([len(text) + 1 for text in texts]),
        posterior=np.exp(terms - total[:, None]),
    )
