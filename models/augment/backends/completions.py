"""Read the body of a chat completion, as servers send it, and what they say when they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from models.augment.texts.records import without_surrogates
from models.augment.writing.requests import Finish, Reply

MOST_WORDS = 300
"""Characters quoted of what a server said."""

LENGTH_REASONS = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
REFUSAL_REASONS = frozenset({"content_filter", "safety", "refusal", "prohibited_content"})
"""Reasons to finish, in lower case: of OpenAI, and of others behind the same interface."""


class UnreadableAnswerError(ValueError):
    """A body that is not a chat completion; the message quotes the server."""


def reply_of(body: bytes, *, prompt: str, count_tokens: Callable[[str], int]) -> Reply:
    """Return the reply in the body of a chat completion.

    The parts of a message are joined; counts of tokens that the server leaves out are estimated.

    Args:
        body: bytes of the response.
        prompt: the prompt, for the estimate of its tokens.
        count_tokens: estimates the number of tokens of a text.

    Raises:
        UnreadableAnswerError: the body is not JSON, not a completion, or its text is not text.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        quoted = words_of(body.decode(errors="replace")) or "nothing"
        raise UnreadableAnswerError(f"not JSON: {quoted}") from error
    choices = values.get("choices") if isinstance(values, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise UnreadableAnswerError(f"no choices: {words_of(values) or 'an empty body'}")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        said = words_of(choice.get("error") or values.get("error") or choice)
        raise UnreadableAnswerError(f"no message: {said}")
    if choice.get("error"):
        raise UnreadableAnswerError(words_of(choice["error"]))
    text, refusal = _text_of(message.get("content")), message.get("refusal")
    finish = _finish_of(choice.get("finish_reason"))
    if isinstance(refusal, str) and refusal:
        text, finish = refusal, "refusal"
    usage = values.get("usage") if isinstance(values.get("usage"), dict) else {}
    assert isinstance(usage, dict)
    text = without_surrogates(text)
    return Reply(
        text=text,
        finish=finish,
        n_prompt_tokens=_count(usage.get("prompt_tokens"), prompt, count_tokens),
        n_reply_tokens=_count(usage.get("completion_tokens"), text, count_tokens),
    )


def _text_of(content: Any) -> str:
    """Return the text of a message: a string, nothing, or a list of parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(part, dict) and part.get("type") in ("thinking", "reasoning", "redacted"):
            continue
        if isinstance(text, dict):  # {"type": "text", "text": {"value": ...}} of assistants
            text = text.get("value")
        if not isinstance(text, str):
            raise UnreadableAnswerError(f"the message holds no text: {words_of(content)}")
        texts.append(text)
    return "".join(texts)


def _finish_of(reason: Any) -> Finish:
    said = reason.lower() if isinstance(reason, str) else ""
    if said in LENGTH_REASONS:
        return "length"
    return "refusal" if said in REFUSAL_REASONS else "stop"


def _count(said: Any, text: str, count_tokens: Callable[[str], int]) -> int:
    """Return the number of tokens that the server gives, or else an estimate."""
    is_count = isinstance(said, int) and not isinstance(said, bool) and 0 <= said < 2**53
    return said if is_count else count_tokens(text)


def words_of(body: Any) -> str:
    """Return what a server said, in one line: its message if there is one, else the body."""
    said = _message_in(body)
    if said is None:
        said = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)
    said = without_surrogates(" ".join(said.split()))
    return said if len(said) <= MOST_WORDS else said[: MOST_WORDS - 3] + "..."


def _message_in(body: Any) -> str | None:
    """Return the message in an error of OpenAI, FastAPI, Ollama, llama.cpp, ..., if any."""
    for _ in range(4):
        if isinstance(body, list) and body:
            body = body[0]
        elif isinstance(body, dict):
            place, said = body.get("loc"), body.get("msg")
            if isinstance(place, list) and isinstance(said, str):
                return f"{'.'.join(map(str, place))}: {said}"
            keys = ("error", "message", "detail", "msg", "errors")
            body = next((body[key] for key in keys if body.get(key)), None)
    return body if isinstance(body, str) else None
