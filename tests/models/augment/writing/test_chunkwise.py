"""Chunk-wise rewriting: earlier chunks in the prompt, joined in order, failed and resumed."""

import itertools

import pytest

from models.augment.backends.openai import OpenAIBackend
from models.augment.backends.template import TemplateBackend
from models.augment.texts.records import Record
from models.augment.writing.asking import Asker, Estimator, Previewer
from models.augment.writing.chunkwise import rephrase_chunkwise
from models.augment.writing.documents import Chunk, end_of
from models.augment.writing.ledger import Ledger
from models.augment.writing.output import OutputFolder, write_outcomes
from models.augment.writing.prompts import PERSPECTIVES, PROMPTS, STYLES, OwnPrompt
from models.augment.writing.rephrase import Rephrase, rephrase
from models.augment.writing.requests import Failure, Reply
from tests.models.augment.scripted import Scripted, Stop


def chunks(name, n):
    return [Chunk(source_id=name, part=i, n_parts=n, text=f"Part {i} of {name}.") for i in range(n)]


DOCUMENTS = [*chunks("x", 5), *chunks("y", 1), *chunks("z", 3)]
TWO = Rephrase(styles=("easy", "notes"), n_samples=2, seed=3)


def rewrites(request):
    return f"{request.task} {request.seed % 10}: {request.document}"


def fits(text):
    return len(text.split()) <= 12


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "calls") as ledger:
        yield ledger


def run(backend, ledger, settings=TWO, documents=DOCUMENTS, **options):
    asker = Asker(backend=backend, ledger=ledger)
    return [
        *rephrase_chunkwise(
            iter(documents), asker, settings, writer=backend.name, fits=fits, **options
        )
    ]


@pytest.mark.parametrize("n_together", [1, 2, 64])
def test_chunks_are_joined_in_order_each_after_what_was_rewritten_before(ledger, n_together):
    backend = Scripted(rewrites)
    texts = run(backend, ledger, n_together=n_together)
    assert [(t.metadata["source_ids"], t.metadata["task"], t.metadata["seed"]) for t in texts] == [
        ([name], task, 3_000_000 + sample)
        for name in "xyz" for task in ("easy", "notes") for sample in (0, 1)
    ]  # fmt: skip
    n_parts = {"x": 5, "y": 1, "z": 3}
    for text in texts:
        (name,), task = text.metadata["source_ids"], text.metadata["task"]
        parts = [f"{task} {text.metadata['seed'] % 10}: Part {i} of {name}."
                 for i in range(n_parts[name])]  # fmt: skip
        assert text.text == "\n\n".join(parts)
        # The answers that were joined can be looked up.
        keys = text.metadata["joined"].splitlines()
        assert [ledger.get(key).text for key in keys] == (parts if len(parts) > 1 else [])
        own = [r for r in backend.asked if (r.source_id, r.task, r.seed) == (
            name, task, text.metadata["seed"])]  # fmt: skip
        assert [request.part for request in own] == [*range(len(parts))]
        for request in own:
            before, *_ = request.prompt.partition(request.document)
            # Twelve words are two chunks of six.
            seen = [part in before for part in parts]
            assert seen == [request.part - 2 <= i < request.part for i in range(len(parts))]
    assert len({text.id for text in texts}) == len(texts)
    versions = {text.metadata["prompt_version"] for text in texts if text.metadata["joined"]}
    assert versions == {"1+chunkwise-2"}


def test_a_document_of_one_chunk_is_what_plain_rephrasing_writes_and_costs_nothing_again(ledger):
    backend = Scripted(rewrites)
    plain = [
        *rephrase(chunks("y", 1), Asker(backend=backend, ledger=ledger), TWO, writer="scripted")
    ]
    again = Scripted(rewrites)
    assert run(again, ledger, documents=chunks("y", 1)) == plain
    assert not again.asked


def test_a_failed_chunk_fails_its_text_alone_and_the_next_run_goes_on_there(ledger):
    with Ledger(ledger.path.with_name("other")) as other:
        whole = {text.id: text for text in run(Scripted(rewrites), other)}
    is_down = [True]

    def answer(request):
        if request.source_id == "x" and request.part == 2 and request.task == "easy" and is_down[0]:
            return Failure(reason="503: busy")
        return rewrites(request)

    backend = Scripted(answer)
    found = run(backend, ledger)
    failed = [outcome for outcome in found if not isinstance(outcome, Record)]
    assert [(f.reason, f.is_final, f.request.source_id, f.request.part) for f in failed] == [
        ("503: busy", False, "x", 2)
    ] * 2
    assert [whole[text.id] for text in found if isinstance(text, Record)] == [
        text for text in found if isinstance(text, Record)
    ]
    asked = [(r.source_id, r.part) for r in backend.asked if r.task == "easy"]
    assert ("x", 3) not in asked
    is_down[0] = False
    backend.asked.clear()
    assert {text.id: text for text in run(backend, ledger)} == whole
    assert [r.part for r in backend.asked] == [2, 2, 3, 3, 4, 4]


