"""Ask a writer, once for each request: answers that are known are looked up, new ones written down.

An `Ask` is what the methods (`rephrase`, `entigraph`) are given: a function from requests to
answers in the order of the requests. `Asker` asks for real; `Estimator` counts what it would cost.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from models.augment.writing.ledger import Ledger
from models.augment.writing.protocol import Backend
from models.augment.writing.requests import Answer, Failure, GenerationRequest, Reply
from models.training.interrupts import interrupt_sets

Ask = Callable[[Iterable[GenerationRequest]], Iterator[Answer]]

WINDOW = 1024
"""Requests that are under way together; answers are put in order within it."""


@dataclass(kw_only=True)
class Tally:
    """What has been asked so far.

    Attributes:
        n_known: answers looked up in the ledger.
        n_asked: answers of the writer, refusals among them.
        n_failed: requests without an answer.
        n_prompt_tokens: tokens the writer has read.
        n_reply_tokens: tokens it has written.
    """

    n_known: int = 0
    n_asked: int = 0
    n_failed: int = 0
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0


@dataclass(kw_only=True)
class Asker:
    """Asks a writer for what is not known, and writes each answer down the moment it comes.

    Attributes:
        backend: the writer.
        ledger: answers that were paid for.
        on_answer: told of every answer as it comes.
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
        """Ask, write the replies down, return the failures."""
        failures: dict[str, Failure] = {}
        if not new:
            return failures
        # Ctrl-C ends the asking, not the writing down of what is under way and paid for.
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
    """Asks nobody: counts the calls and tokens that an `Asker` would pay for, at most.

    Where a method goes on from an answer (the entities of a document), it is given one that is
    known, else what `guess` answers.

    Attributes:
        backend: the writer that would be asked.
        ledger: answers that were paid for, which cost nothing.
        guess: a writer that costs nothing.
        tally: `n_asked` calls and their tokens; of an answer, the most it may have.
    """

    backend: Backend
    ledger: Ledger
    guess: Backend
    tally: Tally = field(default_factory=Tally)

    def __call__(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield known or guessed answers."""
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
