"""Rephrasing and EntiGraph, asked once for each text, killed and resumed."""

import hashlib
import itertools
import json

import pytest

from models.augment.backends.openai import OpenAIBackend
from models.augment.backends.template import names_in
from models.augment.texts.records import Record
from models.augment.writing.asking import Asker, Estimator, Prices
from models.augment.writing.documents import Chunk
from models.augment.writing.entigraph import EntiGraph, combinations, entigraph, parsed_entities
from models.augment.writing.ledger import Ledger
from models.augment.writing.output import OutputFolder, write_outcomes
from models.augment.writing.prompts import (
    CHUNKWISE_VERSION,
    PROMPT_VERSION,
    PROMPTS,
    STYLES,
    OwnPrompt,
    continued,
    prompt_of,
)
from models.augment.writing.rephrase import Rephrase, rephrase
from models.augment.writing.requests import FailedRequest, Failure, Reply
from tests.models.augment.scripted import Scripted, Stop


def chunk(name: str, text: str = "Ada met Charles.", part: int = 0) -> Chunk:
    return Chunk(source_id=name, part=part, n_parts=1, text=text)


DOCUMENTS = [chunk(name, f"About {name}.") for name in ("x", "y", "z")]


def entities_json(*names):
    return json.dumps({"summary": "In short.", "entities": names})


def writes(request):
    names = [f"{request.source_id}{i}" for i in range(4)]
    return entities_json(*names) if request.task == "entities" else f"text on {request.entities}"


@pytest.fixture
def ask(tmp_path):
    """Makes askers that share one ledger."""
    with Ledger(tmp_path / "calls") as ledger:
        yield lambda backend: Asker(backend=backend, ledger=ledger)


def run(method, backend, ask, settings, documents=DOCUMENTS):
    outcomes = list(method(iter(documents), ask(backend), settings, writer=backend.name))
    return [o for o in outcomes if isinstance(o, Record)], [
        o for o in outcomes if isinstance(o, FailedRequest)
    ]


def test_every_document_is_rephrased_in_every_style_and_says_where_from(ask):
    backend = Scripted(lambda request: f"{request.task} {request.source_id} {request.seed}")
    texts, failed = run(rephrase, backend, ask, Rephrase(n_samples=2, seed=3))
    assert not failed
    assert len({text.id for text in texts}) == len(texts) == 3 * len(STYLES) * 2
    seen = {(t.metadata["source_ids"][0], t.metadata["task"], t.metadata["seed"]) for t in texts}
    assert len(seen) == len(texts)
    first = texts[0]
    assert first.text == "easy x 3000000"
    assert first.metadata == {
        "method": "rephrase", "task": "easy", "source_ids": ["x"], "part": 0, "entities": "",
        "model": "scripted", "prompt_version": "1", "seed": 3000000, "finish": "stop",
        "joined": "",
    }  # fmt: skip
    # What is asked again is not paid for again; more samples only add to fewer.
    again = Scripted(lambda request: "another")
    assert run(rephrase, again, ask, Rephrase(n_samples=2, seed=3))[0] == texts
    assert not again.asked
    more, _ = run(rephrase, again, ask, Rephrase(n_samples=3, seed=3))
    assert len(again.asked) == 3 * len(STYLES)
    assert {t.id for t in texts} < {t.id for t in more}


def test_entigraph_writes_on_every_pair_and_on_sampled_triples(ask):
    backend = Scripted(writes)
    texts, failed = run(entigraph, backend, ask, EntiGraph(n_triples=2))
    assert not failed
    tasks = [text.metadata["task"] for text in texts]
    assert tasks.count("summary") == 3
    assert tasks.count("pair") == 3 * 6
    assert tasks.count("triple") == 3 * 2
    listed = (t.metadata["entities"] for t in texts if t.metadata["source_ids"] == ["y"])
    pairs = [names.splitlines() for names in listed]
    expected = [[*p] for p in itertools.combinations(["y0", "y1", "y2", "y3"], 2)]
    assert [p for p in pairs if len(p) == 2] == expected
    few, _ = run(entigraph, backend, ask, EntiGraph(max_entities=3, max_pairs=2))
    assert [t.metadata["task"] for t in few].count("pair") == 3 * 2
    # Which entities are named was known before.
    assert [r.task for r in backend.asked].count("entities") == 3


