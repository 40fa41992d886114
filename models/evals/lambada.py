"""LAMBADA: the last word of a passage (Paperno et al. 2016, arXiv 1606.06031)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.evals.continuations import encode_continuation, score_continuations
from models.evals.estimates import Metric, mean, proportion
from models.evals.eval_files import EvalFileError, read_json_lines
from models.language.language_model import Predictor


@dataclass(frozen=True, kw_only=True)
class LambadaResult:
    """Accuracy and perplexity of last words.

    Attributes:
        accuracy: share of words all of whose tokens are the most probable ones.
        perplexity: exponential of the words' mean negative log-likelihood in nats.
        n_truncated: passages that did not fit the model's context.
    """

    accuracy: Metric
    perplexity: Metric
    n_truncated: int

    def summary(self) -> str:
        """Return both scores with their standard errors as text, one a line."""
        lines = [
            f"accuracy    {self.accuracy.summary()}",
            f"perplexity  {self.perplexity.summary()}",
        ]
        if self.n_truncated:
            lines.append(f"{self.n_truncated:,} passages did not fit the context")
        return "\n".join(lines)


def read_lambada(path: Path | str) -> list[str]:
    """Return the passages of a file of JSON lines {"text": ...}, or an archive or folder of them.

    Raises:
        CorpusError: no such file, or an archive is damaged.
        EvalFileError: a line without text, or with a text of fewer than two words.
    """
    texts = []
    for record in read_json_lines(path):
        text = record.text("text").strip()
        if len(text.split()) < 2:
            raise EvalFileError(f"{record.where}: a passage must have two words or more")
        texts.append(text)
    return texts


def evaluate_lambada(predictor: Predictor, texts: Sequence[str]) -> LambadaResult:
    """Score the last word of every passage, given the words before.

    Raises:
        ValueError: no passages, one of a single word, or a model without tokenizer.
    """
    if not texts:
        raise ValueError("there are no passages to score")
    requests = []
    for text in texts:
        context, space, word = text.strip().rpartition(" ")
        if not space:
            raise ValueError(f"a passage must have two words or more; not {text!r}")
        requests.append(encode_continuation(predictor, context, f" {word}"))
    scored = score_continuations(predictor, requests)
    return LambadaResult(
        accuracy=proportion([word.greedy.all() for word in scored]),
        perplexity=mean([-word.total for word in scored]).exponential(),
        n_truncated=sum(word.truncated for word in scored),
    )
