"""Malformed answers over HTTP: no crash, nothing unreadable recorded, nothing paid for twice."""

import copy
import json
import random

import pytest

from models.augment.backends.openai import MOST_FAILURES_IN_A_ROW, READINGS, OpenAIBackend
from models.augment.writing.asking import Asker
from models.augment.writing.ledger import Ledger
from models.augment.writing.requests import BackendError, Failure, Reply

N_ANSWERS = 200
ODD_VALUES = (
    None, True, -1, 10**30, 1.5, "", "text", "\ud800", "<think>", [], [None], [[]], {}, {"text": 3},
    {"error": {"message": "odd"}}, [{"type": "text", "text": "part"}], [{"type": "image_url"}],
)  # fmt: skip
ODD_STATUSES = (200, 200, 200, 200, 204, 400, 408, 409, 413, 422, 429, 500, 502, 503, 529)


def malformed(rng: random.Random) -> tuple[int, bytes, str]:
    """Return the status, body and content type of a completion with up to three things wrong."""
    body = {
        "id": "1", "object": "chat.completion", "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "t"}}
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }  # fmt: skip
    for _ in range(rng.randint(0, 3)):
        inner = body
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            key = rng.choice(keys) if keys else None
            if key is None or not isinstance(inner[key], dict | list) or rng.random() < 0.3:
                break
            inner = inner[key]
        if key is not None and rng.random() < 0.3:
            del inner[key]
        elif key is not None:
            inner[key] = copy.deepcopy(rng.choice(ODD_VALUES))
    data = json.dumps(body).encode()
    match rng.randrange(6):
        case 0:
            data = data[: rng.randrange(len(data))]
        case 1:
            data = rng.choice(
                [b"", b"null", b"<html>502</html>", b"data: {}\n\n", b"\xff\xfe\x00", b"[" * 9999]
            )
    kind = rng.choice(["application/json"] * 3 + ["text/html", "text/event-stream"])
    return rng.choice(ODD_STATUSES), data, kind


def send(handler, status, data, kind):
    handler.leave()
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


def test_malformed_answers_are_failures_or_texts_and_are_asked_again(
    server, make_request, tmp_path
):
    answers = {f"p{i}": malformed(random.Random(i)) for i in range(N_ANSWERS)}
    server.fault = lambda handler, prompt: send(handler, *answers[prompt]) is None
    backend = OpenAIBackend(model="m", base_url=server.url, max_retries=0)
    requests = [make_request(prompt) for prompt in answers]
    path = tmp_path / "calls"
    first = {}
    size = MOST_FAILURES_IN_A_ROW - 1  # so few failures do not end a run
    for begin in range(0, N_ANSWERS, size):
        with Ledger(path) as ledger:
            for answer in Asker(backend=backend, ledger=ledger)(requests[begin : begin + size]):
                first[answer.request.prompt] = answer.result
    assert first.keys() == answers.keys()
    read = {prompt for prompt, result in first.items() if isinstance(result, Reply)}
    failed = {prompt: r.reason for prompt, r in first.items() if isinstance(r, Failure)}
    assert min(len(read), len(failed)) > N_ANSWERS / 10
    assert all(failed.values())
    assert all(isinstance(first[prompt].text, str) for prompt in read)
    assert max(server.calls.values()) <= READINGS
    assert {server.calls[prompt] for prompt in read} == {1}

    server.calls.clear()
    server.fault = lambda handler, prompt: False
    with Ledger(path) as ledger:
        assert (ledger.n_unreadable, len(ledger)) == (0, len(read))
        again = {
            a.request.prompt: a.result for a in Asker(backend=backend, ledger=ledger)(requests)
        }
    assert server.calls.keys() == failed.keys()
    assert set(server.calls.values()) == {1}
    assert {prompt: again[prompt] for prompt in read} == {prompt: first[prompt] for prompt in read}
    assert all(again[prompt].text == f"answer to {prompt}" for prompt in failed)


def test_lines_of_a_ledger_that_hold_no_reply_are_asked_again(server, make_request, tmp_path):
    backend = OpenAIBackend(model="m", base_url=server.url)
    requests = [make_request(f"p{i}") for i in range(6)]
    odd = [
        {"text": ["a list"]}, {"text": "t", "finish": "odd"}, {"text": "t", "n_reply_tokens": -1},
        {"txt": "t"}, {"text": "t"},
    ]  # fmt: skip
    path = tmp_path / "calls"
    lines = [
        json.dumps({"key": request.key(backend.name)} | values)
        for request, values in zip(requests[:5], odd, strict=True)
    ]
    path.write_text("\n".join([*lines, "{torn", "[1]"]) + "\n", encoding="utf-8")
    with Ledger(path) as ledger:
        assert ledger.n_unreadable == 6
        texts = [a.result.text for a in Asker(backend=backend, ledger=ledger)(requests)]
    assert texts == [*(f"answer to p{i}" for i in range(4)), "t", "answer to p5"]
    server.calls.clear()
    with Ledger(path) as ledger:
        list(Asker(backend=backend, ledger=ledger)(requests))
    assert not server.calls


NEWER = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
OLDER = [{"loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]


@pytest.mark.parametrize(
    ("refused", "taken", "said"),
    [
        ("max_tokens", "max_completion_tokens", {"error": {"message": NEWER}}),
        ("max_completion_tokens", "max_tokens", {"detail": OLDER}),
    ],
)
def test_the_parameter_that_the_server_wants_is_found_once(
    server, make_request, monkeypatch, refused, taken, said
):
    def fault(handler, prompt):
        if refused in server.bodies[-1]:
            handler.reply(400 if "error" in said else 422, said)
            return True
        return False

    server.fault = fault
    backend = OpenAIBackend(model="m", base_url=server.url, concurrency=1)
    if refused == "max_completion_tokens":  # as at OpenAI, where no address is given
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        backend = OpenAIBackend(model="m", concurrency=1)
    found = list(backend.generate(make_request(f"p{i}") for i in range(3)))
    assert [a.result.text for a in found] == [f"answer to p{i}" for i in range(3)]
    assert [taken in body for body in server.bodies] == [False, True, True, True]


def test_a_limit_that_is_too_large_is_a_failure_with_the_words_of_the_server(server, make_request):
    said = {"error": {"message": "max_tokens is too large: 8, at most 4"}}
    server.fault = lambda handler, prompt: handler.reply(400, said) is None
    backend = OpenAIBackend(model="m", base_url=server.url)
    (answer,) = backend.generate([make_request()])
    assert answer.result == Failure(reason="400: max_tokens is too large: 8, at most 4")
    assert server.calls.total() == 1
    server.fault = lambda handler, prompt: handler.reply(200, {"error": "overloaded"}) is None
    with pytest.raises(BackendError, match="cannot be read: no choices: overloaded"):
        list(backend.generate(make_request(f"p{i}") for i in range(99)))
