"""Judgements of texts, and what a filter keeps, drops and asks again."""

import json

import pytest

from models.augment.texts.records import Record
from models.augment.writing.documents import Chunk
from models.augment.writing.judging import Judge, Judgement, judge, parsed_score
from models.augment.writing.output import OutputFolder, write_filtered
from models.augment.writing.requests import Answer, FailedRequest, Failure, Reply


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"reason": "clear", "score": 4}', (4.0, "clear")),
        ('```json\n{"score": "4/5",\n "reason": "two\\nlines"}\n```', (4.0, "two lines")),
        ('{"note": 1} {"score": 2.5, "reason": null}', (2.5, "")),
        (" 3. ", (3.0, "")),
        ("5/5", (5.0, "")),
    ],
)
def test_a_score_is_found_in_an_answer(text, wanted):
    assert parsed_score(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "good",
        '{"score": 6}',
        '{"score": true}',
        '{"score": null}',
        '{"score": [4]}',
        "{" * 9999,
        '{"score": NaN}',
        '{"score": 1e999}',
        "10/5",
        "44",
    ],
)
def test_no_score_is_made_up(text):
    score, reason = parsed_score(text)
    assert score is None
    assert reason.startswith("no score from 1 to 5 in the answer")


def chunk(name, part=0, n_parts=1):
    return Chunk(source_id=name, part=part, n_parts=n_parts, text=f"{name} {part}")


def test_a_record_in_parts_has_the_judgement_of_its_worst_part():
    says = {
        "a 0": "4", "b 0": "5", "b 1": "2", "b 2": "3", "c 0": "?", "c 1": "1", "d 0": None,
        "d 1": "5", "e 0": "",
    }  # fmt: skip
    chunks = [
        chunk("a"), *(chunk("b", i, 3) for i in range(3)), chunk("c", 0, 2), chunk("c", 1, 2),
        chunk("d", 0, 2), chunk("d", 1, 2), chunk("e"),
    ]  # fmt: skip

    def ask(requests):
        for request in requests:
            said = says[request.document]
            assert request.document in request.prompt
            yield Answer(request, Failure(reason="busy") if said is None else Reply(text=said))

    a, b, c, d, e = judge(iter(chunks), ask, Judge())
    assert (a, b) == (
        Judgement(id="a", score=4.0, reason=""), Judgement(id="b", score=2.0, reason="")
    )  # fmt: skip
    assert (c.id, c.score) == ("c", None)
    assert isinstance(d, FailedRequest)
    assert (d.reason, d.request.source_id) == ("busy", "d")
    assert isinstance(e, FailedRequest)


def test_kept_and_dropped_are_both_recorded_and_another_threshold_starts_anew(tmp_path):
    records = [Record(id=name, text=f"text {name}", metadata={"n": 1}) for name in "abcd"]
    judgements = [
        Judgement(id="a", score=4.0, reason="fine"),
        Judgement(id="b", score=2.0, reason="poor"),
        Judgement(id="c", score=None, reason="no score"),
    ]
    folder = OutputFolder(tmp_path / "out")
    for least, kept in [(3, "a"), (2, "ab"), (5, "")]:
        written = write_filtered(records, judgements, folder, is_kept=lambda s, m=least: s >= m)
        assert (written.n_kept, written.n_dropped) == (len(kept), 3 - len(kept))
        assert [*folder.records()] == [r for r in records if r.id in kept]
        decided = [json.loads(line) for line in folder.judgements.read_text().splitlines()]
        assert [(d["id"], d["kept"], d["reason"]) for d in decided] == [
            (j.id, j.id in kept, j.reason) for j in judgements
        ]
        dropped = {d["id"]: (d["text"], d["metadata"]) for d in decided if not d["kept"]}
        assert dropped == {i: (f"text {i}", {"n": 1}) for i in "abc" if i not in kept}
    other = OutputFolder(tmp_path / "texts")
    other.root.mkdir()
    other.texts.write_text("precious")
    with pytest.raises(ValueError, match="was not written by a filter"):
        write_filtered(records, judgements, other, is_kept=bool)
    assert other.texts.read_text() == "precious"
