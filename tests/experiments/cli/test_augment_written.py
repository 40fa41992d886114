"""From texts to chunk-wise rewriting, filtering by source, comparison and megadocs, by commands."""

import json

import pytest

from experiments.cli.app import EXIT_BAD_INPUT, main
from tests.models.augment.quality.test_fidelity import PARAPHRASES, TEXTS


@pytest.fixture
def texts(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).with_suffix(".txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def server():
    pytest.importorskip("openai")
    from tests.models.augment.chat_server import chat_server

    with chat_server() as server:
        yield server


def lines(out):
    return [json.loads(line) for line in (out / "texts.jsonl").read_text("utf-8").splitlines()]


def test_rationales_stand_between_the_passages_of_a_text_and_are_stitched(texts, tmp_path, capsys):
    out, mega = tmp_path / "out", tmp_path / "mega"
    command = ["augment", "rationales", str(texts), "--out", str(out), "--no-quality"]
    assert main([*command, "--chunk-tokens", "20", "--samples", "2"]) == 0
    assert "6 new texts" in capsys.readouterr().out
    for record in lines(out):
        (source,) = record["metadata"]["source_ids"]
        passages = record["text"].split("\n\n")[1::2]
        assert len(passages) > 1
        assert " ".join(passages).split() == (texts / source).read_text().split()
    assert main(["augment", "stitch", str(out), "--out", str(mega), "--generations", "2"]) == 0
    assert "3 megadocs by number of texts: 3 of 2: " in capsys.readouterr().out


def test_plain_and_chunkwise_are_compared_and_joined_without_a_server(texts, tmp_path, capsys):
    plain, chunkwise, mega = (tmp_path / name for name in ("plain", "chunkwise", "mega"))
    command = ["augment", "rephrase", str(texts), "--no-quality", "--styles", "easy", "notes"]
    assert main([*command, "--out", str(plain)]) == 0
    by_chunk = ["--chunkwise", "--tokens", "32", "--samples", "2"]
    assert main([*command, "--out", str(chunkwise), *by_chunk]) == 0
    for record in lines(chunkwise):
        assert len(record["metadata"]["joined"].splitlines()) == 2
        (source,) = record["metadata"]["source_ids"]
        # The template writer shuffles the sentences of each chunk.
        assert sorted(record["text"].split()) == sorted((texts / source).read_text().split())
    calls = (chunkwise / ".augment" / "calls.jsonl").read_bytes()
    assert main([*command, "--out", str(chunkwise), *by_chunk]) == 0
    assert (chunkwise / ".augment" / "calls.jsonl").read_bytes() == calls
    capsys.readouterr()
    compare = ["augment", "quality", str(texts), "--synthetic", str(plain), str(chunkwise)]
    assert main(compare) == 0
    said = capsys.readouterr().out
    head, *rows = said.splitlines()
    assert head.split() == ["quality", "real", str(plain), str(chunkwise)]
    assert rows[0].split() == ["n_texts", "3", "6", "12"]
    assert rows[-1].split() == ["pair_alignment", "-", "100.0", "%", "100.0", "%"]
    assert main([*compare, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[str(chunkwise)]["pair_alignment"] == 1.0
    assert (
        main(["augment", "stitch", str(chunkwise), "--out", str(mega), "--generations", "3"]) == 0
    )
    assert "6 megadocs by number of texts: 3 of 3, 3 of 1: " in capsys.readouterr().out
    assert main(["augment", "filter", str(mega), "--source", str(texts), "--out",
                 str(tmp_path / "good")]) == 0  # fmt: skip
    assert lines(tmp_path / "good") == lines(mega)


def test_unfaithful_texts_are_kept_apart_with_the_reason(server, texts, tmp_path, capsys):
    def answer(prompt):
        name = next(name for name, text in TEXTS.items() if text in prompt)
        # A writer that has not read the text on bees.
        return PARAPHRASES["frost" if name == "bees" else name]

    server.answer = answer
    new, good = tmp_path / "new", tmp_path / "good"
    assert main([
        "augment", "rephrase", str(texts), "--out", str(new), "--backend", "openai", "--model", "m",
        "--base-url", server.url, "--styles", "causes",
    ]) == 0  # fmt: skip
    capsys.readouterr()
    command = ["augment", "filter", str(new), "--source", str(texts), "--out", str(good)]
    assert main(command) == 0
    assert f"2 texts kept: {good / 'texts.jsonl'}\n1 dropped" in capsys.readouterr().out
    kept = [record["metadata"]["source_ids"] for record in lines(good)]
    assert kept == [["engine.txt"], ["frost.txt"]]
    decided = (good / ".augment" / "judgements.jsonl").read_text().splitlines()
    (dropped,) = (found for found in map(json.loads, decided) if not found["kept"])
    assert dropped["metadata"]["source_ids"] == ["bees.txt"]
    assert dropped["text"] == PARAPHRASES["frost"]
    assert 'begins "Londoners could stroll' in dropped["reason"]
    assert len(lines(new)) == len(decided) == 3


def test_bad_options_and_texts_without_provenance_are_refused_in_a_sentence(
    texts, tmp_path, capsys
):
    out = str(tmp_path / "out")

    def said(*arguments):
        assert main(["augment", *map(str, arguments)]) == EXIT_BAD_INPUT
        return capsys.readouterr().err

    rephrase = ("rephrase", texts, "--out", out)
    assert "--earlier-tokens belongs to --chunkwise" in said(*rephrase, "--earlier-tokens", "9")
    assert "--earlier-tokens must be at least 1; not 0" in said(
        *rephrase, "--chunkwise", "--earlier-tokens", "0"
    )
    compare = ("filter", texts, "--source", texts, "--out", out)
    assert "has no provenance (source_ids" in said(*compare)
    assert "has no provenance" in said(*compare, "--backend", "openai", "--model", "m")
    assert "--backend ours looks at texts alone" in said(*compare, "--backend", "ours")
    prompt = tmp_path / "prompt.txt"
    assert "--prompt is for a judge" in said(*compare, "--prompt", prompt)
    assert "--most-loss looks at texts alone" in said(*compare, "--most-loss", "3")
    judge = ("--backend", "openai", "--model", "m")
    assert "belong to --source without a judge" in said(*compare, *judge, "--least-alignment", ".9")
    for marks, message in (
        ("", "once, as --source is given; it has it 0 times"),
        ("[[SOURCE]] [[SOURCE]]", "once, as --source is given; it has it 2 times"),
    ):
        prompt.write_text(f"Is [[DOCUMENT]] true? {marks}", encoding="utf-8")
        assert message in said(*compare, *judge, "--prompt", prompt)
    prompt.write_text("Is [[DOCUMENT]] in [[SOURCE]]?", encoding="utf-8")
    alone = ("filter", texts, "--out", out, *judge, "--prompt", prompt)
    assert "must have [[SOURCE]] only if --source is given" in said(*alone)
    assert "--least-alignment must lie between 0 and 1; not 2" in said(
        *compare, "--least-alignment", "2"
    )
    assert "has no provenance" in said("quality", texts, "--synthetic", texts)
    assert "names a folder twice" in said("quality", texts, "--synthetic", texts, texts)
    assert "has no provenance" in said("stitch", texts, "--out", out)
    assert "two generations or more; not 1" in said(
        "stitch", texts, "--out", out, "--generations", "1"
    )
    assert not (tmp_path / "out" / "texts.jsonl").exists()
