"""`datawall augment` as a user runs it: on a folder of files, killed, interrupted and resumed."""

import json
import os
import signal
import subprocess
import sys
from time import sleep

import pytest

from experiments.cli.app import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_INTERRUPTED, main
from models.text.corpora import load_corpus

ENTITIES = [f"E{i}" for i in range(8)]


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text(
        "The notes of Ada Lovelace are long. She met Charles Babbage in London.", encoding="utf-8"
    )
    (folder / "b.txt").write_text(
        "In winter the Thames froze. Many people of London walked on it.", encoding="utf-8"
    )
    return folder


@pytest.fixture
def server():
    pytest.importorskip("openai")
    from tests.models.augment.chat_server import chat_server

    with chat_server() as server:
        server.answer = lambda prompt: (
            json.dumps({"summary": "In short.", "entities": ENTITIES})
            if "JSON" in prompt
            else f"text of {len(prompt)} letters"
        )
        yield server


def lines(out):
    return (out / "texts.jsonl").read_text(encoding="utf-8").splitlines()


def test_what_is_left_out_or_cut_is_said(texts, tmp_path, capsys):
    for i in range(8):
        (texts / f"blank{i}.txt").write_text("\n", encoding="utf-8")
    (texts / "long.txt").write_text("One sentence of five words. " * 60, encoding="utf-8")
    command = ["augment", "rephrase", str(texts), "--out", str(tmp_path / "out"), "--dry-run"]
    assert main([*command, "--chunk-tokens", "100"]) == 0
    error = capsys.readouterr().err
    assert f"blank text left out: {texts / 'blank0.txt'}\n" in error
    assert error.count("blank text left out") == 6
    assert "blank text left out: 3 more" in error
    assert "text split to fit the context: long.txt, 4 chunks" in error


@pytest.mark.parametrize("method", ["entigraph", "rephrase"])
def test_the_template_writer_needs_nothing_and_texts_can_be_trained_on(
    texts, tmp_path, capsys, method
):
    out = tmp_path / "out"
    command = ["augment", method, str(texts), "--out", str(out)]
    assert main([*command, "--dry-run", "--price-prompt", "1000", "--price-reply", "2000"]) == 0
    said = capsys.readouterr().out
    assert "calls" in said
    assert "at most" in said
    assert not out.exists()
    assert main([*command, "--parquet"]) == 0
    said = capsys.readouterr().out
    assert f"{len(lines(out))} new texts" in said
    assert "novel_ngrams" in said
    assert len(load_corpus(f"files:{out}").documents) == len(lines(out))
    before = lines(out)
    assert main(command) == 0
    assert "0 new texts" in capsys.readouterr().out
    assert lines(out) == before
    for line in before:
        assert set(json.loads(line)["metadata"]["source_ids"]) <= {"a.txt", "b.txt"}


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_what_any_sequence_of_commands_wrote_loads_in_datasets(texts, tmp_path, turn):
    """Types come from the first block, here of a few lines."""
    datasets = pytest.importorskip("datasets")
    (tmp_path / "poem.txt").write_text("A poem on [[DOCUMENT]]", encoding="utf-8")
    commands = [["entigraph"], ["rephrase", "--styles", "qa"]]
    commands.append(["rephrase", "--prompt", str(tmp_path / "poem.txt")])
    out, folder = tmp_path / "out", str(tmp_path / "cache")
    for method, *options in commands[turn:] + commands[:turn]:
        command = ["augment", method, str(texts), "--out", str(out), "--no-quality", "--parquet"]
        assert main([*command, *options]) == 0
    written = [json.loads(line) for line in lines(out)]
    assert {record["metadata"]["method"] for record in written} == {"entigraph", "rephrase"}
    parquet = str(out / ".augment" / "texts.parquet")
    settings = {"split": "train", "cache_dir": folder}
    for rows in (
        datasets.load_dataset(
            "json", data_files=str(out / "texts.jsonl"), chunksize=512, **settings
        ),
        datasets.load_dataset("parquet", data_files=parquet, **settings),
    ):
        assert rows.to_list() == written


