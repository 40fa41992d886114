"""Bodies of answers as servers have been seen to send them."""

import json

import pytest

from models.augment.backends.completions import UnreadableAnswerError, reply_of, words_of
from models.augment.writing.requests import Reply


def completion(message, *, finish="stop", **others):
    return {"choices": [{"message": message, "finish_reason": finish}], **others}


def read(values):
    body = values if isinstance(values, bytes) else json.dumps(values).encode()
    return reply_of(body, prompt="a prompt", count_tokens=lambda text: len(text.split()))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        ([{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}], "in parts"),
        ([{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "t"}], "t"),
        ([{"type": "text", "text": {"value": "nested"}}], "nested"),
        (["a", "b"], "ab"),
        ({"type": "text", "text": "one part"}, "one part"),
        ("\ud800x", "?x"),
    ],
)
def test_the_text_is_read_in_every_form(content, text):
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    found = read(completion({"content": content}, usage=usage))
    assert found == Reply(text=text, n_prompt_tokens=7, n_reply_tokens=3)


def test_counts_that_are_missing_or_wrong_are_estimated():
    for usage in (None, [], {}, {"prompt_tokens": None, "completion_tokens": -1}, {"x": "7"}):
        found = read(completion({"content": "one two three"}, usage=usage))
        assert (found.n_prompt_tokens, found.n_reply_tokens) == (2, 3)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", "stop"), ("length", "length"), ("MAX_TOKENS", "length"), (None, "stop"),
        ("content_filter", "refusal"), ("SAFETY", "refusal"), (3, "stop"),
    ],
)  # fmt: skip
def test_why_an_answer_ended_is_read(reason, finish):
    assert read(completion({"content": "t"}, finish=reason)).finish == finish


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (b"", "not JSON: nothing"),
        (b"<html>Bad gateway</html>", "not JSON: <html>Bad gateway</html>"),
        (b"[" * 10**6, "not JSON"),
        (b'{"a": "\xff', "not JSON"),
        ({"error": {"message": "model is loading"}}, "no choices: model is loading"),
        ({"choices": None, "detail": "busy"}, "no choices: busy"),
        ({"choices": []}, "no choices"),
        ([], "no choices"),
        ({"choices": [{"error": {"message": "upstream"}}]}, "no message: upstream"),
        (completion(None), "no message"),
        (completion({"content": 3}), "holds no text: 3"),
        (completion({"content": [{"type": "image_url"}]}), "holds no text"),
    ],
)
def test_what_is_no_completion_is_refused_with_the_words_of_the_server(values, words):
    with pytest.raises(UnreadableAnswerError, match=words.replace("[", r"\[")):
        read(values)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "slow\n down", "code": 1}, "slow down"),
        ("model 'x' not found", "model 'x' not found"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]}, "body.seed: Extra inputs"),
        ({"error": {"message": {"detail": "deep"}}}, "deep"),
        ({"odd": 1}, '{"odd": 1}'),
        ("x" * 999, "x" * 297 + "..."),
    ],
)
def test_the_words_of_a_server_are_found(body, words):
    assert words_of(body) == words
