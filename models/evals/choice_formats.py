"""Files of multiple-choice items: ARC, OpenBookQA, SciQ, PIQA, Winogrande, COPA, and a plain form.

The plain form is a JSON object per line:

    {"question": "What is wet?", "choices": ["water", "sand"], "gold": 0}
    {"context": "The opposite of hot is", "choices": ["cold", "warm"], "gold": "cold"}

A question is formatted as "Question: ...\\nAnswer:", a context is continued as it is; each choice
follows after a space. `gold` is the index of the correct choice, from 0, or its text.

Named sets are recognised by their fields and formatted as usual: ARC, SciQ and PIQA use "Question:
...\\nAnswer:" (SciQ after its supporting text), OpenBookQA continues the stem, COPA joins premise
and alternative with "because" or "so" (Roemmele et al. 2011), and Winogrande scores the text after
the option, given the sentence up to it ("partial scoring", Trinh and Le 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from models.evals.choices import ChoiceItem
from models.evals.eval_files import EvalFileError, JsonLine, read_json_lines


def read_choices(path: Path | str) -> list[ChoiceItem]:
    """Return the items of a file of JSON lines, or of an archive or folder of them.

    Raises:
        CorpusError: no such file, or an archive is damaged.
        EvalFileError: a line is not an item, or has no correct answer (with its place).
    """
    return [_item(line) for line in read_json_lines(path)]


def _item(line: JsonLine) -> ChoiceItem:
    for fields, read in _FORMATS:
        if fields <= line.values.keys():
            item = read(line)
            if not all(text.strip() for text in item.continuations):
                raise EvalFileError(f"{line.where}: a choice is empty")
            return item
    raise EvalFileError(
        f"{line.where}: a line must have the fields of a known set, or 'question' or 'context' "
        f"with 'choices' and 'gold'; not {sorted(line.values)}"
    )


def _asked(question: str) -> str:
    return f"Question: {question}\nAnswer:"


def _of_one_context(
    line: JsonLine, context: str, choices: Sequence[str], gold: int | None
) -> ChoiceItem:
    return _checked(line, [context] * len(choices), [f" {choice}" for choice in choices], gold)


def _checked(
    line: JsonLine, contexts: Sequence[str], continuations: Sequence[str], gold: int | None
) -> ChoiceItem:
    if len(continuations) < 2:
        raise EvalFileError(f"{line.where}: an item must have two choices or more")
    if gold is None or not 0 <= gold < len(continuations):
        raise EvalFileError(
            f"{line.where}: the gold label is missing or names none of the "
            f"{len(continuations)} choices"
        )
    return ChoiceItem(contexts=tuple(contexts), continuations=tuple(continuations), gold=gold)


def _index(line: JsonLine, name: str) -> int | None:
    """Return a label as a whole number, or None if it is not one."""
    value = line.values.get(name)
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _listed(line: JsonLine, choices: object) -> list[str]:
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise EvalFileError(f"{line.where}: the choices must be a list of texts; not {choices!r}")
    return choices


def _labelled(line: JsonLine) -> tuple[list[str], int | None]:
    """Return the choices of ARC and OpenBookQA and the index of the one that answerKey names."""
    choices = line.values["choices"]
    if not isinstance(choices, dict):
        raise EvalFileError(
            f"{line.where}: the choices must be lists of text and label; not {choices!r}"
        )
    texts = _listed(line, choices.get("text"))
    labels = _listed(line, choices.get("label"))
    key = line.values["answerKey"]
    return texts, labels.index(key) if key in labels else None


def _arc(line: JsonLine) -> ChoiceItem:
    return _of_one_context(line, _asked(line.text("question")), *_labelled(line))


def _openbookqa(line: JsonLine) -> ChoiceItem:
    return _of_one_context(line, line.text("question_stem"), *_labelled(line))


def _sciq(line: JsonLine) -> ChoiceItem:
    names = ("distractor1", "distractor2", "distractor3", "correct_answer")
    support = line.text("support").strip() if "support" in line.values else ""
    context = (f"{support}\n" if support else "") + _asked(line.text("question"))
    if not line.values["correct_answer"]:
        return _of_one_context(line, context, names, None)
    return _of_one_context(line, context, [line.text(name) for name in names], 3)


def _piqa(line: JsonLine) -> ChoiceItem:
    choices = [line.text("sol1"), line.text("sol2")]
    return _of_one_context(line, _asked(line.text("goal")), choices, _index(line, "label"))


def _winogrande(line: JsonLine) -> ChoiceItem:
    before, gap, after = line.text("sentence").partition("_")
    if not gap or not after.strip():
        raise EvalFileError(
            f"{line.where}: the sentence must have text after its gap '_'; not {before + gap!r}"
        )
    answer = _index(line, "answer")
    contexts = [before + line.text(name) for name in ("option1", "option2")]
    return _checked(line, contexts, [after] * 2, None if answer is None else answer - 1)


def _copa(line: JsonLine) -> ChoiceItem:
    joints = {"cause": "because", "effect": "so"}
    question = line.text("question")
    if question not in joints:
        raise EvalFileError(
            f"{line.where}: 'question' must be one of {tuple(joints)}; not {question!r}"
        )
    premise = line.text("premise").strip().removesuffix(".")
    choices = [line.text(name) for name in ("choice1", "choice2")]
    return _of_one_context(
        line,
        f"{premise} {joints[question]}",
        [choice[:1].lower() + choice[1:] for choice in choices],
        _index(line, "label"),
    )


def _plain(line: JsonLine) -> ChoiceItem:
    asks = "question" in line.values
    context = _asked(line.text("question")) if asks else line.text("context")
    choices = _listed(line, line.values["choices"])
    gold = line.values.get("gold")
    place = choices.index(gold) if gold in choices else _index(line, "gold")
    return _of_one_context(line, context, choices, place)


_FORMATS: tuple[tuple[frozenset[str], Callable[[JsonLine], ChoiceItem]], ...] = (
    (frozenset({"question_stem", "choices", "answerKey"}), _openbookqa),
    (frozenset({"question", "choices", "answerKey"}), _arc),
    (frozenset({"question", "distractor1", "distractor2", "distractor3", "correct_answer"}), _sciq),
    (frozenset({"goal", "sol1", "sol2"}), _piqa),
    (frozenset({"sentence", "option1", "option2"}), _winogrande),
    (frozenset({"premise", "choice1", "choice2", "question"}), _copa),
    (frozenset({"question", "choices"}), _plain),
    (frozenset({"context", "choices"}), _plain),
)
"""Fields that identify each format, and its reader; the first match is used."""
