"""The OpenAI-compatible writer over real HTTP on this machine, against a server that misbehaves."""

import threading
import time

import pytest

from models.augment.backends.openai import MOST_FAILURES_IN_A_ROW, OpenAIBackend
from models.augment.writing.requests import BackendError, Failure, Reply


@pytest.fixture
def backend(server):
    return OpenAIBackend(model="m", base_url=server.url, max_retries=2)


def answers(backend, requests):
    return {answer.request.prompt: answer.result for answer in backend.generate(requests)}


def failing(times, respond):
    """Let each prompt fail that often before it is answered."""
    seen = {}

    def fault(handler, prompt):
        seen[prompt] = seen.get(prompt, 0) + 1
        if seen[prompt] <= times:
            respond(handler)
            return True
        return False

    return fault


def test_texts_and_what_they_cost_come_back(server, backend, make_request):
    found = answers(backend, [make_request(f"p{i}", seed=i, temperature=0.5) for i in range(20)])
    assert len(found) == 20
    assert found["p3"] == Reply(text="answer to p3", n_prompt_tokens=7, n_reply_tokens=3)
    assert server.most_at_once <= 8
    body = next(b for b in server.bodies if b["messages"][0]["content"] == "p3")
    assert (body["model"], body["seed"], body["temperature"], body["max_tokens"]) == (
        "m",
        3,
        0.5,
        8,
    )
    assert backend.name == server.url.removeprefix("http://").removesuffix("/v1") + ":m"


def rate_limited(handler):
    handler.reply(429, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}})


def broken(handler):
    handler.reply(500, {"error": {"message": "internal"}})


def torn(handler):
    handler.reply(200, {"choices": [{"message": {"content": "half a te"}}]}, cut=12)


def no_completion(handler):
    handler.reply(200, {"nothing": "of the kind"})


@pytest.mark.parametrize("respond", [rate_limited, broken, torn, no_completion])
def test_what_may_pass_is_tried_again(server, backend, make_request, respond):
    server.fault = failing(1, respond)
    found = answers(backend, [make_request(f"p{i}") for i in range(4)])
    assert {prompt: result.text for prompt, result in found.items()} == {
        f"p{i}": f"answer to p{i}" for i in range(4)
    }
    assert set(server.calls.values()) == {2}


@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        (rate_limited, "rate limit: 429: slow down"),
        (broken, "500: internal"),
        (torn, "the answer cannot be read"),
        (no_completion, "the answer cannot be read"),
        (lambda h: h.reply(400, {"error": {"message": "too long"}}), "400: too long"),
    ],
)
def test_one_hopeless_request_is_a_failure_and_the_others_go_on(
    server, backend, make_request, respond, reason
):
    server.fault = lambda handler, prompt: prompt == "p1" and (respond(handler) or True)
    found = answers(backend, [make_request(f"p{i}") for i in range(4)])
    assert isinstance(found["p1"], Failure)
    assert found["p1"].reason.startswith(reason)
    assert sum(isinstance(result, Reply) for result in found.values()) == 3


def test_a_timeout_is_a_failure_that_names_the_seconds(server, make_request):
    backend = OpenAIBackend(model="m", base_url=server.url, max_retries=0, timeout=0.2)
    given_up = threading.Event()
    server.fault = lambda handler, prompt: given_up.wait(timeout=60)
    found = answers(backend, [make_request("p0")])
    given_up.set()
    assert found["p0"] == Failure(reason="no answer within 0.2 s")


def test_refusals_and_cut_texts_are_told_apart(server, backend, make_request):
    def fault(handler, prompt):
        if prompt == "refused":
            handler.complete(None, refusal="I would rather not")
        elif prompt == "filtered":
            handler.complete("", finish="content_filter")
        elif prompt == "long":
            handler.complete("and so on", finish="length")
        else:
            return False
        return True

    server.fault = fault
    found = answers(backend, [make_request(p) for p in ("refused", "filtered", "long", "fine")])
    assert {prompt: result.finish for prompt, result in found.items()} == {
        "refused": "refusal", "filtered": "refusal", "long": "length", "fine": "stop",
    }  # fmt: skip
    assert found["refused"].text == "I would rather not"


def test_a_wrong_key_or_model_stops_at_once(server, make_request, monkeypatch):
    server.key = "secret"
    monkeypatch.setenv("SOME_KEY", "wrong")
    backend = OpenAIBackend(model="m", base_url=server.url, api_key_variable="SOME_KEY")
    with pytest.raises(BackendError, match="refuses: 401: wrong key"):
        answers(backend, (make_request(f"p{i}") for i in range(10_000)))
    assert server.calls.total() <= backend.concurrency
    monkeypatch.setenv("SOME_KEY", "secret")
    assert answers(backend, [make_request("p")])["p"].text == "answer to p"


def test_a_missing_key_names_the_variable(make_request, monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.delenv("SOME_KEY", raising=False)
    for url in (None, "https://example.org/v1"):
        backend = OpenAIBackend(model="m", base_url=url, api_key_variable="SOME_KEY")
        with pytest.raises(BackendError, match="set the environment variable SOME_KEY"):
            list(backend.generate([make_request()]))


def test_a_dead_server_is_given_up_and_what_was_answered_is_not_lost(server, make_request):
    backend = OpenAIBackend(model="m", base_url=server.url, max_retries=0, concurrency=2)
    server.fault = lambda handler, prompt: prompt != "p0" and (broken(handler) or True)
    found = []
    stream = backend.generate(make_request(f"p{i}") for i in range(10_000))
    with pytest.raises(BackendError, match=f"none of the last {MOST_FAILURES_IN_A_ROW} requests"):
        found.extend(stream)
    assert [a.result.text for a in found if isinstance(a.result, Reply)] == ["answer to p0"]
    assert server.calls.total() <= MOST_FAILURES_IN_A_ROW + 1 + 2 * backend.concurrency
    assert len(found) == server.calls.total()
    nobody = OpenAIBackend(model="m", base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(BackendError, match="no connection"):
        list(nobody.generate(make_request(f"p{i}") for i in range(100)))


def test_requests_run_at_once_and_no_faster_than_allowed(server, make_request):
    two = threading.Barrier(2)  # neither is answered before the other is there
    server.fault = lambda handler, prompt: two.wait(timeout=60) < 0
    wide = OpenAIBackend(model="m", base_url=server.url, concurrency=10)
    answers(wide, [make_request(f"p{i}") for i in range(40)])
    assert server.most_at_once > 1
    server.fault = lambda handler, prompt: False
    paced = OpenAIBackend(model="m", base_url=server.url, requests_per_minute=60 / 0.05)
    started = time.monotonic()
    answers(paced, [make_request(f"q{i}") for i in range(11)])
    assert time.monotonic() - started >= 10 * 0.05


def test_few_requests_are_taken_ahead(server, make_request):
    backend = OpenAIBackend(model="m", base_url=server.url, concurrency=3)
    taken = []

    def requests():
        for i in range(100):
            taken.append(i)
            yield make_request(f"p{i}")

    stream = backend.generate(requests())
    next(stream)
    assert len(taken) <= 3
    stream.close()


def test_settings_out_of_range_are_refused():
    for options, message in [
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"requests_per_minute": 0}, "requests_per_minute must be > 0"),
        ({"timeout": 0}, "timeout must be > 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            OpenAIBackend(model="m", **options)
