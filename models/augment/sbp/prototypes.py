"""The prototype view: a text is an edit of another text, and the corpus is the model's memory.

p(x) = sum over prototypes x' of p(x') p(x | x'), with p(x') uniform over the n documents of a
corpus and p(x | x') an editor such as a synthesizer (Guu, Hashimoto, Oren and Liang 2018, arXiv
1709.08878, equation 1, whose editor goes through a latent vector). A nonparametric language model
whose kernel is learned; adding a document changes it without training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp, softmax

from models.evals.continuations import Continuation, score_continuations
from models.language.language_model import Predictor


@dataclass(frozen=True, kw_only=True, eq=False)
class PrototypeScores:
    """Log-likelihoods of texts under the prototype model.

    Attributes:
        terms: [n_texts, k + n_sampled] log p(x | x') in nats of the k nearest prototypes, nearest
            first, then of those sampled; -inf where there were fewer.
        n_tokens: int64 [n_texts] scored tokens of each text.
        n_prototypes: documents of the corpus, over which p(x') is uniform.
        n_sampled: prototypes that stand for all that are not among the nearest.
    """

    terms: np.ndarray
    n_tokens: np.ndarray
    n_prototypes: int
    n_sampled: int = 0

    @property
    def log_probs(self) -> np.ndarray:
        """Log p(x) in nats [n_texts].

        Lower bounds if prototypes were left out and none sampled. With sampled ones, p(x) is
        estimated without bias, and its logarithm is a little low.
        """
        return np.logaddexp(*self._sums) - np.log(self.n_prototypes)

    @property
    def loss(self) -> float:
        """Cross-entropy in nats per token, an upper bound where `log_probs` are lower ones."""
        return float(-self.log_probs.sum() / self.n_tokens.sum())

    @property
    def share_of_nearest(self) -> np.ndarray:
        """Share of p(x) that the nearest prototypes hold, [n_texts]."""
        nearest, others = self._sums
        return np.exp(nearest - np.logaddexp(nearest, others))

    @property
    def log_probs_of_others(self) -> np.ndarray:
        """Log of the mean of p(x | x') over the sampled prototypes in nats, [n_texts].

        There must be some.
        """
        sampled = self.terms[:, self.terms.shape[1] - self.n_sampled :]
        total: np.ndarray = logsumexp(sampled, axis=1) - np.log(self.n_sampled)
        return total

    @property
    def posterior(self) -> np.ndarray:
        """Probabilities p(x' | x) over the nearest prototypes alone, [n_texts, k]."""
        found: np.ndarray = softmax(self._nearest, axis=1)
        return found

    @property
    def effective_prototypes(self) -> np.ndarray:
        """Exponential of the posterior's entropy [n_texts]: 1 where one prototype explains all."""
        p = self.posterior
        return np.exp(-np.sum(p * np.log(np.where(p > 0, p, 1)), axis=1))

    def of_nearest(self, k: int) -> PrototypeScores:
        """Return the scores with the k nearest prototypes alone, lower bounds of log p(x)."""
        return replace(self, terms=self._nearest[:, :k], n_sampled=0)

    @property
    def _nearest(self) -> np.ndarray:
        return self.terms[:, : self.terms.shape[1] - self.n_sampled]

    @property
    def _sums(self) -> tuple[np.ndarray, np.ndarray]:
        """Log-sums over the nearest prototypes and, as estimated, over all others; [n_texts]."""
        nearest: np.ndarray = logsumexp(self._nearest, axis=1)
        if not self.n_sampled:
            return nearest, np.full(len(nearest), -np.inf)
        n_others = self.n_prototypes - np.isfinite(self._nearest).sum(axis=1)
        return nearest, self.log_probs_of_others + np.log(n_others)


def prototype_scores(
    editor: Predictor,
    prototypes: Sequence[np.ndarray],
    texts: Sequence[np.ndarray],
    neighbors: np.ndarray,
    *,
    n_sampled: int = 0,
    with_end: bool = True,
) -> PrototypeScores:
    """Return the scores of texts as edits of their neighbours among the prototypes.

    All terms of the sum over prototypes are positive, so the sum over some of them bounds p(x) from
    below. With a random sample of the others, the estimate of p(x) is unbiased, whatever share of
    it the nearest prototypes hold.

    Args:
        editor: predicts x after end-of-text, x', end-of-text, as a synthesizer does.
        prototypes: token ids of the n documents x', without end-of-text.
        texts: token ids of the texts x, without end-of-text; no text may itself be a prototype.
        neighbors: int [n_texts, k + n_sampled] positions of distinct prototypes to sum over for
            each text, -1 for fewer than k; see `neighbors.nearest_among`.
        n_sampled: so many of the last columns are a random sample of those that are not among the
            first; none of them is -1.
        with_end: whether the end of a text is a part of it. Ends of pieces cut at a fixed length
            say nothing.

    Raises:
        ValueError: a text without any neighbour, no column that is not sampled, or a pair longer
            than the context.
    """
    if not 0 <= n_sampled < neighbors.shape[1]:
        raise ValueError(
            f"n_sampled must lie between 0 and {neighbors.shape[1] - 1}, fewer than a text has "
            f"neighbours; not {n_sampled}"
        )
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
        ids = np.concatenate([[end], before, [end], after, [end] * with_end])
        requests.append(Continuation(ids, len(after) + with_end))
    terms = np.full(neighbors.shape, -np.inf)
    terms[at[:, 0], at[:, 1]] = [one.total for one in score_continuations(editor, requests)]
    return PrototypeScores(
        terms=terms,
        n_tokens=np.array([len(text) + with_end for text in texts]),
        n_prototypes=len(prototypes),
        n_sampled=n_sampled,
    )
