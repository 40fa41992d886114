"""Documents with rationales: what is asked, in which order they are joined, what a failure does."""

import pytest

from models.augment.writing.documents import Chunk
from models.augment.writing.rationales import NOTHING_BEFORE, Rationales, with_rationales
from models.augment.writing.requests import Answer, FailedRequest, Failure, Reply


def chunks(name, *texts):
    return [
        Chunk(source_id=name, part=part, n_parts=len(texts), text=text)
        for part, text in enumerate(texts)
    ]


def test_each_passage_follows_a_rationale_written_for_it():
    asked = []

    def ask(requests):
        for request in requests:
            asked.append(request)
            before = request.prompt.split('"""')[1].strip()
            finish = "length" if request.document == "two" else "stop"
            yield Answer(request, Reply(text=f"{before} > {request.document}", finish=finish))

    documents = [*chunks("a", "one", "two", "three"), *chunks("b", "only")]
    settings = Rationales(n_samples=2, seed=3)
    found = list(with_rationales(documents, ask, settings, writer="w"))
    text = f"{NOTHING_BEFORE} > one\n\none\n\none > two\n\ntwo\n\ntwo > three\n\nthree"
    assert [one.text for one in found[:2]] == [text, text]
    assert [one.text for one in found[2:]] == [f"{NOTHING_BEFORE} > only\n\nonly"] * 2
    assert [one.metadata["source_ids"] for one in found] == [["a"], ["a"], ["b"], ["b"]]
    assert [one.metadata["finish"] for one in found] == ["length", "length", "stop", "stop"]
    assert len({one.id for one in found}) == 4
    assert len({request.key("w") for request in asked}) == len(asked) == 8
    assert found[0].metadata["joined"].splitlines() == [one.key("w") for one in asked[:3]]


def test_a_document_without_one_of_its_rationales_is_a_failure():
    def ask(requests):
        for request in requests:
            failed = request.document == "two"
            yield Answer(request, Failure(reason="busy") if failed else Reply(text="So."))

    documents = [*chunks("a", "one", "two", "three"), *chunks("b", "only")]
    failed, found = with_rationales(documents, ask, Rationales(), writer="w")
    assert isinstance(failed, FailedRequest)
    assert (failed.request.source_id, failed.request.part, failed.reason) == ("a", 1, "busy")
    assert found.text == "So.\n\nonly"
    with pytest.raises(ValueError, match="n_samples must be at least 1; not 0"):
        Rationales(n_samples=0)
