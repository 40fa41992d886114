"""Models of this package in EleutherAI's evaluation harness (the extra `lm-eval`).

from lm_eval import simple_evaluate
from models.evals.lm_eval_adapter import HarnessModel

simple_evaluate(model=HarnessModel(predictor), tasks=["hellaswag"])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lm_eval.api.model import LM

from models.evals.continuations import (
    SHORTEST_BUCKET,
    Continuation,
    encode_continuation,
    score_continuations,
)
from models.language.language_model import Predictor

MOST_NEW_TOKENS = 256
"""Tokens generated where a task sets no limit, as in the harness."""


class HarnessModel(LM):
    """A model or an ensemble as an `LM` of the harness.

    Every text is read as a separate document, after an end-of-text token.

    Raises:
        ValueError: the predictor has no tokenizer.
    """

    def __init__(self, predictor: Predictor) -> None:
        super().__init__()
        if predictor.tokenizer is None:
            raise ValueError("the harness needs a model with its tokenizer")
        self.predictor = predictor

    def loglikelihood(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Return, for each continuation, its log-likelihood in nats and whether it is greedy."""
        wanted = [encode_continuation(self.predictor, *request.args) for request in requests]
        scored = score_continuations(self.predictor, wanted)
        return [(one.total, bool(one.greedy.all())) for one in scored]

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Return log-likelihoods of whole texts in nats; long ones by strides of half a context."""
        wanted = []
        for request in requests:
            ids = self.predictor.encode(request.args[0])
            wanted.append(Continuation([self.predictor.model.start_id, *ids], len(ids)))
        return [one.total for one in score_continuations(self.predictor, wanted)]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Return greedy continuations, up to a stop string, the end of text or a limit of tokens.

        Raises:
            ValueError: the task requests sampling.
        """
        return [self._continued(*request.args) for request in requests]

    def _continued(self, context: str, settings: dict[str, Any]) -> str:
        if settings.get("do_sample") or settings.get("temperature"):
            raise ValueError(
                "generation here is greedy: do_sample must be False and temperature 0; "
                f"not {settings}"
            )
        until = settings.get("until") or []
        stops = [stop for stop in ([until] if isinstance(until, str) else until) if stop]
        end = self.predictor.model.end_of_text_id
        ids = [self.predictor.model.start_id, *self.predictor.encode(context)]
        n_read, text = len(ids), ""
        for _ in range(settings.get("max_gen_toks", MOST_NEW_TOKENS)):
            token = self._most_probable_after(ids)
            if token == end:
                break
            ids.append(token)
            text = self.predictor.tokenizer.decode(ids[n_read:])  # type: ignore[union-attr]
            found = [text.index(stop) for stop in stops if stop in text]
            if found:
                return text[: min(found)]
        return text

    def _most_probable_after(self, ids: Sequence[int]) -> int:
        seen = np.asarray(ids[-self.predictor.model.context :], np.int32)
        # Padded to a power of two, so that few shapes compile.
        width = 1 << (max(SHORTEST_BUCKET, len(seen)) - 1).bit_length()
        width = min(width, self.predictor.model.context)
        padded = np.pad(seen, (0, width - len(seen)))[None]
        return int(np.argmax(self.predictor.predict(padded)[0, len(seen) - 1]))
