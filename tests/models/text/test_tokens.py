import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text import tokens as tokens_module
from models.text.corpora import CorpusError, load_corpus
from models.text.splits import split_documents
from models.text.tokens import (
    END_OF_TEXT,
    PARTS,
    TokenizedCorpus,
    draw_unique_tokens,
    nats_per_token_to_bits_per_byte,
    tokenize_corpus,
)

SYLLABLES = ["ba", "do", "ki", "lu", "me", "no", "ra", "si", "tu", "vé", "\n", "東"]


def made_text(seed: int) -> str:
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(SYLLABLES, rng.integers(1, 5))) for _ in range(120)]
    return " ".join(words)


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty texts; one quotes the special token."""
    folder = tmp_path_factory.mktemp("texts")
    for i in range(40):
        (folder / f"{i}.txt").write_text(made_text(i), encoding="utf-8")
    (folder / "quote.txt").write_text(f"It ends in {END_OF_TEXT} and goes on.", encoding="utf-8")
    return f"files:{folder}"


@pytest.fixture(scope="module")
def tokens(name: str, tmp_path_factory: pytest.TempPathFactory) -> TokenizedCorpus:
    return tokenize_corpus(name, vocab_size=400, cache_dir=tmp_path_factory.mktemp("cache"))


def documents_of(tokens: TokenizedCorpus, part: str) -> list[np.ndarray]:
    return np.split(getattr(tokens, part), tokens.document_starts[part][1:])


# --- what the arrays hold


def test_tokens_round_trip_to_the_texts_of_each_part(name: str, tokens: TokenizedCorpus) -> None:
    split = split_documents(load_corpus(name))
    tokenizer = tokens.tokenizer()
    for part in PARTS:
        documents = getattr(split, part)
        ids = documents_of(tokens, part)
        assert all(document[-1] == 0 and 0 not in document[:-1] for document in ids)
        decoded = [tokenizer.decode(document[:-1].tolist()) for document in ids]
        assert Counter(decoded) == Counter(document.text for document in documents)
        assert tokens.n_bytes[part] == sum(document.n_bytes for document in documents)
        per_token = tokens.n_bytes[part] / len(getattr(tokens, part))
        assert tokens.bytes_per_token(part) == per_token


def test_documents_are_shuffled(name: str, tokens: TokenizedCorpus) -> None:
    tokenizer = tokens.tokenizer()
    decoded = [tokenizer.decode(ids[:-1].tolist()) for ids in documents_of(tokens, "train")]
    assert decoded != [document.text for document in split_documents(load_corpus(name)).train]


def test_arrays_are_read_only_memory_maps_of_ids(tokens: TokenizedCorpus) -> None:
    for part in PARTS:
        ids = getattr(tokens, part)
        assert isinstance(ids, np.memmap)
        assert not ids.flags.writeable
        assert ids.dtype == np.uint16
        assert ids.ndim == 1
        assert ids.max() < tokens.vocab_size == tokens.tokenizer().get_vocab_size()


@given(st.text(max_size=200))
def test_any_text_round_trips(tokens: TokenizedCorpus, text: str) -> None:
    for wanted in (text, text + END_OF_TEXT + text):
        ids = tokens.tokenizer().encode(wanted).ids
        assert 0 not in ids
        assert tokens.tokenizer().decode(ids) == wanted


def test_vocabulary_comes_from_the_training_part_only(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    words = [f"{a}{b}{b}{a}" for a in "abcdef" for b in "uvwxyz"]
    for word in words:
        (texts / word).write_text(f"{word} " * 50)
    corpus = load_corpus(f"files:{texts}")
    tokens = tokenize_corpus(corpus.name, vocab_size=330, cache_dir=tmp_path / "cache")
    trained_on = "".join(d.text for d in split_documents(corpus).train)
    tokenizer = tokens.tokenizer()
    learned = [tokenizer.decode([i]) for i in range(257, tokens.vocab_size)]
    assert all(token in trained_on for token in learned)
    held_out = [word for word in words if word not in trained_on]
    assert held_out
    assert not set(held_out) & {token.strip() for token in learned}


def test_ids_need_32_bits_above_65536(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    letters = rng.choice(list("abcdefghijklmnopqrstuvwxyz"), (24_000, 9))
    words = ["".join(row) for row in letters]
    for i in range(12):
        (tmp_path / f"{i}.txt").write_text(" ".join(words[i::12]))
    tokens = tokenize_corpus(f"files:{tmp_path}", vocab_size=66_000, cache_dir=tmp_path / ".cache")
    assert tokens.train.dtype == np.uint32
    assert tokens.train.max() >= 2**16


# --- vocabulary


@pytest.mark.parametrize("vocab_size", [256, 0, -5])
def test_vocabulary_holds_every_byte(name: str, vocab_size: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"at least 257 .*; not {vocab_size}"):
        tokenize_corpus(name, vocab_size=vocab_size, cache_dir=tmp_path)


def test_smallest_vocabulary_is_bytes(name: str, tmp_path: Path) -> None:
    tokens = tokenize_corpus(name, vocab_size=257, cache_dir=tmp_path)
    for part in PARTS:
        n_documents = len(tokens.document_starts[part])
        assert len(getattr(tokens, part)) == tokens.n_bytes[part] + n_documents


def test_too_large_vocabulary_says_how_many_could_be_learned(tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"{i}.txt").write_text(f"a few words {i}")
    name, cache = f"files:{tmp_path}", tmp_path / ".cache"
    with pytest.raises(ValueError, match=r"vocab_size 5,000 .*: (\d+) tokens could") as error:
        tokenize_corpus(name, vocab_size=5000, cache_dir=cache)
    learnable = int(str(error.value).rpartition(": ")[2].split()[0])
    assert tokenize_corpus(name, vocab_size=learnable, cache_dir=cache).vocab_size == learnable
    with pytest.raises(ValueError, match="could be learned"):
        tokenize_corpus(name, vocab_size=learnable + 1, cache_dir=cache)


# --- determinism and cache


def test_another_process_and_cache_make_the_same_tokens(
    name: str, tokens: TokenizedCorpus, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from models.text.tokens import tokenize_corpus;"
        "t = tokenize_corpus(sys.argv[1], vocab_size=400, cache_dir=Path(sys.argv[2]));"
        "print(t.sha256)"
    )
    # Two at once in one cache: whoever comes second finds or repeats the same content.
    command = [sys.executable, "-c", code, name, str(tmp_path)]
    processes = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONHASHSEED": seed}
        )
        for seed in "12"
    ]
    assert {process.communicate()[0].strip() for process in processes} == {tokens.sha256}
    assert not list(tmp_path.rglob(".building-*"))


def test_settings_and_text_change_the_identity(
    name: str, tokens: TokenizedCorpus, tmp_path: Path
) -> None:
    other_vocab = tokenize_corpus(name, vocab_size=300, cache_dir=tmp_path)
    other_split = tokenize_corpus(name, vocab_size=400, split_seed=1, cache_dir=tmp_path)
    again = tokenize_corpus(name, vocab_size=400, cache_dir=tmp_path)
    assert again.sha256 == tokens.sha256
    assert len({tokens.sha256, other_vocab.sha256, other_split.sha256}) == 3
    assert {t.corpus_sha256 for t in (tokens, other_vocab, other_split)} == {tokens.corpus_sha256}


def corpus_folder(tmp_path: Path) -> tuple[Path, str, Path]:
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.txt").write_text(made_text(i), encoding="utf-8")
    return folder, f"files:{folder}", tmp_path / "cache"


def test_cached_tokens_are_opened_without_reading_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, name, cache = corpus_folder(tmp_path)
    first = tokenize_corpus(name, vocab_size=300, cache_dir=cache)
    with monkeypatch.context() as context:
        context.setattr(tokens_module, "load_corpus", None)
        context.setattr(tokens_module, "_build", None)
        assert tokenize_corpus(name, vocab_size=300, cache_dir=cache).sha256 == first.sha256
    with monkeypatch.context() as context:  # touched, not changed: read again, not encoded again
        context.setattr(tokens_module, "_build", None)
        os.utime(folder / "0.txt", ns=(1, 1))
        assert tokenize_corpus(name, vocab_size=300, cache_dir=cache).sha256 == first.sha256
    (folder / "0.txt").write_text("changed")
    assert tokenize_corpus(name, vocab_size=300, cache_dir=cache).sha256 != first.sha256


def test_default_cache_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, name, cache = corpus_folder(tmp_path)
    monkeypatch.setenv("DATAWALL_CACHE", str(cache))
    assert tokenize_corpus(name, vocab_size=300).tokenizer_path.is_relative_to(cache)


FILES = ["meta.json", "tokenizer.json", *(f"{p}{s}.npy" for p in PARTS for s in ("", ".starts"))]


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "flipped"])
@pytest.mark.parametrize("file", FILES)
def test_damaged_cache_is_rebuilt(tmp_path: Path, file: str, damage: str) -> None:
    _, name, cache = corpus_folder(tmp_path)
    first = tokenize_corpus(name, vocab_size=300, cache_dir=cache)
    held = first.train.copy()
    victim = first.tokenizer_path.parent / file
    data = bytearray(victim.read_bytes())
    victim.unlink()
    if damage == "flipped":
        data[len(data) // 2] ^= 0x01
    kept = {"empty": 0, "cut": len(data) // 2, "flipped": len(data)}
    if damage in kept:
        victim.write_bytes(data[: kept[damage]])
    second = tokenize_corpus(name, vocab_size=300, cache_dir=cache)
    assert second.sha256 == first.sha256
    assert np.array_equal(second.train, held)
    assert second.tokenizer().get_vocab_size() == 300


def test_wrong_byte_count_in_the_cache_is_noticed(tmp_path: Path) -> None:
    _, name, cache = corpus_folder(tmp_path)
    first = tokenize_corpus(name, vocab_size=300, cache_dir=cache)
    file = first.tokenizer_path.parent / "meta.json"
    meta = json.loads(file.read_text())
    meta["n_bytes"]["test"] += 1
    file.write_text(json.dumps(meta))
    assert tokenize_corpus(name, vocab_size=300, cache_dir=cache).n_bytes == first.n_bytes


def test_damaged_note_of_a_corpus_is_rewritten(tmp_path: Path) -> None:
    _, name, cache = corpus_folder(tmp_path)
    first = tokenize_corpus(name, vocab_size=300, cache_dir=cache)
    (note,) = (cache / "corpora").iterdir()
    good = json.loads(note.read_text())
    note.write_text(note.read_text()[:10])
    assert tokenize_corpus(name, vocab_size=300, cache_dir=cache).sha256 == first.sha256
    assert json.loads(note.read_text()) == good


def test_interrupted_build_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, name, cache = corpus_folder(tmp_path)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(tokens_module, "_content_sha256", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tokenize_corpus(name, vocab_size=300, cache_dir=cache)
    assert not list((cache / "tokens").iterdir())
    assert tokenize_corpus(name, vocab_size=300, cache_dir=cache).train.size


def test_missing_files_are_an_error_even_when_cached(tmp_path: Path) -> None:
    folder, name, cache = corpus_folder(tmp_path)
    tokenize_corpus(name, vocab_size=300, cache_dir=cache)
    folder.rename(tmp_path / "moved")
    with pytest.raises(CorpusError, match="no such file or folder"):
        tokenize_corpus(name, vocab_size=300, cache_dir=cache)


# --- draws


def brute_force_draw(tokens: TokenizedCorpus, n_unique: int, draw_seed: int) -> list[int]:
    documents = documents_of(tokens, "train")
    drawn: list[int] = []
    for i in np.random.default_rng(draw_seed).permutation(len(documents)):
        drawn += documents[i].tolist()
    return drawn[:n_unique]


@given(share=st.floats(0, 1), draw_seed=st.integers(0, 20))
def test_draw_equals_brute_force(tokens: TokenizedCorpus, share: float, draw_seed: int) -> None:
    n_unique = max(1, round(share * len(tokens.train)))
    drawn = draw_unique_tokens(tokens, n_unique, draw_seed=draw_seed)
    assert drawn.tolist() == brute_force_draw(tokens, n_unique, draw_seed)
    assert drawn.dtype == tokens.train.dtype


def test_draw_cuts_exactly_at_document_ends(tokens: TokenizedCorpus) -> None:
    order = np.random.default_rng(0).permutation(len(tokens.document_starts["train"]))
    lengths = [len(document) for document in documents_of(tokens, "train")]
    for end in np.cumsum([lengths[i] for i in order]):
        drawn = draw_unique_tokens(tokens, int(end))
        assert len(drawn) == end
        assert drawn[-1] == 0


def test_draws_of_other_seeds_differ(tokens: TokenizedCorpus) -> None:
    draws = {draw_unique_tokens(tokens, 500, draw_seed=seed).tobytes() for seed in range(5)}
    assert len(draws) == 5


@pytest.mark.parametrize("excess", [1, 10**9])
def test_draw_beyond_the_text_says_what_there_is(tokens: TokenizedCorpus, excess: int) -> None:
    available = len(tokens.train)
    with pytest.raises(ValueError, match=f"{available:,} tokens .*not {available + excess:,}"):
        draw_unique_tokens(tokens, available + excess)
    with pytest.raises(ValueError, match="between 1 and"):
        draw_unique_tokens(tokens, 0)


# --- units


def test_uniform_bytes_cost_eight_bits() -> None:
    assert nats_per_token_to_bits_per_byte(math.log(256), bytes_per_token=1) == pytest.approx(8)
    losses = np.log([2.0, 256.0])
    bits = nats_per_token_to_bits_per_byte(losses, bytes_per_token=4)
    assert bits == pytest.approx([0.25, 2])


@pytest.mark.parametrize("bytes_per_token", [0, -1, math.nan])
def test_bytes_per_token_is_positive(bytes_per_token: float) -> None:
    with pytest.raises(ValueError, match="bytes_per_token must be positive"):
        nats_per_token_to_bits_per_byte(1.0, bytes_per_token=bytes_per_token)


def test_unknown_part_lists_the_parts(tokens: TokenizedCorpus) -> None:
    with pytest.raises(ValueError, match=r"part must be one of .*'validation'.*; not 'dev'"):
        tokens.bytes_per_token("dev")