def test_broken_json_is_repaired_once_or_fails_and_the_others_go_on(ask):
    def answer(request):
        if request.task == "entities":
            return {"x": '{"summary": "cut of', "y": "no JSON at all"}.get(
                request.source_id, writes(request)
            )
        if request.task == "repair":
            assert request.document in request.prompt
            return entities_json("A", "B") if request.source_id == "x" else "{still broken"
        return "a text"

    backend = Scripted(answer)
    texts, failed = run(entigraph, backend, ask, EntiGraph())
    assert [r.task for r in backend.asked].count("repair") == 2
    assert [(f.request.source_id, f.is_final) for f in failed] == [("y", True)]
    assert "no JSON" in failed[0].reason
    assert {t.metadata["source_ids"][0] for t in texts} == {"x", "z"}
    run(entigraph, backend, ask, EntiGraph())
    assert [r.task for r in backend.asked].count("repair") == 2


def test_refusals_and_empty_answers_are_final_and_lost_calls_are_not(ask):
    def answer(request):
        return {
            "x": Reply(text="not I", finish="refusal"),
            "y": Failure(reason="500: internal"),
        }.get(request.source_id, "  ")

    backend = Scripted(answer)
    for n_asked in (3, 4):
        texts, failed = run(rephrase, backend, ask, Rephrase(styles=("easy",)))
        assert not texts
        assert {(f.request.source_id, f.reason, f.is_final) for f in failed} == {
            ("x", "refused: not I", True), ("y", "500: internal", False),
            ("z", "the answer is empty", True),
        }  # fmt: skip
        assert len(backend.asked) == n_asked
    _, failed = run(entigraph, backend, ask, EntiGraph())
    assert {f.request.source_id for f in failed} == {"x", "y", "z"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"summary": "s", "entities": ["a", "b"]}', ("a", "b")),
        ('Sure!\n```json\n{"summary": "s", "entities": ["a", " b ", "a", "", 3]}\n```', ("a", "b")),
        ('{"x": {"summary": "s", "entities": ["a"]}}', ("a",)),
        ('{"summary": "s", "entities": "a, b"}', None),
        ('{"summary": "s", "entities": ["a", "b"', None),
        ('{"entities": ["a"]}', None),
        ("[]", None),
        (
            '{"summary": "s", "entities": [{"name": "Ada", "type": "person"}, {"entity": "b"}]}',
            ("Ada", "b"),
        ),
        (
            '{"summary": "s", "entities": {"people": ["Ada"], "things": [{"name": "b"}]}}',
            ("Ada", "b"),
        ),
        ('{"summary": "s", "entities": {"Ada": "person", "b": "thing"}}', ("Ada", "b")),
        (
            '{"summary": "s", "entities": ["DNA", "ＤＮＡ", "dna", "ß", "SS", "a  b", "a b"]}',
            ("DNA", "ß", "a b"),
        ),
        (
            '{"summary": "...", "entities": ["...", "..."]} {"summary": "s", "entities": ["a"]}',
            ("a",),
        ),
        ('{"summary": "s", "entities": [{"kind": 3}]}', None),
        ('{"summary": "s", "entities": []}', ()),
        ("{" * 5000, None),
    ],
)
def test_entities_are_read_wherever_they_stand(text, names):
    found = parsed_entities(text)
    assert (found.names if found else None) == names


def test_reasoning_is_no_part_of_what_is_parsed_or_stored(ask):
    draft = entities_json("draft", "of a list")

    def answer(request):
        text = entities_json("A", "B") if request.task == "entities" else "The text."
        return f"<think>{draft}</think>\n{text}"

    backend = Scripted(answer)
    texts, failed = run(entigraph, backend, ask, EntiGraph(), DOCUMENTS[:1])
    assert not failed
    assert [(t.text, t.metadata["entities"]) for t in texts] == [
        ("In short.", ""), ("The text.", "A\nB")
    ]  # fmt: skip
    cut = Scripted(lambda request: Reply(text="<think>for long", finish="length"))
    texts, (failure,) = run(entigraph, cut, ask, EntiGraph(seed=1), DOCUMENTS[:1])
    assert (texts, failure.is_final) == ([], True)
    assert "within its reasoning: allow more tokens" in failure.reason
    assert [r.task for r in cut.asked] == ["entities"]


