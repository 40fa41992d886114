"""`datawall augment sbp` on a small folder of texts about a few topics."""

import json

import numpy as np
import pytest

from experiments.cli.app import EXIT_BAD_INPUT, main

TOPICS = {
    "sea": "ship sail harbour tide captain wave anchor storm",
    "garden": "rose soil seed spade bloom hedge apple root",
    "court": "judge trial jury verdict witness oath prison plea",
}
SMALL = [
    "--width", "8", "--layers", "1", "--context", "64", "--vocab", "300", "--base-epochs", "2",
    "--epochs", "1", "--batch", "4", "--samples", "6", "--alpha", "0.2", "--learning-rate", "1e-9",
]  # fmt: skip


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(0)
    with (folder / "all.jsonl").open("w", encoding="utf-8") as file:
        for i in range(60):
            topic = list(TOPICS)[i % 3]
            words = rng.choice(TOPICS[topic].split(), 8 if i else 80)
            file.write(json.dumps({"id": f"{topic}{i}", "text": " ".join(words)}) + "\n")
    return folder


def lines(out):
    return (out / "texts.jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.long
def test_texts_are_sampled_judged_and_gone_on_with(texts, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DATAWALL_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    command = ["augment", "sbp", str(texts), "--out", str(out), *SMALL]
    # At this learning rate nothing is learned; texts come only if they are wanted anyway.
    status = main(command)
    said = capsys.readouterr()
    assert "documents are too long for pairs" in said.err
    assert "L(d2|d1)" in said.out
    assert (status, "not sampled" in said.out) == (1, True)
    assert main([*command, "--anyway"]) == 0
    said = capsys.readouterr()
    assert "6 new texts" in said.out
    assert "pair_relevance" in said.out
    assert "training" not in said.err
    whole = lines(out)
    metadata = json.loads(whole[0])["metadata"]
    assert metadata["method"] == "sbp"
    assert metadata["source_ids"][0].startswith(tuple(TOPICS))
    # Killed after four texts and a part of the fifth.
    cut = "\n".join(whole[:4]) + "\n" + whole[4][:20]
    (out / "texts.jsonl").write_text(cut, encoding="utf-8")
    assert main([*command, "--anyway"]) == 0
    assert lines(out) == whole
    assert main([*command, "--dry-run"]) == 0
    assert "training the synthesizer: 48 steps of 256 tokens" in capsys.readouterr().out
    # The base model is there; other pairs are not.
    assert main([*command, "--alpha", "1.5"]) == EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert "no document has a neighbour with an inner product above alpha = 1.5" in error
    assert "#" in error
    assert "training" not in error
