import dataclasses

import jax
import numpy as np
import pytest
from flax import nnx

from experiments.cli.app import main
from experiments.cli.trained import load_trained
from experiments.runs.store import RunStore
from models.language.huggingface import import_llama
from models.text.tokens import tokenize_corpus
from models.training.train import init_params


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


def test_a_finished_run_becomes_a_folder_of_transformers(store, sample, tmp_path, capsys):
    spec = sample.train(store, sample.spec())
    out = tmp_path / "hf"
    assert main(["export", str(store.folder(spec)), "--to", str(out), "--no-tokenizer"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    model, params, tokenizer = import_llama(out)
    assert (model, tokenizer) == (spec.model, None)
    found, wanted = nnx.to_pure_dict(params), nnx.to_pure_dict(store.params(spec))
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_the_tokenizer_of_the_runs_text_goes_with_it(store, sample, tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for i in range(40):
        words = np.random.default_rng(i).choice(["the", "theme", "of", "these", "same"], 200)
        (texts / f"{i}.txt").write_text(" ".join(words))
    tokens = tokenize_corpus(f"files:{texts}", vocab_size=260)
    base = sample.spec()
    spec = dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, vocab_size=260),
        data=dataclasses.replace(base.data, corpus=tokens.corpus_name, sha256=tokens.sha256),
    )
    shapes = jax.eval_shape(lambda: init_params(spec.model, 0))
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes)
    store.begin(spec)
    store.append(spec, sample.segment(spec, np.ones(64)))
    store.finish(spec, dataclasses.replace(sample.finished(spec), params=params))
    out = tmp_path / "hf"
    assert main(["export", str(store.folder(spec)), "--to", str(out)]) == 0
    text = "the same theme"
    assert import_llama(out)[2].encode(text).ids == tokens.tokenizer().encode(text).ids
    assert load_trained(store.folder(spec)).encode(text) == tokens.tokenizer().encode(text).ids


def test_what_cannot_be_exported_is_said(store, sample, tmp_path, capsys):
    begun = sample.spec(seed=1)
    store.begin(begun)
    diverged = sample.train(store, sample.spec(seed=2), diverged=True)
    base = sample.spec(seed=3)
    gone = f"files:{tmp_path / 'gone'}"
    elsewhere = dataclasses.replace(
        base,
        model=dataclasses.replace(base.model, vocab_size=260),
        data=dataclasses.replace(base.data, corpus=gone),
    )
    sample.train(store, elsewhere)
    for folder, said in [
        (tmp_path / "nowhere", "is not the folder of a run"),
        (store.folder(begun), "is not finished"),
        (store.folder(diverged), "diverged: the training loss stopped being a number at step 40"),
        (store.folder(elsewhere), gone.removeprefix("files:")),
    ]:
        assert main(["export", str(folder), "--to", str(tmp_path / "hf")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "hf").exists()
