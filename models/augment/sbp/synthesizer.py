"""Synthetic bootstrapped pre-training: learn p(d2 | d1) from related documents, then sample it.

A base model continues on pairs of related documents with the loss on the second one alone;
documents sampled from it, given real ones, are new text for a new model (Yang et al. 2025, arXiv
2509.15248). Documents are arrays of token ids without an end-of-text token; pairs are positions
[n_pairs, 2] of d1 and d2 among them, as `neighbors.find_pairs` returns them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.augment.sbp.pair_rows import pair_rows, pair_windows
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.evals.continuations import Continuation, score_continuations
from models.language.generate import BATCH_SAMPLES, generate
from models.language.language_model import LanguageModel, Predictor
from models.language.members import member_of
from models.training.job_list import Event, Failed, Finished, Job, train_jobs
from models.training.train import Params


def synthesizer_job(
    documents: Sequence[np.ndarray],
    pairs: np.ndarray,
    *,
    model: ModelConfig,
    optimizer: OptimizerConfig,
    train: TrainConfig,
    seed: int,
    first_params: Params | None = None,
    held_out_pairs: np.ndarray | None = None,
    id: str = "synthesizer",
) -> Job:
    """Return the job that trains log p(d2 | d1); an epoch is a pass over the pairs.

    Args:
        documents: token ids of each document.
        pairs: positions [n_pairs, 2] of d1 and d2.
        model: architecture.
        optimizer: learning rate and decay.
        train: epochs, batches, order; window jitter is switched off, because each window is a pair.
        seed: random seed of the order of the pairs, and of the weights unless they are given.
        first_params: weights of the base model (default: random initialisation).
        held_out_pairs: pairs [n_held_out, 2] whose L(d2 | d1) is the score "pairs".
        id: identifier of the job.

    Raises:
        ValueError: as `pair_rows`, or fewer pairs than a batch.
    """
    held_out = {}
    if held_out_pairs is not None:
        held_out["pairs"] = pair_windows(documents, held_out_pairs, model=model)
    if len(pairs) < train.batch_size:
        raise ValueError(
            f"{len(pairs)} pairs do not fill a batch of {train.batch_size}: lower batch_size, or "
            "find more pairs with a lower alpha"
        )
    return Job(
        id=id,
        model=model,
        optimizer=optimizer,
        train=replace(train, window_jitter=False),
        seed=seed,
        # A row fills the context; the last target of its window is the unscored head of the next.
        tokens=pair_rows(documents, pairs, model=model).ravel(),
        held_out=held_out,
        first_params=first_params,
    )


def train_synthesizer(
    base: LanguageModel,
    documents: Sequence[np.ndarray],
    pairs: np.ndarray,
    *,
    optimizer: OptimizerConfig,
    train: TrainConfig,
    seed: int = 0,
) -> LanguageModel:
    """Return a base model trained further on log p(d2 | d1); see `synthesizer_job`.

    Args:
        base: model to start from, with its tokenizer.
        documents: token ids of each document.
        pairs: positions [n_pairs, 2] of d1 and d2.
        optimizer: learning rate and decay.
        train: epochs, batches, order.
        seed: random seed of the order of the pairs.

    Raises:
        ValueError: as `synthesizer_job`.
        RuntimeError: the loss became non-finite.
    """
    trained: list[LanguageModel] = []

    def keep(event: Event) -> None:
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Finished):
            trained.append(member_of(event, base.tokenizer))

    job = synthesizer_job(
        documents, pairs, model=base.model, optimizer=optimizer, train=train, seed=seed,
        first_params=base.params,
    )  # fmt: skip
    train_jobs([job], keep)
    return trained[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled:
    """A sampled document.

    Attributes:
        source: position of the real document d1 it was sampled from.
        ids: its token ids [n_tokens], without end-of-text.
        ended: whether it ended with end-of-text, rather than at the token limit.
    """

    source: int
    ids: np.ndarray
    ended: bool


def sample_related(
    synthesizer: LanguageModel,
    documents: Sequence[np.ndarray],
    n_samples: int,
    *,
    seed: int = 0,
    n_tokens: int | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    first_sample: int = 0,
) -> Iterator[Sampled]:
    """Yield samples d2 ~ p(. | d1) for uniformly drawn d1.

    Args:
        synthesizer: the model of log p(d2 | d1).
        documents: token ids of the real documents d1.
        n_samples: number of samples.
        seed: random seed of the choice of d1 and of the sampling.
        n_tokens: most tokens of a sample, its end-of-text included (default: as many as fit the
            context after the longest document).
        temperature: as for `generate.generate`, like the following.
        top_k: tokens kept.
        top_p: probability kept.
        first_sample: index of the first sample to yield; earlier ones are skipped at no cost.

    Raises:
        ValueError: as `generate.generate`.
    """
    model = synthesizer.model
    sources = np.random.default_rng((seed, 0)).integers(len(documents), size=n_samples)
    if n_tokens is None:
        n_tokens = model.context - 1 - max(map(len, documents))
    first_batch = first_sample - first_sample % BATCH_SAMPLES
    for batch in range(first_batch, n_samples, BATCH_SAMPLES):
        chosen = sources[batch : batch + BATCH_SAMPLES]
        end = [model.end_of_text_id]
        drawn = generate(
            [(model, synthesizer.params)],
            prompts=[np.concatenate([end, documents[source], end]) for source in chosen],
            n_tokens=n_tokens,
            seed=int(np.random.default_rng((seed, 1, batch)).integers(2**31)),
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            stop_at_end=True,
        )
        for at, (source, ids) in enumerate(zip(chosen, drawn.texts(), strict=True), start=batch):
            if at >= first_sample:
                ended = ids[-1] == model.end_of_text_id
                yield Sampled(source=int(source), ids=ids[:-1] if ended else ids, ended=bool(ended))


@dataclass(frozen=True, kw_only=True, eq=False)
class PairLosses:
    """Losses of d2 with and without d1, summed over the tokens of each pair's d2, in nats.

    They show before sampling whether samples can carry information: if d1 says little about d2, new
    documents are noise.

    Attributes:
        n_tokens: int64 [n_pairs] tokens of d2, its end-of-text included.
        alone: [n_pairs] -log p(d2) of the base model.
        given: [n_pairs] -log p(d2 | d1) of the synthesizer.
        given_other: [n_pairs] -log p(d2 | another pair's d1) of the synthesizer.
    """

    n_tokens: np.ndarray
    alone: np.ndarray
    given: np.ndarray
    given_other: np.ndarray

    @property
    def gain(self) -> float:
        """L(d2) - L(d2 | d1) in nats per token: the total gain of the synthesizer."""
        return float((self.alone - self.given).sum() / self.n_tokens.sum())

    @property
    def specific_gain(self) -> float:
        """L(d2 | other d1) - L(d2 | d1) in nats per token: the gain due to this particular d1."""
        return float((self.given_other - self.given).sum() / self.n_tokens.sum())

    @property
    def specific_gain_stderr(self) -> float:
        """Standard error of `specific_gain` over pairs (a ratio estimator)."""
        n_pairs = len(self.n_tokens)
        if n_pairs < 2:
            return float("inf")
        left = (self.given_other - self.given) - self.specific_gain * self.n_tokens
        return float(np.sqrt(left.var(ddof=1) / n_pairs) / self.n_tokens.mean())


def pair_losses(
    base: Predictor,
    synthesizer: Predictor,
    documents: Sequence[np.ndarray],
    pairs: np.ndarray,
    *,
    seed: int = 0,
) -> PairLosses:
    """Return L(d2), L(d2 | d1) and L(d2 | another d1) on held-out pairs.

    Args:
        base: scores d2 alone.
        synthesizer: scores d2 given d1.
        documents: token ids of each document.
        pairs: positions [n_pairs, 2] of pairs not trained on, at least two.
        seed: random seed that assigns another pair's d1 to each d2.

    Raises:
        ValueError: fewer than two pairs.
    """
    if len(pairs) < 2:
        raise ValueError(f"the losses of pairs need two held-out pairs or more; not {len(pairs)}")
    end = base.model.end_of_text_id
    # A cyclic shift of a shuffled order gives every pair the d1 of another.
    order = np.random.default_rng(seed).permutation(len(pairs))
    others = np.empty(len(pairs), np.int64)
    others[order] = np.asarray(pairs)[np.roll(order, 1), 0]

    def losses(predictor: Predictor, firsts: Sequence[int] | np.ndarray | None) -> np.ndarray:
        requests = []
        for i, (_, second) in enumerate(pairs):
            before = [] if firsts is None else [*documents[firsts[i]], end]
            ids = np.array([end, *before, *documents[second], end])
            requests.append(Continuation(ids, len(documents[second]) + 1))
        return -np.array([scored.total for scored in score_continuations(predictor, requests)])

    return PairLosses(
        n_tokens=np.array([len(documents[second]) + 1 for _, second in pairs]),
        alone=losses(base, None),
        given=losses(synthesizer, np.asarray(pairs)[:, 0]),
        given_other=losses(synthesizer, others),
    )
