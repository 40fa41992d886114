"""Any server with OpenAI's chat completions API: OpenAI itself, vLLM, llama.cpp, Ollama, ...

The official client (extra `llm`) retries transient errors (429, 5xx, timeouts, lost connections)
with exponential backoff, honouring the server's Retry-After.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

from models.augment.backends.completions import reply_of, words_of
from models.augment.writing.requests import (
    Answer,
    BackendError,
    Failure,
    GenerationRequest,
    Reply,
)

MOST_FAILURES_IN_A_ROW = 8
"""Consecutive failed requests after which no more are sent."""

READINGS = 3
"""Attempts to get a readable body before a request fails."""

BYTES_PER_TOKEN = 3
"""Assumed UTF-8 bytes per token if the tokenizer is unknown; English has about four."""

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class OpenAIBackend:
    """A `Backend` that sends several requests at a time to a server.

    Attributes:
        model: the server's name of the model.
        base_url: base URL of the server's API (default: OpenAI's).
        api_key_variable: environment variable that holds the key; a server on this machine needs
            none.
        concurrency: requests in flight at a time.
        requests_per_minute: most requests started per minute, retries not counted.
        timeout: seconds to wait for an answer.
        max_retries: retries of a request.
        context: most tokens of prompt and answer together; longer documents are cut.

    Raises:
        ValueError: a setting out of range.
        BackendError: no client library, or no key in the variable.
    """

    model: str
    base_url: str | None = None
    api_key_variable: str = "OPENAI_API_KEY"
    concurrency: int = 8
    requests_per_minute: float | None = None
    timeout: float = 120.0
    max_retries: int = 8
    context: int | None = 16_384

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1; not {self.concurrency}")
        if self.requests_per_minute is not None and not self.requests_per_minute > 0:
            raise ValueError(f"requests_per_minute must be > 0; not {self.requests_per_minute}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be > 0 seconds; not {self.timeout}")

    @property
    def name(self) -> str:
        """Server and model, without credentials."""
        host = urlparse(self.base_url).netloc.rpartition("@")[2] if self.base_url else "openai"
        return f"{host}:{self.model}"

    def count_tokens(self, text: str) -> int:
        """Return an estimate of the number of tokens from bytes, erring on the high side."""
        return -(-len(text.encode()) // BYTES_PER_TOKEN)

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield answers as they arrive; requests are read only as they can be sent.

        Raises:
            BackendError: the server rejects the key or model, or too many failures in a row.
        """
        iterator = iter(requests)
        client, pace = self.client(), _Pace(self.requests_per_minute)
        limit = _TokenLimit(self.token_limit)
        in_a_row = 0
        error: BackendError | None = None
        with ThreadPoolExecutor(self.concurrency) as threads:
            running: set[Future[Answer]] = set()
            while True:
                while error is None and len(running) < self.concurrency:
                    request = next(iterator, None)
                    if request is None:
                        break
                    running.add(threads.submit(self._answer, client, request, pace, limit))
                if not running:
                    break
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    try:
                        answer = future.result()
                    except BackendError as refused:
                        error = refused  # requests in flight are paid for, so wait for them
                        continue
                    failed = isinstance(answer.result, Failure)
                    in_a_row = in_a_row + 1 if failed else 0
                    if isinstance(answer.result, Failure) and in_a_row >= MOST_FAILURES_IN_A_ROW:
                        error = error or BackendError(
                            f"{self.name} has answered none of the last {in_a_row} requests; of "
                            f"the last one: {answer.result.reason}"
                        )
                    yield answer
        if error is not None:
            raise error

    @property
    def token_limit(self) -> str:
        """The parameter that is tried first to limit the tokens of an answer."""
        # Other servers are asked by the older name first, which more of them know.
        return "max_tokens" if self.base_url else "max_completion_tokens"

    def client(self) -> Any:
        """Return the client of the server.

        Raises:
            BackendError: no client library, or no key in the variable.
        """
        try:
            import openai
        except ImportError as error:
            raise BackendError(
                "this writer needs OpenAI's client library: pip install openai"
            ) from error
        key = os.environ.get(self.api_key_variable)
        if not key:
            if self.base_url is None or urlparse(self.base_url).hostname not in LOCAL_HOSTS:
                raise BackendError(
                    f"there is no API key: set the environment variable {self.api_key_variable}"
                )
            key = "none"
        return openai.OpenAI(
            api_key=key,
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=self.max_retries,
        )

    def _answer(
        self, client: Any, request: GenerationRequest, pace: _Pace, limit: _TokenLimit
    ) -> Answer:
        """Send one request, with retries; run in a thread."""
        import openai

        reason = ""
        for _ in range(READINGS):
            pace.wait()
            try:
                return Answer(request, self._asked(client, request, limit))
            except (
                openai.AuthenticationError,
                openai.PermissionDeniedError,
                openai.NotFoundError,
            ) as error:
                raise BackendError(f"{self.name} refuses: {said(error)}") from error
            except openai.RateLimitError as error:
                if error.code == "insufficient_quota":
                    raise BackendError(f"{self.name} refuses: {said(error)}") from error
                return Answer(request, Failure(reason=f"rate limit: {said(error)}"))
            except openai.APITimeoutError:
                reason = f"no answer within {self.timeout:g} s"
                return Answer(request, Failure(reason=reason))
            except openai.APIConnectionError as error:
                return Answer(request, Failure(reason=f"no connection: {error.__cause__ or error}"))
            except openai.APIStatusError as error:
                return Answer(request, Failure(reason=said(error)))
            except (ValueError, openai.OpenAIError) as error:
                # The body is truncated, or not a chat completion.
                reason = f"the answer cannot be read: {error}"
        return Answer(request, Failure(reason=reason))

    def _asked(self, client: Any, request: GenerationRequest, limit: _TokenLimit) -> Reply:
        import openai

        name = limit.name
        try:
            body = self._body(client, request, name)
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            if not is_unknown(name, str(error.body)):
                raise
            limit.name = OTHER_LIMIT[name]
            body = self._body(client, request, limit.name)
        return reply_of(body, prompt=request.prompt, count_tokens=self.count_tokens)

    def _body(self, client: Any, request: GenerationRequest, limit: str) -> bytes:
        # Read as bytes, because the client takes any JSON for a completion.
        asked = self.body_of(request, limit)
        return client.chat.completions.with_raw_response.create(**asked).content

    def body_of(self, request: GenerationRequest, limit: str) -> dict[str, Any]:
        """Return what is asked of the server, with the parameter that limits the answer."""
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": request.prompt}],
            "temperature": request.temperature,
            "seed": request.seed,
            limit: request.n_tokens,
        }


OTHER_LIMIT = {
    "max_completion_tokens": "max_tokens",
    "max_tokens": "max_completion_tokens",
}
"""Parameters that limit an answer; some servers know one, some the other."""

_UNKNOWN = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|not permitted|extra|instead", re.I
)


@dataclass
class _TokenLimit:
    """The parameter that this server has been found to take; the same for all threads."""

    name: str


def is_unknown(parameter: str, said: str) -> bool:
    """Return whether a server refuses a request because it does not take that parameter."""
    return parameter in said and bool(_UNKNOWN.search(said))


class _Pace:
    """Lets threads begin requests no faster than so many a minute."""

    def __init__(self, per_minute: float | None) -> None:
        self._interval = 0.0 if per_minute is None else 60.0 / per_minute
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when it is this thread's turn."""
        if not self._interval:
            return
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._interval
        time.sleep(max(0.0, turn - time.monotonic()))


def said(error: Any) -> str:
    """Return the status and what the server said of an error, in one line."""
    return f"{error.status_code}: {words_of(error.body) if error.body else error.message}"
