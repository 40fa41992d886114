"""Ask a backend, once for each request: recorded answers are looked up, new ones recorded.

Methods (`rephrase`, `entigraph`) are given an `Ask`: a function from requests to answers in the
order of the requests. `Asker` calls the backend; `Estimator` counts the cost without calling it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from models.augment.writing.ledger import Ledger
from models.augment.writing.requests import Answer, Backend, Failure, GenerationRequest, Reply
from models.training.interrupts import interrupt_sets

Ask = Callable[[Iterable[GenerationRequest]], Iterator[Answer]]

WINDOW = 1024
"""Requests in flight together; answers are put in order within the window."""


@dataclass(kw_only=True)
class Tally:
    """Counts of requests and tokens so far.

    Attributes:
        n_known: answers looked up in the ledger.
        n_asked: answers of the backend, refusals included.
        n_failed: requests without an answer.
        n_prompt_tokens: tokens the backend has read.
        n_reply_tokens: tokens it has written.
    """

    n_known: int = 0
    n_asked: int = 0
    n_failed: int = 0
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0


@dataclass(kw_only=True)
class Asker:
    """An `Ask` that calls a backend for unknown answers and records each as soon as it arrives.

    Attributes:
        backend: the backend.
        ledger: recorded answers.
        on_answer: called with the counts after every answer.
        tally: counts.
    """

    backend: Backend
    ledger: Ledger
    on_answer: Callable[[Tally], None] = lambda tally: None
    tally: Tally = field(default_factory=Tally)

    def __call__(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield the answers in the order of the requests."""
        iterator = iter(requests)
        while window := list(itertools.islice(iterator, WINDOW)):
            keys = [request.key(self.backend.name) for request in window]
            new = {
                key: request
                for key, request in zip(keys, window, strict=True)
                if key not in self.ledger
            }
            self.tally.n_known += len(window) - len(new)
            failures = self._asked(new)
            for key, request in zip(keys, window, strict=True):
                result = self.ledger.get(key) or failures.get(key)
                yield Answer(request, result or Failure(reason="the writer gave no answer"))

    def _asked(self, new: dict[str, GenerationRequest]) -> dict[str, Failure]:
        """Call the backend, record the replies, return the failures by key."""
        failures: dict[str, Failure] = {}
        if not new:
            return failures
        # Ctrl-C stops new requests; answers already paid for are still recorded.
        stop = threading.Event()
        with interrupt_sets(stop, patient=False):
            for answer in self.backend.generate(_until(stop, new.values())):
                key, result = answer.request.key(self.backend.name), answer.result
                if isinstance(result, Reply):
                    self.ledger.add(key, result)
                    self.tally.n_asked += 1
                    self.tally.n_prompt_tokens += result.n_prompt_tokens
                    self.tally.n_reply_tokens += result.n_reply_tokens
                else:
                    failures[key] = result
                    self.tally.n_failed += 1
                self.on_answer(self.tally)
        return failures


def _until(
    stop: threading.Event, requests: Iterable[GenerationRequest]
) -> Iterator[GenerationRequest]:
    return itertools.takewhile(lambda _: not stop.is_set(), requests)


@dataclass(kw_only=True)
class Estimator:
    """An `Ask` that calls no server: counts calls and tokens an `Asker` would pay for, at most.

    If a method needs an answer to continue (the entities of a document), it is given the recorded
    one, else that of `guess`.

    Attributes:
        backend: the backend that would be called.
        ledger: recorded answers, which cost nothing.
        guess: a backend that costs nothing.
        tally: `n_asked` calls and their tokens, each answer counted at its token limit.
    """

    backend: Backend
    ledger: Ledger
    guess: Backend
    tally: Tally = field(default_factory=Tally)

    def __call__(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield recorded or guessed answers."""
        for request in requests:
            known = self.ledger.get(request.key(self.backend.name))
            if known is not None:
                self.tally.n_known += 1
                yield Answer(request, known)
                continue
            self.tally.n_asked += 1
            self.tally.n_prompt_tokens += self.backend.count_tokens(request.prompt)
            self.tally.n_reply_tokens += request.n_tokens
            yield from self.guess.generate([request])
