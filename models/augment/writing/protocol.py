"""The interface of every text generation backend."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from models.augment.writing.requests import Answer, GenerationRequest


class BackendError(RuntimeError):
    """A backend that cannot answer any request: no key, no such model, no server."""


class Backend(Protocol):
    """A text generation backend."""

    @property
    def name(self) -> str:
        """Backend and model, for the provenance of texts."""
        ...

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt and its answer together; None if unlimited."""
        ...

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Yield the answers to all requests in any order, as they become available.

        An error that concerns one request is the `Failure` of its answer; other requests continue.

        Raises:
            BackendError: no request can be answered.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, or an upper bound."""
        ...
