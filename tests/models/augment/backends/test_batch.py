"""The batch endpoint over real HTTP: interrupted at any moment, nothing is paid for twice."""

import json

import pytest

from models.augment.backends import batch
from models.augment.backends.batch import BatchBackend
from models.augment.backends.openai import OpenAIBackend
from models.augment.writing.asking import Asker
from models.augment.writing.ledger import Ledger
from models.augment.writing.requests import BackendError, Failure, Reply


class Waits(list):
    """Stands in for the clock: notes the waits, and may end the process at one of them."""

    def __init__(self, end_at=None):
        super().__init__()
        self.end_at = end_at

    def __call__(self, seconds):
        self.append(seconds)
        if len(self) == self.end_at:
            raise KeyboardInterrupt


@pytest.fixture
def make(batch_server, tmp_path):
    def make(waits=None, **options):
        server = OpenAIBackend(model="m", base_url=batch_server.url, max_retries=0)
        waits = Waits() if waits is None else waits
        return BatchBackend(server=server, folder=tmp_path / "b", sleep=waits, **options)

    return make


def answers(backend, requests):
    return {answer.request.prompt: answer.result for answer in backend.generate(requests)}


def prompts(make_request, n):
    return [make_request(f"p{i}", seed=i) for i in range(n)]


def test_answers_come_back_with_their_tokens_and_the_waits_grow(batch_server, make, make_request):
    batch_server.n_looks = 9
    waits, said = Waits(), []
    found = answers(make(waits, say=said.append), prompts(make_request, 20))
    assert found == {
        f"p{i}": Reply(text=f"answer to p{i}", n_prompt_tokens=7, n_reply_tokens=3)
        for i in range(20)
    }
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    assert said == [
        "batch batch-0: 20 requests sent",
        "batch batch-0: in_progress, 0 of 20 answered",
        "batch batch-0: completed, 20 of 20 answered",
    ]
    body = batch_server.bodies[3]
    assert body == {
        "model": "m", "messages": [{"role": "user", "content": "p3"}], "temperature": 1.0,
        "seed": 3, "max_tokens": 8,
    }  # fmt: skip
    assert set(batch_server.paid.values()) == {1}


def test_many_requests_are_several_batches(batch_server, make, make_request):
    found = answers(make(most_requests=8), prompts(make_request, 20))
    assert len(found) == 20
    assert [len(f.splitlines()) for f in batch_server.files.values()][:3] == [8, 8, 4]
    line = len(batch_server.files["file-0"].splitlines()[0]) + 1
    more = [make_request(f"q{i}", seed=i) for i in range(6)]
    assert len(answers(make(most_bytes=2 * line), more)) == 6
    assert len(batch_server.batches) == 3 + 3


@pytest.mark.parametrize("end_at", range(1, 6))
def test_ended_while_waiting_it_goes_on_without_paying_twice(
    batch_server, make, make_request, end_at
):
    batch_server.n_looks = 6
    requests = prompts(make_request, 10)
    with pytest.raises(KeyboardInterrupt):
        answers(make(Waits(end_at)), requests[:6])
    found = answers(make(), requests)
    assert {prompt: reply.text for prompt, reply in found.items()} == {
        f"p{i}": f"answer to p{i}" for i in range(10)
    }
    assert set(batch_server.paid.values()) == {1}
    assert len(batch_server.batches) == 2


@pytest.mark.parametrize("moment", ["_created", "_named", "_store", "_answers"])
def test_killed_at_any_step_nothing_is_paid_twice(
    batch_server, make, make_request, monkeypatch, moment
):
    """The process ends just before, or just after, it has done a step."""
    whole = getattr(BatchBackend, moment)
    for is_after in (False, True):
        requests = [make_request(f"{moment}{is_after}{i}", seed=i) for i in range(4)]

        def step(self, *arguments, is_after=is_after):
            if is_after:
                result = whole(self, *arguments)
                list(result) if moment == "_answers" else None
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(BatchBackend, moment, step)
            with pytest.raises(KeyboardInterrupt):
                answers(make(), requests)
        found = answers(make(), requests)
        assert all(isinstance(result, Reply) for result in found.values())
        assert len(found) == 4
    assert set(batch_server.paid.values()) == {1}


def test_a_creation_that_is_not_heard_of_is_looked_for(batch_server, make, make_request):
    batch_server.n_unheard = 1
    assert len(answers(make(), prompts(make_request, 4))) == 4
    assert len(batch_server.batches) == 1
    # If the server does not list its batches either, nothing is sent again without being asked.
    batch_server.n_unheard = 1
    batch_server.refuses = lambda handler, path: (
        handler.command == "GET"
        and path == "/v1/batches"
        and not handler.reply(404, {"error": {"message": "no lists"}})
    )
    more = [make_request("q")]
    for _ in range(2):
        with pytest.raises(BackendError, match=r"does not say whether it has the batch .*no lists"):
            answers(make(), more)
    assert len(batch_server.batches) == 2
    batch_server.refuses = lambda handler, path: False
    assert answers(make(), more)["q"].text == "answer to q"
    assert set(batch_server.paid.values()) == {1}


