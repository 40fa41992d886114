"""The wording of every prompt, and its version: change one, and raise `PROMPT_VERSION`.

Recorded answers are found by the wording itself, so a new version, or a new prompt beside the
others, invalidates none of them; the version is part of the provenance of texts only.

The methods are those of Maini et al. 2024 (rephrasing, arXiv 2401.16380), Yang et al. 2024
(EntiGraph, arXiv 2409.07431) and the Kimi K2 report (diverse styles and perspectives, chunk-wise
rewriting, arXiv 2507.20534); the wording is our own.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

PROMPT_VERSION = "1"

STYLES = ("easy", "medium", "hard", "qa")
"""Ways to rephrase a text, by its readers."""

PERSPECTIVES = ("lecture", "dialogue", "notes", "causes", "practice")
"""Further ones, by who speaks: a teacher, two people, a student, a historian, a practitioner."""

_SOURCE = """

Title or name: {name}

Text:
\"\"\"
{document}
\"\"\"
"""

PROMPTS = {
    "easy": "Rewrite the text below for a child of ten. Use short sentences and everyday words, "
    "explain what is hard, and keep every fact. Answer with the rewritten text only." + _SOURCE,
    "medium": "Rewrite the text below as a clear article of an encyclopedia. Keep every fact, "
    "name and number, add none, and choose sentences of your own. Answer with the rewritten text "
    "only." + _SOURCE,
    "hard": "Rewrite the text below for experts of its subject, densely and precisely, in the "
    "terms of the field. Keep every fact and add none. Answer with the rewritten text only."
    + _SOURCE,
    "qa": "Turn the text below into questions with answers that together cover all that it says. "
    "Each answer is one or two full sentences and can be understood without the text. Write them "
    'as lines that begin with "Question:" and "Answer:", and nothing else.' + _SOURCE,
    "lecture": "Rewrite the text below as a lecture for students who are new to its subject. "
    "Explain why each step follows from the one before. Keep every fact, name and number, and add "
    "none. Answer with the lecture only." + _SOURCE,
    "dialogue": "Turn the text below into a conversation between a curious reader, who asks and "
    "doubts, and a person who knows the text and answers from it alone. Cover everything that the "
    'text says. Write lines that begin with "Reader:" and "Answer:", and nothing else.' + _SOURCE,
    "notes": "Write the notes that a careful student takes of the text below: short headings, and "
    "under each the facts, names, numbers and definitions in full sentences, in the order of the "
    "text, nothing left out and nothing added. Answer with the notes only." + _SOURCE,
    "causes": "Rewrite the text below as a historian would: what came first, what followed from "
    "it, and who or what caused it, as far as the text says so. Keep every fact, name and "
    "number, and add none. Answer with the rewritten text only." + _SOURCE,
    "practice": "Rewrite the text below for somebody who has to act on it: what is given, what can "
    "be done with it, and what to look out for, as far as the text says so. Keep every fact, name "
    "and number, and add none. Answer with the rewritten text only." + _SOURCE,
    "entities": "Read the text below. First summarise it in one paragraph. Then list the "
    "entities that it speaks of: people, places, organisations, things, works, events and ideas, "
    "each once, by the name that the text uses most, the important ones first. Answer with one "
    'JSON object and nothing else: {{"summary": "...", "entities": ["...", "..."]}}' + _SOURCE,
    "repair": "The answer below was to be one JSON object of the form "
    '{{"summary": "...", "entities": ["...", "..."]}} but cannot be read as such. Answer with that '
    "object, made from what the answer holds, and nothing else.\n\nAnswer:\n{document}\n",
    "judge": "Judge the text below as a text from which a language model is to learn: is it "
    "correct as far as you can tell, clear, complete, and free of remarks that do not belong to "
    "it, such as refusals and notes to a reader of an answer? Answer with one JSON object and "
    'nothing else: {{"reason": "...", "score": 3}}, with a score from 1 (useless) to 5 '
    "(excellent)." + _SOURCE,
    "faithful": "Compare the text below with its source. Does the text state only what the source "
    "states or implies, with every name, number, date and claim as it is there? It may leave out, "
    "rearrange and explain. Of a long source, parts may be missing where it has [...]. Answer with "
    'one JSON object and nothing else: {{"reason": "...", "score": 3}}, with a score from 1 '
    "(contradicts the source, or is about something else) to 5 (changes and adds nothing) and the "
    'worst difference as the reason.\n\nSource:\n"""\n{source}\n"""' + _SOURCE,
    "rationale": "Below are the end of what was written so far of a document and the passage that "
    "comes next. Write, in two or three sentences, the thoughts by which somebody who has read so "
    "far and knows the subject comes to expect the passage: what it builds on, what question it "
    "answers, why it comes now. Do not quote or retell the passage, and add no facts. "
    'Answer with these sentences only.\n\nWritten so far:\n"""\n{source}\n"""' + _SOURCE,
    "pair": "Discuss the text below from one angle: the two entities {entities}. Say what the "
    "text tells of each, then how they bear on one another according to it, directly or through "
    "other things it mentions. Refer to the text by its name, add no facts that do not follow "
    "from it, and write connected prose." + _SOURCE,
    "triple": "Discuss the text below from one angle: the three entities {entities}. Say how "
    "they bear on one another according to the text: what links each to the others, and what "
    "follows when all three are seen together. Refer to the text by its name, add no facts that "
    "do not follow from it, and write connected prose." + _SOURCE,
}
"""By task; filled in with the name and text of the document, and with entities where there are."""


def prompt_of(
    task: str, *, name: str, document: str, entities: tuple[str, ...] = (), source: str = ""
) -> str:
    """Return the prompt of a task for a document.

    Args:
        task: a key of `PROMPTS`.
        name: title or name of the document.
        document: its text.
        entities: entities to discuss; only the tasks "pair" and "triple" use them.
        source: what the document was written from for the task "faithful", what stands before it
            for "rationale"; others do not use it.
    """
    quoted = [f'"{entity}"' for entity in entities]
    listed = " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else ""
    return PROMPTS[task].format(name=name, document=document, entities=listed, source=source)


CHUNKWISE_VERSION = "2"
"""Version of `_CONTINUED`."""

_CONTINUED = """The text further below is one part of a longer document. The parts before it are \
rewritten already, and the end of that rewriting is quoted here. Continue it in the same manner, \
as one connected text. Do not start a new text, do not repeat anything, and add no closing \
remarks.