def test_a_document_without_two_entities_is_said_to_have_no_pairs(ask):
    backend = Scripted(lambda request: entities_json("DNA", "dna"))
    texts, (failure,) = run(entigraph, backend, ask, EntiGraph(), DOCUMENTS[:1])
    assert [text.metadata["task"] for text in texts] == ["summary"]
    assert failure.reason == "no pairs: the answer names 1 different entities"


def test_the_cost_never_exceeds_its_maximum_even_over_several_runs(tmp_path):
    """A reply may take all 50 tokens it is allowed; each costs 1, each word of a prompt too."""

    def answer(request):
        words = len(request.prompt.split())
        return Reply(text="t", n_prompt_tokens=words, n_reply_tokens=50)

    prices, spent = Prices(prompt=1e6, reply=1e6, most=1000), []
    for _ in range(3):
        backend = Scripted(answer)
        with Ledger(tmp_path / "calls") as ledger:
            asker = Asker(backend=backend, ledger=ledger, prices=prices)
            _, failed = run(rephrase, backend, lambda _, a=asker: a, Rephrase(n_tokens=50))
            spent.append(asker.cost)
        assert asker.tally.n_unaffordable == len(failed) > 0
        assert {f.reason for f in failed} == {"not sent, because of the maximum cost"}
    # The cheapest request left would not have fitted.
    assert 1000 - 50 - 100 < spent[0] <= 1000
    assert spent[1:] == spent[:1] * 2
    for wrong in ({"prompt": -1.0}, {"most": float("nan")}):
        with pytest.raises(ValueError, match="must not be negative"):
            Prices(**wrong)


def test_own_prompts_are_filled_in_and_known_by_their_hash(ask, tmp_path):
    path = tmp_path / "poem.txt"
    path.write_text("\ufeffOf {x} [[NAME]]: [[DOCUMENT]]", encoding="utf-8")
    own = OwnPrompt.read(path)
    document = chunk("x", "a text with [[NAME]] and {y}")
    backend = Scripted(lambda request: request.prompt)
    settings = Rephrase(styles=(), own=(own,))
    (text,), _ = run(rephrase, backend, ask, settings, [document])
    assert text.text == "Of {x} x: a text with [[NAME]] and {y}"
    assert (text.metadata["task"], text.metadata["prompt_version"]) == ("own-poem", own.version)
    digest = hashlib.sha256(b"Of {x} [[NAME]]: [[DOCUMENT]]").hexdigest()
    assert own.version.removeprefix("sha256:") == digest[:16]
    with pytest.raises(ValueError, match="different names"):
        Rephrase(own=(own, own))
    path.write_bytes(b"no mark")
    with pytest.raises(ValueError, match=r"poem\.txt has no \[\[DOCUMENT\]\]"):
        OwnPrompt.read(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="is not UTF-8"):
        OwnPrompt.read(path)


def test_combinations_are_drawn_uniformly_without_replacement():
    import numpy as np

    assert list(combinations(4, 2, None, np.random.default_rng(0))) == [
        *itertools.combinations(range(4), 2)
    ]
    counts = dict.fromkeys(itertools.combinations(range(5), 3), 0)
    for seed in range(400):
        drawn = list(combinations(5, 3, 4, np.random.default_rng(seed)))
        assert len(set(drawn)) == 4
        for chosen in drawn:
            counts[chosen] += 1
    # 160 expected of each; the standard deviation is below 10.
    assert min(counts.values()) > 120
    assert max(counts.values()) < 200
    assert list(combinations(1, 2, 3, np.random.default_rng(0))) == []