def test_a_refused_chunk_is_final_and_one_that_is_cut_is_said_to_be(ledger):
    def answer(request):
        if request.source_id == "x":
            return Reply(text="no", finish="refusal") if request.part == 1 else "fine"
        return Reply(text="cut of", finish="length" if request.part == 1 else "stop")

    once = Rephrase(styles=("hard",))
    x, y, z = run(Scripted(answer), ledger, once)
    assert (x.reason, x.is_final, x.request.part) == ("refused: no", True, 1)
    assert (y.metadata["finish"], z.metadata["finish"]) == ("stop", "length")
    again = Scripted(answer)
    assert run(again, ledger, once) == [x, y, z]
    assert not again.asked


def test_own_prompts_go_on_from_earlier_chunks_too(ledger):
    own = OwnPrompt(task="own-poem", template="A poem, {braces}: [[DOCUMENT]]")
    backend = Scripted(lambda request: f"{{verse}} {request.part}")
    (text,) = run(backend, ledger, Rephrase(styles=(), own=(own,)), chunks("z", 3))
    assert text.text == "{verse} 0\n\n{verse} 1\n\n{verse} 2"
    assert text.metadata["prompt_version"] == f"{own.version}+chunkwise-2"
    assert "{verse} 0\n\n{verse} 1" in backend.asked[2].prompt
    assert backend.asked[2].prompt.endswith("A poem, {braces}: Part 2 of z.")


def test_an_estimate_counts_what_is_asked_and_a_preview_ends(ledger, tmp_path):
    backend = TemplateBackend()
    with Ledger(tmp_path / "none", read_only=True) as none:
        estimator = Estimator(backend=backend, ledger=none, guess=backend)
        options = {"settings": TWO, "writer": backend.name, "fits": fits}
        list(rephrase_chunkwise(iter(DOCUMENTS), estimator, **options))
        preview = Previewer(backend=backend, ledger=none, guess=backend, n_shown=14)
        assert not list(rephrase_chunkwise(iter(DOCUMENTS), preview, **options))
    assert [request.part for request, _ in preview.shown] == [0] * 12 + [1] * 2
    run(backend, ledger)
    assert estimator.tally.n_asked == len(ledger) == 9 * 4


def test_what_a_chunk_reads_of_the_text_before_it_does_not_grow_with_it(ledger):
    lengths = {}
    for n in (20, 200):
        read = []

        def spy(text, read=read):
            read.append(len(text))
            return fits(text)

        asker = Asker(backend=Scripted(rewrites), ledger=ledger)
        once = Rephrase(styles=("easy",), seed=n)
        documents = iter(chunks("x", n))
        list(rephrase_chunkwise(documents, asker, once, writer="scripted", fits=spy))
        lengths[n] = sum(read) / n
    assert lengths[200] < 1.5 * lengths[20]


def test_the_end_of_a_text_is_cut_at_a_boundary():
    text = "One two three. Four five six. Seven eight nine. Ten."
    assert end_of(text, lambda part: len(part.split()) <= 5) == "Seven eight nine. Ten."
    assert end_of(text, lambda part: True) == text
    assert end_of("word", lambda part: False) == "d"


def attempts(backend, folder, patience, documents=DOCUMENTS):
    """Run again and again, broken off after every few answers, until it ends."""
    for n_runs in itertools.count(1):
        seen = itertools.count(1)

        def on_answer(tally, seen=seen):
            if next(seen) == patience:
                raise Stop

        try:
            with Ledger(folder.calls) as ledger:
                asker = Asker(backend=backend, ledger=ledger, on_answer=on_answer)
                outcomes = rephrase_chunkwise(
                    iter(documents), asker, TWO, writer=backend.name, fits=fits, n_together=2
                )
                write_outcomes(outcomes, folder)
            return n_runs
        except Stop:
            pass


@pytest.mark.parametrize("patience", [1, 5])
def test_interrupted_again_and_again_nothing_is_lost_or_asked_twice(tmp_path, patience):
    whole, broken = OutputFolder(tmp_path / "whole"), OutputFolder(tmp_path / "broken")
    assert attempts(Scripted(rewrites), whole, patience=0) == 1
    backend = Scripted(rewrites)
    assert attempts(backend, broken, patience) > 36 / patience
    assert broken.texts.read_bytes() == whole.texts.read_bytes()
    assert len(backend.asked) == len({request.key("") for request in backend.asked}) == 36


def test_over_http_an_interrupted_run_ends_as_if_undisturbed(server, tmp_path):
    server.answer = lambda prompt: f"rewritten {prompt.rpartition('Part ')[2][:6]}"
    backend = OpenAIBackend(model="m", base_url=server.url, concurrency=2)
    whole, broken = OutputFolder(tmp_path / "whole"), OutputFolder(tmp_path / "broken")
    attempts(backend, whole, patience=0)
    # Both samples have one prompt; their seeds differ.
    assert server.calls.total() == 36
    assert "Rewritten so far:" in max(server.calls, key=len)
    server.calls.clear()
    n_runs = attempts(backend, broken, patience=7)
    assert broken.texts.read_bytes() == whole.texts.read_bytes()
    # Broken off without warning, it may lose what was under way: a call a thread.
    assert 36 <= server.calls.total() <= 36 + 2 * n_runs


def test_every_style_has_a_prompt_and_all_of_them_differ():
    styles = (*STYLES, *PERSPECTIVES)
    assert len({PROMPTS[style] for style in styles}) == len({*styles}) == 9