Rewritten so far:
\"\"\"
{earlier}
\"\"\"

"""


def continued(prompt: str, earlier: str) -> str:
    """Return a prompt for a chunk that follows others.

    Args:
        prompt: the prompt for the chunk alone.
        earlier: the end of what is rewritten already.
    """
    return _CONTINUED.format(earlier=earlier) + prompt


DOCUMENT_MARK, NAME_MARK, SOURCE_MARK = "[[DOCUMENT]]", "[[NAME]]", "[[SOURCE]]"
"""What a prompt of one's own has where the text, the name of the document, and in a filter the text
that it was written from, are to stand."""


@dataclass(frozen=True, kw_only=True)
class OwnPrompt:
    """A prompt of the user's own, as a style of rephrasing.

    Attributes:
        task: "own-" and the name of its file.
        template: the wording, with `DOCUMENT_MARK` and perhaps `NAME_MARK` and `SOURCE_MARK`.
    """

    task: str
    template: str

    @classmethod
    def read(cls, path: Path) -> OwnPrompt:
        """Return the prompt in a file.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not UTF-8, or the mark of the document is missing.
        """
        try:
            template = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
        if DOCUMENT_MARK not in template:
            raise ValueError(
                f"{path} has no {DOCUMENT_MARK}: write it where the text of a document is to stand"
            )
        return cls(task=f"own-{path.stem}", template=template)

    @property
    def version(self) -> str:
        """Hash of the wording, for the provenance."""
        return f"sha256:{hashlib.sha256(self.template.encode()).hexdigest()[:16]}"

    def prompt(self, *, name: str, document: str, source: str = "") -> str:
        """Return the prompt for a document; marks within it and its source stay.

        Without a source, so does the mark of the source.
        """
        values = {DOCUMENT_MARK: document, NAME_MARK: name}
        if source:
            values[SOURCE_MARK] = source
        marks = "|".join(map(re.escape, values))
        return re.sub(marks, lambda mark: values[mark.group()], self.template)