def test_a_missing_key_is_named(texts, tmp_path, capsys, monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.delenv("MY_KEY", raising=False)
    command = ["augment", "rephrase", str(texts), "--out", str(tmp_path / "out")]
    model = ["--backend", "openai", "--model", "m", "--api-key-variable", "MY_KEY"]
    assert main([*command, *model]) == EXIT_FAILED
    assert "set the environment variable MY_KEY" in capsys.readouterr().err


def test_what_the_user_gets_wrong_is_said_in_a_sentence(texts, tmp_path, capsys):
    out = str(tmp_path / "out")

    def said(*arguments):
        status = main(["augment", *map(str, arguments), "--out", out])
        return status, capsys.readouterr().err

    status, error = said("rephrase", texts, "--backend", "openai")
    assert (status, error) == (EXIT_BAD_INPUT, "datawall: --backend openai needs --model\n")
    status, error = said("rephrase", tmp_path / "nowhere")
    assert status == EXIT_BAD_INPUT
    assert "no such file or folder" in error
    status, error = said("rephrase", texts, "--backend", "ours", "--model", tmp_path / "nowhere")
    assert status != 0
    assert "nowhere" in error
    for method in ("rephrase", "sbp"):
        assert main(["augment", method, str(texts), "--out", str(texts / "new")]) == EXIT_BAD_INPUT
        assert "must not lie in the input" in capsys.readouterr().err
    (texts / "c.bin").write_bytes(b"\x00\x01")
    status, error = said("entigraph", texts)
    assert status == EXIT_BAD_INPUT
    assert "c.bin is binary" in error
    with pytest.raises(SystemExit):
        main(["augment", "rephrase", str(texts), "--out", out, "--styles", "epic"])


def save_ours(folder):
    from models.config import ModelConfig
    from models.language.language_model import LanguageModel
    from models.training.train import init_params
    from tests.models.augment.tiny import byte_tokenizer

    model = ModelConfig.from_width(8, vocab_size=257, context=640, n_layers=1)
    params = init_params(model, 0)
    LanguageModel(model=model, params=params, tokenizer=byte_tokenizer()).save(folder)


def save_hf(folder):
    from tests.models.augment.tiny import save_tiny_llama

    save_tiny_llama(folder, n_positions=640)


@pytest.mark.long
@pytest.mark.parametrize(("backend", "save"), [("ours", save_ours), ("hf", save_hf)])
def test_models_on_this_machine_write(texts, tmp_path, capsys, backend, save):
    save(tmp_path / "model")
    out = tmp_path / "out"
    command = [
        "augment", "rephrase", str(texts), "--out", str(out), "--backend", backend,
        "--model", str(tmp_path / "model"), "--styles", "easy", "medium", "--tokens", "16",
    ]  # fmt: skip
    assert main(command) == 0
    before = lines(out)
    # An untrained model writes noise; what is only white space is a failure, and said to be.
    n_failed = len((out / ".augment" / "failed.jsonl").read_text().splitlines())
    assert len(before) + n_failed == 4
    assert before
    assert json.loads(before[0])["metadata"]["model"].endswith("model")
    capsys.readouterr()
    assert main(command) == 0
    assert "0 new texts" in capsys.readouterr().out
    assert lines(out) == before


def test_a_server_that_fails_every_request_ends_in_status_1_with_its_words(
    server, texts, tmp_path, capsys
):
    server.fault = lambda handler, prompt: handler.reply(400, {"detail": "no such thing"}) is None
    command = command_against(server, texts, tmp_path / "out")[3:]
    assert main(command) == EXIT_FAILED
    said = capsys.readouterr().out
    assert "2 requests without a text" in said
    assert "  2: 400: no such thing\n" in said
    server.fault = lambda handler, prompt: False
    assert main(command) == 0


def test_a_maximum_cost_is_kept_and_said(server, texts, tmp_path, capsys):
    """An answer costs 7 + 3 tokens here, but may cost 1,024 and its prompt until it is there."""
    out = tmp_path / "out"
    command = command_against(server, texts, out)[3:]
    assert main([*command, "--max-cost", "1"]) == EXIT_BAD_INPUT
    assert "--max-cost needs --price-prompt" in capsys.readouterr().err
    prices = ["--price-prompt", "1e6", "--price-reply", "1e6"]
    assert main([*command, *prices, "--max-cost", "1500"]) == 0
    said = capsys.readouterr().out
    n_calls = server.calls.total()
    assert f"{2 * (1 + 28) - n_calls:,} requests were not sent" in said
    assert f"all answers so far cost {10 * n_calls:,.2f}" in said
    assert 2 < n_calls < 2 * (1 + 28)
    assert main([*command, *prices, "--max-cost", "5"]) == 0
    assert server.calls.total() == n_calls
    assert main(command) == 0
    assert server.calls.total() == 2 * (1 + 28)


def test_a_preview_shows_requests_and_pays_nothing(server, texts, tmp_path, capsys):
    out = tmp_path / "out"
    command = command_against(server, texts, out)[3:]
    assert main([*command, "--preview", "3"]) == 0
    said = capsys.readouterr().out
    assert said.count("--- request ") == 3
    assert "--- request 1: entities, source a.txt\n" in said
    assert "She met Charles Babbage in London." in said
    assert "--- answer" not in said
    # Fewer requests than documents.
    assert main([*command, "--preview", "1"]) == 0
    assert capsys.readouterr().out.count("--- request ") == 1
    assert not server.calls
    assert not out.exists()
    style = tmp_path / "style.txt"
    style.write_text("As a poem: [[DOCUMENT]]", encoding="utf-8")
    rephrase = ["augment", "rephrase", str(texts), "--out", str(out), "--prompt", str(style)]
    assert main([*rephrase, "--preview", "1"]) == 0
    said = capsys.readouterr().out
    assert "--- request 1: own-style, source a.txt\nAs a poem: The notes" in said
    assert "--- answer 1, stop\n" in said
    assert main(rephrase) == 0
    assert {json.loads(line)["metadata"]["task"] for line in lines(out)} == {"own-style"}


def test_batches_write_what_single_requests_write(server, texts, tmp_path, capsys):
    from tests.models.augment.batch_server import BatchServer
    from tests.models.augment.chat_server import chat_server

    whole = tmp_path / "whole"
    assert main(command_against(server, texts, whole)[3:]) == 0
    with chat_server(BatchServer) as batched:
        batched.answer = server.answer
        out = tmp_path / "out"
        command = [*command_against(batched, texts, out)[3:], "--batch"]
        assert main(command) == 0
        said = capsys.readouterr().err
        # The entities of all documents, and then all pairs.
        assert "batch batch-0: completed, 2 of 2 answered\n" in said
        assert "batch batch-1: completed, 56 of 56 answered\n" in said
        assert len(batched.batches) == 2
        assert {json.loads(x)["text"] for x in lines(out)} == {
            json.loads(x)["text"] for x in lines(whole)
        }
        before = lines(out)
        assert main(command) == 0
        assert lines(out) == before
        assert set(batched.paid.values()) == {1}
        # Fewer at a time under a maximum cost, which each answer of 10 may reach with 1,024.
        prices = ["--price-prompt", "1e6", "--price-reply", "1e6", "--max-cost", "1900"]
        assert main([*command, "--seed", "1", *prices]) == 0
        assert "requests were not sent" in capsys.readouterr().out
        assert 2 + 56 < batched.paid.total() < 2 * (2 + 56)
    assert main([*command[:4], str(tmp_path / "none"), "--batch"]) == EXIT_BAD_INPUT
    assert "--batch needs --backend openai" in capsys.readouterr().err


def test_a_judge_keeps_texts_and_asks_for_nothing_twice(server, texts, tmp_path, capsys):
    server.answer = lambda prompt: (
        '{"reason": "clear", "score": 5}' if "Lovelace" in prompt else '{"score": 2}'
    )
    out = tmp_path / "out"
    command = [
        "augment", "filter", str(texts), "--out", str(out), "--backend", "openai", "--model", "m",
        "--base-url", server.url,
    ]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"1 texts kept: {out / 'texts.jsonl'}\n1 dropped" in said
    assert [json.loads(line)["id"] for line in lines(out)] == ["a.txt"]
    assert server.bodies[0]["temperature"] == 0
    assert main([*command, "--least-score", "2"]) == 0
    assert [json.loads(line)["id"] for line in lines(out)] == ["a.txt", "b.txt"]
    assert server.calls.total() == 2
    server.fault = lambda handler, prompt: handler.reply(400, {"detail": "no such thing"}) is None
    assert main([*command, "--seed", "1"]) == EXIT_FAILED
    assert "2 without a judgement" in capsys.readouterr().out
    for wrong, message in [
        (["--backend", "template"], "template cannot judge"),
        (["--backend", "ours"], "--most-loss belongs to --backend ours"),
    ]:
        assert main([*command[:5], *wrong]) == EXIT_BAD_INPUT
        assert message in capsys.readouterr().err


def test_a_judge_reads_the_source_beside_the_text(server, texts, tmp_path, capsys):
    """A wrong name can be found only so; of a source too long, the judge reads what is nearest."""
    weather = "The weather of that week was like that of any other week. " * 600
    (texts / "b.txt").write_text(
        weather + "\n\nIn winter the Thames froze.\n\n" + weather, encoding="utf-8"
    )
    new, out = tmp_path / "new.jsonl", tmp_path / "out"
    written = {"a": "Ada Lovelace met Charles Babbage.", "a2": "Ada met Isaac Newton.",
               "b": "The Thames froze in winter."}  # fmt: skip
    records = [
        {"id": id, "text": text, "metadata": {"source_ids": [f"{id[0]}.txt"]}}
        for id, text in written.items()
    ]
    new.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")

    def answer(prompt):
        source, text = prompt.split('"""')[1::2]
        names = {word.strip(".") for word in text.split() if word.istitle()} - {"The"}
        return json.dumps({"reason": "names", "score": 5 if all(n in source for n in names) else 1})

    server.answer = answer
    command = [
        "augment", "filter", str(new), "--source", str(texts), "--out", str(out), "--backend",
        "openai", "--model", "m", "--base-url", server.url, "--context", "4000",
    ]  # fmt: skip
    assert main(command) == 0
    assert "2 texts kept" in capsys.readouterr().out
    assert [json.loads(line)["id"] for line in lines(out)] == ["a", "b"]
    long = next(p for p in map(str, server.bodies) if "The Thames froze in winter" in p)
    assert "In winter the Thames froze." in long
    assert "[...]" in long
    assert len(long) < 12_000 < len(weather)
    assert main([*command, "--context", "900", "--seed", "1"]) == EXIT_BAD_INPUT
    assert "reads 900 tokens, but a prompt takes" in capsys.readouterr().err
    own = tmp_path / "own.txt"
    own.write_text('"""[[SOURCE]]""" Says it """[[DOCUMENT]]"""?', encoding="utf-8")
    assert main([*command, "--prompt", str(own)]) == 0
    assert "2 texts kept" in capsys.readouterr().out


@pytest.mark.long
def test_a_model_trained_here_keeps_what_it_finds_probable(texts, tmp_path, capsys):
    from models.evals.perplexity import evaluate_texts
    from models.language.language_model import LanguageModel

    save_ours(tmp_path / "model")
    model = LanguageModel.load(tmp_path / "model")
    loss = {
        path.name: evaluate_texts(model, [path.read_text()]).loss.value for path in texts.iterdir()
    }
    best = min(loss, key=loss.get)
    out = tmp_path / "out"
    command = ["augment", "filter", str(texts), "--out", str(out), "--backend", "ours"]
    between = str(sum(loss.values()) / 2)
    assert main([*command, "--model", str(tmp_path / "model"), "--most-loss", between]) == 0
    assert [json.loads(line)["id"] for line in lines(out)] == [best]
    decided = (out / ".augment" / "judgements.jsonl").read_text().splitlines()
    assert {json.loads(line)["id"]: json.loads(line)["score"] for line in decided} == loss


def command_against(server, texts, out):
    return [
        sys.executable, "-m", "experiments.cli.app", "augment", "entigraph", str(texts), "--out",
        str(out), "--backend", "openai", "--model", "m", "--base-url", server.url,
        "--concurrency", "4", "--no-quality",
    ]  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_and_resumed_it_ends_as_if_undisturbed(server, texts, tmp_path, how):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    arguments = command_against(server, texts, whole)
    assert main(arguments[3:]) == 0
    n_calls = server.calls.total()
    assert n_calls == 2 * (1 + 28)
    server.calls.clear()
    # What is asked after the signal takes so long that the command handles it first.
    server.fault = lambda handler, prompt: sleep(0.0 if server.calls.total() <= 12 else 1.0)
    with subprocess.Popen(
        command_against(server, texts, broken), stderr=subprocess.PIPE, text=True
    ) as process:
        while server.calls.total() < 12:
            assert process.poll() is None, process.stderr.read()
            sleep(0.02)
        os.kill(process.pid, how)
        process.communicate(timeout=300)
    assert process.returncode == (EXIT_INTERRUPTED if how == signal.SIGINT else -how)
    n_before = server.calls.total()
    assert n_before < n_calls
    server.fault = lambda handler, prompt: False
    assert main(command_against(server, texts, broken)[3:]) == 0
    assert lines(broken) == lines(whole)
    # Interrupted, it waits for the answers that are under way; killed, it cannot.
    n_lost = server.calls.total() - n_calls
    assert n_lost == 0 if how == signal.SIGINT else n_lost <= 4
