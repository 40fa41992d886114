"""Files of multiple-choice items: ARC, OpenBookQA, SciQ, PIQA, Winogrande, COPA, and a plain form.

The plain form is a JSON object a line:

    {"question": "What is wet?", "choices": ["water", "sand"], "gold": 0}
    {"context": "The opposite of hot is", "choices": ["cold", "warm"], "gold": "cold"}

A question is asked as "Question: ...\\nAnswer:", a context is continued as it stands; each choice
follows after a space. `gold` is the index of the right choice, from 0, or its text.

Of the named sets the fields tell which one a line belongs to. They are worded as is usual: ARC,
SciQ and PIQA ask "Question: ...\\nAnswer:" (SciQ after its supporting text), OpenBookQA continues
the stem, COPA joins premise and alternative with "because" or "so" (Roemmele et al. 2011), and
Winogrande scores what follows the option, given the sentence up to it ("partial scoring", Trinh and
Le 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from models.evals.choices import ChoiceItem
from models.evals.eval_files import EvalFileError, Record, read_records


def read_choices(path: Path | str) -> list[ChoiceItem]:
    """Read the items of a file of JSON lines, or of an archive or folder of them.

    Raises:
        CorpusError: nothing is there, or an archive is damaged.
        EvalFileError: a line that is no item, or without its right answer (says which line).
    """
    return [_item(record) for record in read_records(path)]


def _item(record: Record) -> ChoiceItem:
    for fields, read in _FORMATS:
        if fields <= record.values.keys():
            item = read(record)
            if not all(text.strip() for text in item.continuations):
                raise EvalFileError(f"{record.where}: a choice is empty")
            return item
    raise EvalFileError(
        f"{record.where}: a line must have the fields of a known set, or 'question' or 'context' "
        f"with 'choices' and 'gold'; not {sorted(record.values)}"
    )


def _asked(question: str) -> str:
    return f"Question: {question}\nAnswer:"


def _of_one_context(
    record: Record, context: str, choices: Sequence[str], gold: int | None
) -> ChoiceItem:
    return _checked(record, [context] * len(choices), [f" {choice}" for choice in choices], gold)


def _checked(
    record: Record, contexts: Sequence[str], continuations: Sequence[str], gold: int | None
) -> ChoiceItem:
    if len(continuations) < 2:
        raise EvalFileError(f"{record.where}: an item must have two choices or more")
    if gold is None or not 0 <= gold < len(continuations):
        raise EvalFileError(
            f"{record.where}: the gold label is missing or names none of the "
            f"{len(continuations)} choices"
        )
    return ChoiceItem(contexts=tuple(contexts), continuations=tuple(continuations), gold=gold)


def _index(record: Record, name: str) -> int | None:
    """Return a label as a whole number, None where it is none."""
    value = record.values.get(name)
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _listed(record: Record, choices: object) -> list[str]:
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise EvalFileError(f"{record.where}: the choices must be a list of texts; not {choices!r}")
    return choices


def _labelled(record: Record) -> tuple[list[str], int | None]:
    """Return the choices of ARC and OpenBookQA and the place of the one that answerKey names."""
    choices = record.values["choices"]
    if not isinstance(choices, dict):
        raise EvalFileError(
            f"{record.where}: the choices must be lists of text and label; not {choices!r}"
        )
    texts = _listed(record, choices.get("text"))
    labels = _listed(record, choices.get("label"))
    key = record.values["answerKey"]
    return texts, labels.index(key) if key in labels else None


def _arc(record: Record) -> ChoiceItem:
    return _of_one_context(record, _asked(record.text("question")), *_labelled(record))


def _openbookqa(record: Record) -> ChoiceItem:
    return _of_one_context(record, record.text("question_stem"), *_labelled(record))


def _sciq(record: Record) -> ChoiceItem:
    names = ("distractor1", "distractor2", "distractor3", "correct_answer")
    support = record.text("support").strip() if "support" in record.values else ""
    context = (f"{support}\n" if support else "") + _asked(record.text("question"))
    if not record.values["correct_answer"]:
        return _of_one_context(record, context, names, None)
    return _of_one_context(record, context, [record.text(name) for name in names], 3)


def _piqa(record: Record) -> ChoiceItem:
    choices = [record.text("sol1"), record.text("sol2")]
    return _of_one_context(record, _asked(record.text("goal")), choices, _index(record, "label"))


def _winogrande(record: Record) -> ChoiceItem:
    before, gap, after = record.text("sentence").partition("_")
    if not gap or not after.strip():
        raise EvalFileError(
            f"{record.where}: the sentence must have text after its gap '_'; not {before + gap!r}"
        )
    answer = _index(record, "answer")
    contexts = [before + record.text(name) for name in ("option1", "option2")]
    return _checked(record, contexts, [after] * 2, None if answer is None else answer - 1)


def _copa(record: Record) -> ChoiceItem:
    joints = {"cause": "because", "effect": "so"}
    question = record.text("question")
    if question not in joints:
        raise EvalFileError(
            f"{record.where}: 'question' must be one of {tuple(joints)}; not {question!r}"
        )
    premise = record.text("premise").strip().removesuffix(".")
    choices = [record.text(name) for name in ("choice1", "choice2")]
    return _of_one_context(
        record,
        f"{premise} {joints[question]}",
        [choice[:1].lower() + choice[1:] for choice in choices],
        _index(record, "label"),
    )


def _plain(record: Record) -> ChoiceItem:
    asks = "question" in record.values
    context = _asked(record.text("question")) if asks else record.text("context")
    choices = _listed(record, record.values["choices"])
    gold = record.values.get("gold")
    place = choices.index(gold) if gold in choices else _index(record, "gold")
    return _of_one_context(record, context, choices, place)


_FORMATS: tuple[tuple[frozenset[str], Callable[[Record], ChoiceItem]], ...] = (
    (frozenset({"question_stem", "choices", "answerKey"}), _openbookqa),
    (frozenset({"question", "choices", "answerKey"}), _arc),
    (frozenset({"question", "distractor1", "distractor2", "distractor3", "correct_answer"}), _sciq),
    (frozenset({"goal", "sol1", "sol2"}), _piqa),
    (frozenset({"sentence", "option1", "option2"}), _winogrande),
    (frozenset({"premise", "choice1", "choice2", "question"}), _copa),
    (frozenset({"question", "choices"}), _plain),
    (frozenset({"context", "choices"}), _plain),
)
"""The fields that a set's lines have, and what reads them; the first that fits is taken."""
