"""Minimal pairs: whether the acceptable sentence is more probable than the unacceptable one.

As in BLiMP (Warstadt et al. 2020, arXiv 1912.00582), the log-likelihoods of the whole sentences are
compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.evals.continuations import encode_continuation, score_continuations
from models.evals.estimates import Metric, clustered_mean, proportion
from models.evals.eval_files import EvalFileError, read_json_lines
from models.language.language_model import Predictor


@dataclass(frozen=True, kw_only=True)
class MinimalPair:
    """Two sentences that differ in one respect, which makes one of them unacceptable."""

    good: str
    bad: str
    paradigm: str


@dataclass(frozen=True, kw_only=True)
class PairsResult:
    """Share of pairs whose acceptable sentence is more probable.

    Attributes:
        accuracy: over all pairs; its standard error treats paradigms, not pairs, as independent.
        by_paradigm: of each paradigm, with binomial standard errors.
        n_truncated: sentences that did not fit the model's context.
    """

    accuracy: Metric
    by_paradigm: Mapping[str, Metric]
    n_truncated: int

    def summary(self) -> str:
        """Return the accuracy over all pairs, then of each paradigm, worst first, as text."""
        width = max(map(len, self.by_paradigm))
        lines = [f"minimal pairs  {self.accuracy.summary()}"]
        if self.n_truncated:
            lines.append(f"{self.n_truncated:,} sentences did not fit the context")
        for name, score in sorted(self.by_paradigm.items(), key=lambda item: item[1].value):
            lines.append(f"  {name:{width}}  {score.summary()}")
        return "\n".join(lines)


def read_minimal_pairs(path: Path | str, *, per_paradigm: int | None = None) -> list[MinimalPair]:
    """Return the pairs of BLiMP's files, or of others with the same fields.

    Each line has `sentence_good`, `sentence_bad` and `UID`, the paradigm.

    Args:
        path: a file of JSON lines, an archive or a folder of them.
        per_paradigm: keep only the first so many pairs of each paradigm.

    Raises:
        CorpusError: no such file, or an archive is damaged.
        EvalFileError: a line is not a pair.
        ValueError: `per_paradigm` below 1.
    """
    if per_paradigm is not None and per_paradigm < 1:
        raise ValueError(f"per_paradigm must be at least 1; not {per_paradigm}")
    kept: dict[str, list[MinimalPair]] = defaultdict(list)
    for record in read_json_lines(path):
        pair = MinimalPair(
            good=record.text("sentence_good"),
            bad=record.text("sentence_bad"),
            paradigm=record.text("UID"),
        )
        if not pair.good or not pair.bad:
            raise EvalFileError(f"{record.where}: a sentence is empty")
        if per_paradigm is None or len(kept[pair.paradigm]) < per_paradigm:
            kept[pair.paradigm].append(pair)
    return [pair for pairs in kept.values() for pair in pairs]


def evaluate_minimal_pairs(predictor: Predictor, pairs: Sequence[MinimalPair]) -> PairsResult:
    """Return the accuracy on minimal pairs; equally probable sentences count as wrong.

    Args:
        predictor: a model or an ensemble, with its tokenizer.
        pairs: the pairs.

    Raises:
        ValueError: no pairs, or a model without tokenizer.
    """
    if not pairs:
        raise ValueError("there are no pairs to score")
    sentences = [sentence for pair in pairs for sentence in (pair.good, pair.bad)]
    scored = score_continuations(
        predictor, [encode_continuation(predictor, "", text) for text in sentences]
    )
    totals = np.array([sentence.total for sentence in scored]).reshape(-1, 2)
    hits: dict[str, list[bool]] = defaultdict(list)
    for pair, (good, bad) in zip(pairs, totals, strict=True):
        hits[pair.paradigm].append(bool(good > bad))
    return PairsResult(
        accuracy=clustered_mean([sum(h) for h in hits.values()], [len(h) for h in hits.values()]),
        by_paradigm={name: proportion(h) for name, h in hits.items()},
        n_truncated=sum(sentence.truncated for sentence in scored),
    )
