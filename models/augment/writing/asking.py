"""Ask a backend, once for each request: recorded answers are looked up, new ones recorded.

Methods (`rephrase`, `entigraph`) are given an `Ask`: a function from requests to answers in the
order of the requests. `Asker` calls the backend; `Estimator` counts the cost without calling it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

from models.augment.texts.records import without_surrogates
from models.augment.writing.ledger import Ledger
from models.augment.writing.reasoning import without_reasoning
from models.augment.writing.requests import Answer, Backend, Failure, GenerationRequest, Reply
from models.training.interrupts import interrupt_sets

Ask = Callable[[Iterable[GenerationRequest]], Iterator[Answer]]

WINDOW = 1024
"""Requests in flight together unless they are sent in batches."""


@dataclass(kw_only=True)
class Tally:
    """Counts of requests and tokens so far.

    Attributes:
        n_known: answers looked up in the ledger.
        n_asked: answers of the backend, refusals included.
        n_failed: requests without an answer.
        n_unaffordable: requests not sent, because of the maximum cost.
        n_prompt_tokens: tokens the backend has read.
        n_reply_tokens: tokens it has written.
    """

    n_known: int = 0
    n_asked: int = 0
    n_failed: int = 0
    n_unaffordable: int = 0
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Prices of a server, and the most that may be spent.

    Attributes:
        prompt: money per million tokens read.
        reply: money per million tokens written.
        most: the most that all recorded answers together may cost; None if unlimited.

    Raises:
        ValueError: a negative amount.
    """

    prompt: float = 0.0
    reply: float = 0.0
    most: float | None = None

    def __post_init__(self) -> None:
        # Not "< 0", which NaN is not.
        if not (self.prompt >= 0 and self.reply >= 0 and (self.most is None or self.most >= 0)):
            raise ValueError(f"prices and the maximum cost must not be negative; not {self}")

    def cost(self, n_prompt_tokens: float, n_reply_tokens: float) -> float:
        """Return what so many tokens cost."""
        return (n_prompt_tokens * self.prompt + n_reply_tokens * self.reply) / 1e6


@dataclass(kw_only=True)
class Asker:
    """An `Ask` that calls a backend for unknown answers and records each as soon as it arrives.

    A request is not sent if it could lift the cost of all recorded answers above the maximum, those
    under way counted at their token limits.

    Attributes:
        backend: the backend.
        ledger: recorded answers.
        prices: prices and the maximum cost.
        window: requests in flight together; answers are put in order within the window.
        defers_interrupts: whether Ctrl-C waits for the answers under way, which would be lost.
        on_answer: called with the counts after every answer.
        tally: counts.
    """

    backend: Backend
    ledger: Ledger
    prices: Prices = field(default_factory=Prices)
    window: int = WINDOW
    defers_interrupts: bool = True
    on_answer: Callable[[Tally], None] = lambda tally: None
    tally: Tally = field(default_factory=Tally)

    @property
    def cost(self) -> float:
        """What all recorded answers have cost."""
        return self.prices.cost(self.ledger.n_prompt_tokens, self.ledger.n_reply_tokens)

    def __call__(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield the answers in the order of the requests."""
        iterator = iter(requests)
        while window := list(itertools.islice(iterator, self.window)):
            keys = [request.key(self.backend.name) for request in window]
            new = {
                key: request
                for key, request in zip(keys, window, strict=True)
                if key not in self.ledger
            }
            self.tally.n_known += len(window) - len(new)
            failures = self._asked(new)
            for key, request in zip(keys, window, strict=True):
                reply = self.ledger.get(key)
                # Answers that an earlier version recorded hold their reasoning.
                yield Answer(request, failures[key] if reply is None else _cleaned(reply))

    def _asked(self, new: dict[str, GenerationRequest]) -> dict[str, Failure]:
        """Call the backend, record the replies, return the failures by key."""
        failures: dict[str, Failure] = {}
        if not new:
            return failures
        left, under_way = dict(new), dict[str, float]()
        # Ctrl-C stops new requests; answers already paid for are still recorded.
        stop = threading.Event()
        with interrupt_sets(stop, patient=False) if self.defers_interrupts else nullcontext():
            n_left = len(left) + 1
            # Answers cost less than they might have: what did not fit beside them may fit then.
            while 0 < len(left) < n_left and not stop.is_set():
                n_left = len(left)
                for answer in self.backend.generate(self._to_send(left, under_way, stop)):
                    key, result = answer.request.key(self.backend.name), answer.result
                    under_way.pop(key, None)
                    if isinstance(result, Reply):
                        self.ledger.add(key, _cleaned(result))
                        self.tally.n_asked += 1
                        self.tally.n_prompt_tokens += result.n_prompt_tokens
                        self.tally.n_reply_tokens += result.n_reply_tokens
                    else:
                        failures[key] = result
                        self.tally.n_failed += 1
                    self.on_answer(self.tally)
        if not stop.is_set():
            self.tally.n_unaffordable += len(left)
            reason = "not sent, because of the maximum cost"
            failures |= dict.fromkeys(left, Failure(reason=reason))
        for key in new:
            if key not in self.ledger:
                failures.setdefault(key, Failure(reason="the writer gave no answer"))
        return failures

    def _to_send(
        self, left: dict[str, GenerationRequest], under_way: dict[str, float], stop: threading.Event
    ) -> Iterator[GenerationRequest]:
        """Take off and yield requests as long as they fit, with the most that each can cost."""
        for key, request in list(left.items()):
            if stop.is_set():
                return
            if self.prices.most is not None:
                most = self.prices.cost(self.backend.count_tokens(request.prompt), request.n_tokens)
                if self.cost + sum(under_way.values()) + most > self.prices.most:
                    return
                under_way[key] = most
            yield left.pop(key)


def _cleaned(reply: Reply) -> Reply:
    """Return a reply whose text is what the model said, without its reasoning."""
    if reply.finish == "refusal":
        return reply
    return replace(reply, text=without_surrogates(without_reasoning(reply.text)))


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
                yield Answer(request, _cleaned(known))
                continue
            self.tally.n_asked += 1
            self.tally.n_prompt_tokens += self.backend.count_tokens(request.prompt)
            self.tally.n_reply_tokens += request.n_tokens
            yield from self.guess.generate([request])


@dataclass(kw_only=True)
class Previewer:
    """An `Ask` that calls no server and keeps the first requests, with answers that cost nothing.

    Attributes:
        backend: the backend that would be called.
        ledger: recorded answers.
        guess: a backend that costs nothing, for methods that need an answer to continue.
        n_shown: requests to keep.
        shown: requests kept so far, each with its answer if the backend's own is known.
    """

    backend: Backend
    ledger: Ledger
    guess: Backend
    n_shown: int
    shown: list[tuple[GenerationRequest, Reply | None]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether as many requests are kept as wanted."""
        return len(self.shown) >= self.n_shown

    def __call__(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield recorded or guessed answers until enough requests are kept."""
        for request in itertools.islice(requests, self.n_shown - len(self.shown)):
            known = self.ledger.get(request.key(self.backend.name))
            if known is None and self.backend.name != self.guess.name:
                self.shown.append((request, None))
                yield from self.guess.generate([request])
                continue
            answer = (
                Answer(request, _cleaned(known)) if known else next(self.guess.generate([request]))
            )
            assert isinstance(answer.result, Reply)
            self.shown.append((request, answer.result))
            yield answer
