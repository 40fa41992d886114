import json

import jax.numpy as jnp
import numpy as np
import pytest

from models.evals.choice_formats import read_choices
from models.evals.choices import ChoiceItem, evaluate_choices
from models.evals.eval_files import EvalFileError
from models.evals.lambada import evaluate_lambada, read_lambada
from models.language.language_model import Predictor
from models.text.data_home import CorpusError
from tests.data import needed

SETS = {
    "ai2_arc-ARC-Challenge": (299, 4),
    "ai2_arc-ARC-Easy": (570, 4),
    "openbookqa-main": (500, 4),
    "piqa-plain_text": (1838, 2),
    "sciq-none": (1000, 4),
    "super_glue-copa": (100, 2),
    "winogrande-winogrande_xl": (1267, 2),
}


def log_likelihood(predictor, context: str, continuation: str) -> float:
    """Sum what one call after another gives to the true byte, the context cut at the left."""
    ids = [0, *predictor.encode(context + continuation)]
    total = 0.0
    for at in range(len(ids) - len(continuation.encode()), len(ids)):
        room = predictor.model.context
        seen = np.array(ids[max(0, len(ids) - room - 1) : at])
        padded = np.pad(seen, (0, room - len(seen)))[None]
        total += float(predictor.next_token_log_probs(padded)[0, len(seen) - 1, ids[at]])
    return total


ITEMS = [
    ChoiceItem(contexts=("ab",) * 3, continuations=(" c", " dddddd", " é"), gold=gold)
    for gold in (0, 1, 2)
] + [ChoiceItem(contexts=("a longer context", "x"), continuations=(" end",) * 2, gold=1)]


def test_choices_are_normalised_by_hand(predictor):
    found = evaluate_choices(predictor, ITEMS)
    hits = []
    for item in ITEMS:
        pairs = zip(item.contexts, item.continuations, strict=True)
        totals = np.array([log_likelihood(predictor, *pair) for pair in pairs])
        sizes = [(2, 1), (7, 6), (3, 2)] if len(totals) == 3 else [(4, 3), (4, 3)]
        tokens, n_bytes = np.array(sizes).T  # a token is a byte; the space is not counted in bytes
        hits.append([np.argmax(totals / n) == item.gold for n in (1, tokens, n_bytes)])
    expected = np.mean(hits, axis=0)
    names = ("accuracy", "accuracy_per_token", "accuracy_per_byte")
    assert [getattr(found, name).value for name in names] == pytest.approx(expected)
    p = expected[0]
    assert found.accuracy.stderr == pytest.approx(np.sqrt(p * (1 - p) / 4))
    assert found.chance == pytest.approx((3 / 3 + 1 / 2) / 4)
    assert found.n_truncated == 1
    assert "1 items did not fit" in found.summary()


