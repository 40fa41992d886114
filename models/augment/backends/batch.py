"""The batch endpoint of OpenAI-compatible servers: many requests in a file, answers within a day.

Servers charge less for batches (OpenAI half). What was sent is written down before it is sent, so
that an interrupted command finds its batches again and pays for nothing twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from models.augment.backends.completions import UnreadableAnswerError, reply_of, words_of
from models.augment.backends.openai import OTHER_LIMIT, OpenAIBackend, is_unknown, said
from models.augment.writing.requests import (
    Answer,
    BackendError,
    Failure,
    GenerationRequest,
    Reply,
)

ENDPOINT = "/v1/chat/completions"
ENDED = ("completed", "failed", "expired", "cancelled")
"""States in which a batch has all the answers that it will have."""

MOST_REQUESTS = 50_000
MOST_BYTES = 150_000_000
"""Limits of a batch; OpenAI's are 50,000 requests and 200 MB."""

FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0
"""Seconds between two questions after the state of a batch; each wait is twice the one before."""

CREATIONS = 4
"""Attempts to create a batch."""

LISTED = 1000
"""Batches of the server among which one is looked for."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is known here of a batch.

    Attributes:
        writer: name of the backend.
        keys: keys of its requests, which are their `custom_id` on the server.
        limit: the parameter that limits an answer in its requests.
        file_id: the uploaded requests on the server.
        id: the batch on the server; None until the server has confirmed it.
    """

    writer: str
    keys: tuple[str, ...]
    limit: str
    file_id: str
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class BatchBackend:
    """A `Backend` that sends requests in batches and waits for them.

    Answers have the same keys as those of `server`, so that either can go on where the other
    stopped. An interruption at any moment is harmless: batches go on at the server.

    Attributes:
        server: server and model.
        folder: where batches are written down, a JSON file each, and their answers beside it.
        say: called with a line whenever the state of a batch has changed.
        sleep: waits for so many seconds.
        most_requests: most requests of a batch.
        most_bytes: most bytes of the requests of a batch.
    """

    server: OpenAIBackend
    folder: Path
    say: Callable[[str], None] = lambda line: None
    sleep: Callable[[float], None] = time.sleep
    most_requests: int = MOST_REQUESTS
    most_bytes: int = MOST_BYTES

    @property
    def name(self) -> str:
        """Server and model, without credentials."""
        return self.server.name

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt and its answer together."""
        return self.server.context

    def count_tokens(self, text: str) -> int:
        """Return an estimate of the number of tokens, erring on the high side."""
        return self.server.count_tokens(text)

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield the answers of earlier batches, then of new ones as they end.

        Raises:
            BackendError: the server refuses, or does not answer; batches that it has accepted are
                found again by the next call.
        """
        left = {request.key(self.name): request for request in requests}
        client, limit = self.server.client(), self.server.token_limit
        under_way: dict[Path, Batch] = {}
        for path in sorted(self.folder.glob("*.json")):
            batch = _read(path)
            if batch.writer != self.name or left.keys().isdisjoint(batch.keys):
                continue
            if _results(path).exists():
                for answer in self._answers(path, left):
                    if isinstance(answer.result, Reply):
                        del left[answer.request.key(self.name)]
                        yield answer
            else:
                under_way[path] = self._confirmed(client, path, batch)
        awaited = {key for batch in under_way.values() for key in batch.keys}
        new = {key: request for key, request in left.items() if key not in awaited}
        for is_last in (False, True):
            under_way |= self._sent(client, new, limit)
            refused: dict[str, GenerationRequest] = {}
            for path in self._ended(client, under_way):
                used = under_way.pop(path).limit
                for answer in self._answers(path, left):
                    key = answer.request.key(self.name)
                    is_refused = isinstance(answer.result, Failure) and is_unknown(
                        used, answer.result.reason
                    )
                    if is_refused and used == limit and not is_last:
                        refused[key] = answer.request
                    else:
                        del left[key]
                        yield answer
            # The server takes the other parameter; nothing was paid for.
            new, limit = refused, OTHER_LIMIT[limit]

    # --- sending

    def _sent(
        self, client: Any, requests: dict[str, GenerationRequest], limit: str
    ) -> Iterator[tuple[Path, Batch]]:
        """Send requests in as many batches as they need; yield each with the file that names it."""
        lines: dict[str, bytes] = {}
        n_bytes = 0
        for key, request in requests.items():
            body = self.server.body_of(request, limit)
            asked = {"custom_id": key, "method": "POST", "url": ENDPOINT, "body": body}
            line = json.dumps(asked).encode() + b"\n"
            if len(lines) == self.most_requests or (
                lines and n_bytes + len(line) > self.most_bytes
            ):
                yield self._sent_one(client, lines, limit)
                lines, n_bytes = {}, 0
            lines[key] = line
            n_bytes += len(line)
        if lines:
            yield self._sent_one(client, lines, limit)

    def _sent_one(self, client: Any, lines: dict[str, bytes], limit: str) -> tuple[Path, Batch]:
        import openai

        try:
            file = client.files.create(
                file=("requests.jsonl", b"".join(lines.values())), purpose="batch"
            )
        except openai.OpenAIError as error:
            raise self._refusal(error) from error
        file_id = getattr(file, "id", None)
        if not isinstance(file_id, str):
            raise BackendError(f"{self.name} takes no files for batches: {words_of(str(file))}")
        path = self.folder / f"{uuid4().hex}.json"
        batch = Batch(writer=self.name, keys=tuple(lines), limit=limit, file_id=file_id)
        _write(path, batch)  # before the batch exists, so that it can be found
        return path, self._created(client, path, batch)

    def _created(self, client: Any, path: Path, batch: Batch) -> Batch:
        """Create a batch, never twice: after an unclear answer, it is looked for first."""
        import openai

        for attempt in range(CREATIONS):
            try:
                # Not with the client's own retries, which would not look for it.
                found = client.with_options(max_retries=0).batches.create(
                    input_file_id=batch.file_id, endpoint=ENDPOINT, completion_window="24h"
                )
                if isinstance(getattr(found, "id", None), str):
                    return self._named(path, batch, found.id)
                error = openai.OpenAIError(f"no batch: {words_of(str(found))}")
            except (
                openai.APIConnectionError,
                openai.InternalServerError,
                openai.RateLimitError,
            ) as passing:
                if getattr(passing, "code", None) == "insufficient_quota":
                    path.unlink()
                    raise self._refusal(passing) from passing
                error = passing
            except openai.OpenAIError as refused:
                path.unlink()  # nothing was created
                raise self._refusal(refused) from refused
            self.sleep(FIRST_WAIT * 2**attempt)
            if (id_ := self._listed(client, batch)) is not None:
                return self._named(path, batch, id_)
        raise self._refusal(error) from error

    def _confirmed(self, client: Any, path: Path, batch: Batch) -> Batch:
        """Return a batch with its id; a command may have ended before it received the id."""
        if batch.id is not None:
            return batch
        id_ = self._listed(client, batch)
        return self._created(client, path, batch) if id_ is None else self._named(path, batch, id_)

    def _listed(self, client: Any, batch: Batch) -> str | None:
        """Return the id of the batch among those of the server, or None if it is not there."""
        import openai

        try:
            listed = islice(client.batches.list(limit=100), LISTED)
            return next((b.id for b in listed if b.input_file_id == batch.file_id), None)
        except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:
            raise BackendError(
                f"{self.name} does not say whether it has the batch of {batch.file_id}: {error}. "
                "Run the command again; to send its requests again, perhaps paying twice, delete "
                f"the file in {self.folder} that names it"
            ) from error

    def _named(self, path: Path, batch: Batch, id_: str) -> Batch:
        named = replace(batch, id=id_)
        _write(path, named)
        self.say(f"batch {id_}: {len(batch.keys):,} requests sent")
        return named

    # --- waiting

    def _ended(self, client: Any, under_way: dict[Path, Batch]) -> Iterator[Path]:
        """Yield each batch when it has ended and its answers are on this disk."""
        import openai

        pending, known, wait = dict(under_way), dict[Path, str](), FIRST_WAIT
        while pending:
            for path, batch in list(pending.items()):
                try:
                    found = client.batches.retrieve(batch.id)
                    state = str(getattr(found, "status", None))
                    counts = getattr(found, "request_counts", None)
                    done = getattr(counts, "completed", None) or 0
                    line = f"batch {batch.id}: {state}, {done:,} of {len(batch.keys):,} answered"
                    if known.get(path) != line:
                        known[path] = line
                        self.say(line)
                    if state in ENDED:
                        self._store(client, path, found, state)
                except openai.NotFoundError as error:
                    raise BackendError(
                        f"{self.name} no longer knows the batch {batch.id}: {said(error)}. Delete "
                        f"{path} to send its requests again"
                    ) from error
                except openai.OpenAIError as error:
                    raise self._refusal(error) from error
                if state in ENDED:
                    del pending[path]
                    yield path
            if pending:
                self.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)

    def _store(self, client: Any, path: Path, found: Any, state: str) -> None:
        """Write the answers and errors of an ended batch, and then how it ended."""
        data = b""
        for name in ("output_file_id", "error_file_id"):
            if file_id := getattr(found, name, None):
                data += client.files.content(file_id).content.rstrip(b"\n") + b"\n"
        errors = getattr(getattr(found, "errors", None), "data", None) or []
        words = "; ".join(str(getattr(error, "message", error)) for error in errors)
        ending = f"the batch ended as {state}" + (f": {words_of(words)}" if words else "")
        beside = _results(path).with_suffix(".unfinished")
        beside.write_bytes(data + json.dumps({"ending": ending}).encode() + b"\n")
        beside.replace(_results(path))

    def _answers(self, path: Path, left: dict[str, GenerationRequest]) -> Iterator[Answer]:
        """Yield an answer to each request of an ended batch that is left."""
        wanted = {key: left[key] for key in _read(path).keys if key in left}
        ending = "the batch has no answer"
        with _results(path).open("rb") as lines:
            for line in lines:
                try:
                    values = json.loads(line)
                    ending = values.get("ending", ending)
                    request = wanted.pop(values.get("custom_id"), None)
                except (ValueError, AttributeError, TypeError, RecursionError):
                    continue
                if request is not None:
                    yield Answer(request, self._result(values, request))
        for request in wanted.values():
            yield Answer(request, Failure(reason=ending))

    def _result(self, values: dict[str, Any], request: GenerationRequest) -> Reply | Failure:
        response = values.get("response")
        if not isinstance(response, dict) or values.get("error"):
            return Failure(reason=words_of(values.get("error") or values))
        status, body = response.get("status_code"), response.get("body")
        if status != 200:
            return Failure(reason=f"{status}: {words_of(body)}")
        try:
            return reply_of(
                json.dumps(body).encode(), prompt=request.prompt, count_tokens=self.count_tokens
            )
        except UnreadableAnswerError as error:
            return Failure(reason=f"the answer cannot be read: {error}")

    def _refusal(self, error: Any) -> BackendError:
        words = said(error) if hasattr(error, "status_code") else str(error.__cause__ or error)
        return BackendError(f"{self.name} refuses batches: {words}")


def _results(path: Path) -> Path:
    return path.with_suffix(".jsonl")


def _write(path: Path, batch: Batch) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".unfinished")
    beside.write_text(json.dumps(asdict(batch)), encoding="utf-8")
    beside.replace(path)


def _read(path: Path) -> Batch:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Batch(**{**values, "keys": tuple(values["keys"])})
    except (ValueError, TypeError, KeyError) as error:
        raise BackendError(f"{path} does not name a batch: {error}") from error