def test_failed_lines_are_failures_and_sent_again_by_the_next_run(
    batch_server, make, make_request, tmp_path
):
    def line(prompt, good):
        number = int(prompt[1:])
        failed = good | {"response": {"status_code": 500, "body": {"error": {"message": "oops"}}}}
        unreadable = good | {"response": {"status_code": 200, "body": {"choices": []}}}
        expired = {
            "custom_id": good["custom_id"], "response": {"status_code": 0},
            "error": {"code": "batch_expired", "message": "too late"},
        }  # fmt: skip
        return {1: failed, 2: unreadable, 3: expired, 4: None, 5: "{no json"}.get(number, good)

    batch_server.line = line
    requests = prompts(make_request, 8)
    with Ledger(tmp_path / "calls.jsonl") as ledger:
        asker = Asker(backend=make(), ledger=ledger)
        found = {a.request.prompt: a.result for a in asker(requests)}
        assert [prompt for prompt, r in found.items() if isinstance(r, Reply)] == ["p0", "p6", "p7"]
        assert found["p1"] == Failure(reason="500: oops")
        assert found["p2"].reason.startswith("the answer cannot be read: no choices")
        assert found["p3"] == Failure(reason="too late")
        assert found["p4"] == found["p5"] == Failure(reason="the batch ended as completed")
        batch_server.line = lambda prompt, good: good
        assert all(isinstance(a.result, Reply) for a in asker(requests))
    # The body of p2 was paid for and is of no use; all others were paid for once.
    assert {p: n for p, n in batch_server.paid.items() if n > 1} == {"p2": 2}


@pytest.mark.parametrize("ending", ["failed", "expired", "cancelled"])
def test_how_a_batch_ended_is_said(batch_server, make, make_request, ending):
    batch_server.ending = ending
    batch_server.line = lambda prompt, good: good if prompt == "p0" else None
    found = answers(make(), prompts(make_request, 3))
    words = f"the batch ended as {ending}" + ": line 3 is not valid" * (ending == "failed")
    assert found["p2"] == Failure(reason=words)
    assert isinstance(found["p0"], Reply) == (ending != "failed")
    batch_server.ending, batch_server.line = "completed", lambda prompt, good: good
    assert all(isinstance(r, Reply) for r in answers(make(), prompts(make_request, 3)).values())
    assert set(batch_server.paid.values()) == {1}


@pytest.mark.parametrize("takes", ["max_completion_tokens", "neither"])
def test_the_parameter_that_the_server_wants_is_found(batch_server, make, make_request, takes):
    def line(prompt, good):
        used = next(key for key in batch_server.bodies[-1] if key.startswith("max_"))
        said = {"error": {"message": f"Unsupported parameter: '{used}'"}}
        refused = good | {"response": {"status_code": 400, "body": said}}
        return good if used == takes else refused

    batch_server.line = line
    found = answers(make(), prompts(make_request, 3))
    if takes == "neither":
        assert set(found.values()) == {
            Failure(reason="400: Unsupported parameter: 'max_completion_tokens'")
        }
    else:
        assert all(isinstance(result, Reply) for result in found.values())
    assert len(batch_server.batches) == 2


@pytest.mark.parametrize(
    ("status", "body", "path", "message"),
    [
        (401, {"error": {"message": "wrong key"}}, "/v1/files", "refuses batches: 401: wrong key"),
        (404, {"detail": "Not Found"}, "/v1/files", "refuses batches: 404: Not Found"),
        (400, {"error": {"message": "no money"}}, "/v1/batches", "batches: 400: no money"),
        (200, {}, "/v1/files", "takes no files for batches"),
        (404, {"error": {"message": "gone"}}, "/v1/batches/batch-0", "no longer knows .* gone"),
    ],
)
def test_what_the_server_says_is_said(
    batch_server, make, make_request, status, body, path, message
):
    batch_server.refuses = lambda handler, asked: asked == path and not handler.reply(status, body)
    with pytest.raises(BackendError, match=message):
        answers(make(), [make_request("p0")])
    assert not batch_server.paid


def test_a_server_without_batches_is_given_up_after_some_attempts(batch_server, make, make_request):
    batch_server.refuses = lambda handler, path: (
        path == "/v1/batches"
        and handler.command == "POST"
        and not handler.reply(503, {"error": {"message": "busy"}})
    )
    waits = Waits()
    with pytest.raises(BackendError, match="refuses batches: 503: busy"):
        answers(make(waits), [make_request("p0")])
    assert len(waits) == batch.CREATIONS
    batch_server.refuses = lambda handler, path: False
    assert answers(make(), [make_request("p0")])["p0"].text == "answer to p0"
    assert len(batch_server.files) == 2  # the requests were uploaded once, and the answers


def test_answers_are_those_of_the_same_server_without_batches(batch_server, make, tmp_path):
    assert make().name == make().server.name
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.json").write_text(json.dumps({"keys": []}))
    with pytest.raises(BackendError, match=r"x.json does not name a batch"):
        answers(make(), [])