def test_a_dry_run_counts_what_a_run_then_asks(ask, tmp_path):
    backend = Scripted(writes)
    guess = Scripted(writes)
    with Ledger(tmp_path / "none", read_only=True) as ledger:
        estimator = Estimator(backend=backend, ledger=ledger, guess=guess)
        list(entigraph(iter(DOCUMENTS), estimator, EntiGraph(n_tokens=50), writer="scripted"))
    assert not backend.asked
    asker = ask(backend)
    list(entigraph(iter(DOCUMENTS), asker, EntiGraph(n_tokens=50), writer="scripted"))
    assert estimator.tally.n_asked == len(backend.asked) == asker.tally.n_asked
    words = sum(len(request.prompt.split()) for request in backend.asked)
    assert estimator.tally.n_prompt_tokens == words
    assert estimator.tally.n_reply_tokens == 3 * 1024 + 18 * 50


def test_names_are_found_in_plain_text():
    text = "The notes of Ada Lovelace. They met in London. London is where Ada Lovelace lived."
    assert names_in(text)[:2] == ["Ada Lovelace", "London"]
    assert names_in("lower case only") == []


def test_every_prompt_is_filled_in():
    for task in PROMPTS:
        entities = ("A", "B") if task == "pair" else ("A", "B", "C")
        prompt = prompt_of(task, name="the name", document="some {text}", entities=entities)
        assert "some {text}" in prompt
        assert task == "repair" or "the name" in prompt
    assert '"A" and "B"' in prompt_of("pair", name="n", document="d", entities=("A", "B"))
    assert '"A", "B" and "C"' in prompt_of(
        "triple", name="n", document="d", entities=("A", "B", "C")
    )


WORDING = {
    "easy": "78bfae97", "medium": "fceffb49", "hard": "ce3480b6", "qa": "11531aa8",
    "lecture": "9bb02153", "dialogue": "5ddf431f", "notes": "6986a8c3", "causes": "8613abd6",
    "practice": "2523df58", "entities": "fcd9fcdd", "repair": "373c47c9", "judge": "9bce5407",
    "faithful": "2f0abe13", "rationale": "2c60f092", "pair": "702b1c27", "triple": "909097da",
}  # fmt: skip
"""Beginnings of the SHA-256 of the prompts of version 1."""


def test_a_prompt_whose_wording_changes_has_a_new_version():
    def digest(text):
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    assert PROMPT_VERSION == "1", "take down the wording of the new version here"
    assert {task: digest(wording) for task, wording in PROMPTS.items()} == WORDING
    assert CHUNKWISE_VERSION == "2"
    assert digest(continued("", "")) == "db82c730"


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="styles must be some of"):
        Rephrase(styles=("easy", "epic"))
    with pytest.raises(ValueError, match="n_samples"):
        Rephrase(n_samples=0)
    with pytest.raises(ValueError, match="max_entities"):
        EntiGraph(max_entities=1)
    with pytest.raises(ValueError, match="negative"):
        EntiGraph(n_triples=-1)


def test_interrupted_again_and_again_it_ends_as_if_undisturbed(server, tmp_path):
    """Over HTTP, broken off after every few answers: each text is paid for once, and all come."""
    server.answer = lambda prompt: (
        entities_json(*"ABCDE") if "JSON" in prompt else f"text of {len(prompt)}"
    )
    backend = OpenAIBackend(model="m", base_url=server.url, concurrency=4)

    def attempt(folder, patience):
        seen = itertools.count(1)

        def on_answer(tally):
            if next(seen) == patience:
                raise Stop

        with Ledger(folder.calls) as ledger:
            asker = Asker(backend=backend, ledger=ledger, on_answer=on_answer)
            outcomes = entigraph(
                iter(DOCUMENTS), asker, EntiGraph(n_triples=2), writer=backend.name
            )
            write_outcomes(outcomes, folder)

    whole = OutputFolder(tmp_path / "whole")
    attempt(whole, patience=10**9)
    n_calls = server.calls.total()
    assert set(server.calls.values()) == {1}
    server.calls.clear()
    broken = OutputFolder(tmp_path / "broken")
    for _ in range(50):
        try:
            attempt(broken, patience=7)
            break
        except Stop:
            pass
    assert broken.texts.read_bytes() == whole.texts.read_bytes()
    # Broken off without warning, it may lose what was under way: at most one call a thread.
    assert server.calls.total() <= n_calls + 4 * (n_calls // 7 + 1)