def write(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_the_plain_form_and_the_wordings(tmp_path):
    file = write(
        tmp_path / "items.jsonl",
        {"question": "What is wet?", "choices": ["water", "sand"], "gold": 1},
        {"context": "The opposite of hot is", "choices": ["cold", "warm"], "gold": "cold"},
        {"sentence": "Ann saw Bo as _ ran.", "option1": "Ann", "option2": "Bo", "answer": "2"},
        {"premise": "It rained.", "choice1": "He left.", "choice2": "I sang.",
         "question": "effect", "label": 1},
        {"goal": "Sit", "sol1": "on it", "sol2": "under it", "label": 0},
        {"question": "Q?", "support": " S. ", "distractor1": "a", "distractor2": "b",
         "distractor3": "c", "correct_answer": "d"},
        {"question_stem": "Owls", "choices": {"text": ["a", "b"], "label": ["A", "B"]},
         "answerKey": "B"},
    )  # fmt: skip
    items = read_choices(file)
    assert [item.contexts[0] for item in items] == [
        "Question: What is wet?\nAnswer:",
        "The opposite of hot is",
        "Ann saw Bo as Ann",
        "It rained so",
        "Question: Sit\nAnswer:",
        "S.\nQuestion: Q?\nAnswer:",
        "Owls",
    ]
    assert items[2].contexts[1] == "Ann saw Bo as Bo"
    assert [item.continuations[item.gold] for item in items] == [
        " sand", " cold", " ran.", " i sang.", " on it", " d", " b"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"question": "Q", "choices": ["a", "b"]}', "gold label is missing"),
        ('{"question": "Q", "choices": ["a", "b"], "gold": 2}', "names none of the 2 choices"),
        ('{"sentence": "A _ b.", "option1": "x", "option2": "y", "answer": ""}', "gold label"),
        ('{"goal": "g", "sol1": "x", "sol2": "y", "label": -1}', "gold label"),
        ('{"question": "Q", "choices": ["a"], "gold": 0}', "two choices"),
        ('{"question": "Q", "choices": ["a", " "], "gold": 0}', "a choice is empty"),
        ('{"question": 3, "choices": ["a", "b"], "gold": 0}', "'question' must be text"),
        ('{"question": "Q", "choices": "ab", "gold": 0}', "list of texts"),
        ('{"text": "something"}', "fields of a known set"),
        ('{"question": ', "not JSON"),
        ("[1]", "must be a JSON object"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    good = '{"question": "Q", "choices": ["a", "b"], "gold": 0}'
    (tmp_path / "bad.jsonl").write_text(f"{good}\n\n{line}\n")
    with pytest.raises(EvalFileError, match=rf"bad\.jsonl:3: .*{message}"):
        read_choices(tmp_path)


def test_files_that_hold_nothing_are_refused(tmp_path):
    with pytest.raises(CorpusError, match="no such file"):
        read_choices(tmp_path / "none.jsonl")
    (tmp_path / "SOURCE.md").write_text("where it is from")
    with pytest.raises(EvalFileError, match="holds no JSON lines"):
        read_choices(tmp_path)


@pytest.mark.parametrize("name", SETS)
def test_the_validation_sets_are_read_whole(name):
    items = read_choices(needed(f"evals/multiple_choice/{name}.validation.jsonl"))
    n_items, n_options = SETS[name]
    assert len(items) == n_items
    assert np.bincount([len(item.continuations) for item in items]).argmax() == n_options
    # In every set but SciQ, whose right answer has a field of its own, each place is right once.
    assert len({item.gold for item in items}) >= (1 if name == "sciq-none" else n_options)


def test_last_words(predictor, tmp_path):
    texts = ["ab cd", "one two three four", "x y"]
    file = write(tmp_path / "lambada.jsonl", *({"text": text} for text in texts))
    assert read_lambada(file) == texts
    found = evaluate_lambada(predictor, texts)
    words = [text.rpartition(" ")[::2] for text in texts]
    nats = [-log_likelihood(predictor, context, f" {word}") for context, word in words]
    assert found.perplexity.value == pytest.approx(np.exp(np.mean(nats)), rel=1e-3)
    assert found.n_truncated == 1
    with pytest.raises(ValueError, match="two words"):
        evaluate_lambada(predictor, ["word"])
    with pytest.raises(EvalFileError, match=r"short\.jsonl:1: .*two words"):
        read_lambada(write(tmp_path / "short.jsonl", {"text": "word"}))


class Parrot(Predictor):
    """Says " " after "x" and "y" after " ", each with probability .9, and all else uniformly."""

    def __init__(self, known):
        self.model, self.tokenizer = known.model, known.tokenizer
        x, space, y = (known.encode(letter)[0] for letter in "x y")
        self.next = {x: space, space: y}

    def predict(self, ids_BT):
        p = np.full((*ids_BT.shape, 257), 1 / 257)
        for place in np.ndindex(*ids_BT.shape):
            if ids_BT[place] in self.next:
                p[place] = 0.1 / 256
                p[place][self.next[ids_BT[place]]] = 0.9
        return jnp.log(jnp.asarray(p))


def test_a_last_word_is_right_when_all_of_it_is_the_most_probable(three_models):
    found = evaluate_lambada(Parrot(three_models[0]), ["x y", "x z", "yx y", "z y"])
    assert found.accuracy.value == 0.5
    assert found.accuracy.stderr == pytest.approx(0.25)
    words = [0.9 * 0.9, 0.9 * 0.1 / 256, 0.9 * 0.9, 0.9 / 257]
    nats = -np.log(words)
    assert found.perplexity.value == pytest.approx(np.exp(nats.mean()), rel=1e-4)
    stderr = np.exp(nats.mean()) * nats.std(ddof=1) / 2
    assert found.perplexity.stderr == pytest.approx(stderr, rel=1e-4)
    assert "accuracy    0.5 ± 0.25 (n = 4)" in found.summary()
