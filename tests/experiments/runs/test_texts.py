"""Streams that recipes write come back as they were, and are written once."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments.lab.source import source_of
from experiments.lab.streams import plan_stream
from experiments.runs.records import keep_record, read_record
from experiments.runs.store import RunStore
from experiments.runs.texts import FOLDER, Stream, read_stream
from models.text.batches import unscored
from models.text.data_home import CorpusError


class Lab(SimpleNamespace):
    """Records as a lab keeps them, without a world."""

    def remember(self, kind, identity, measure, *, code):
        source = source_of(code)
        values = read_record(self.store.root, kind, identity, source)
        if values is None:
            values = measure()
            keep_record(self.store.root, kind, identity, values, source=source)
        return values


@pytest.fixture
def lab(tmp_path):
    return Lab(store=RunStore(tmp_path))


def stream(seed=0):
    ids = np.random.default_rng(seed).integers(300, size=640).astype(np.int32)
    ids[::64] = unscored(ids[::64])
    return Stream(tokens=ids, held_out={"test": ids[:130].reshape(2, 65)})


def test_a_stream_comes_back_with_its_unscored_tokens(lab):
    data = plan_stream(lab, "a text", ["a", 1], stream)
    assert data.is_stream
    assert (data.n_unique_tokens, data.n_eval_tokens) == (640, 128)
    found = read_stream(lab.store.root, data)
    assert np.array_equal(found.tokens, stream().tokens)
    assert np.array_equal(found.held_out["test"], stream().held_out["test"])


def test_the_hash_is_of_the_tokens_and_not_of_their_type():
    wide = stream()
    narrow = Stream(tokens=wide.tokens.astype(np.int16), held_out=wide.held_out)
    assert narrow.sha256 == wide.sha256 != stream(1).sha256


def test_a_stream_is_written_once_and_again_when_it_is_gone(lab):
    n_written = []

    def write():
        n_written.append(1)
        return stream()

    first = plan_stream(lab, "a text", ["a"], write)
    assert plan_stream(lab, "another name", ["a"], write).sha256 == first.sha256
    assert len(n_written) == 1
    for path in (lab.store.root / FOLDER).iterdir():
        path.unlink()
    plan_stream(lab, "a text", ["a"], write)
    assert len(n_written) == 2


def test_a_missing_or_changed_stream_is_said(lab):
    data = plan_stream(lab, "a text", ["b"], lambda: stream(2))
    (path,) = (lab.store.root / FOLDER).iterdir()
    other = stream(3)
    np.savez_compressed(path, tokens=other.tokens, **other.held_out)
    with pytest.raises(CorpusError, match="was changed"):
        read_stream(lab.store.root, data)
    path.write_bytes(b"not a stream")
    with pytest.raises(CorpusError, match="'stream:a text' is not in the store, or damaged"):
        read_stream(lab.store.root, data)
