"""What every writer of text offers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from models.augment.writing.requests import Answer, GenerationRequest


class BackendError(RuntimeError):
    """A writer that cannot write anything at all: no key, no such model, no server."""


class Backend(Protocol):
    """A writer."""

    @property
    def name(self) -> str:
        """Writer and model, for the provenance of texts."""
        ...

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt and its answer together, None where there is no limit."""
        ...

    def generate(self, requests: Iterable[GenerationRequest]) -> Iterator[Answer]:
        """Answer all requests, in any order, each as soon as it can be.

        What goes wrong with one request is the `Failure` of its answer; the others go on.

        Raises:
            BackendError: no request can be answered.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has, or will have at most."""
        ...
