"""The wording of every prompt, and its version: change one, and raise `PROMPT_VERSION`.

The methods are those of Maini et al. 2024 (rephrasing, arXiv 2401.16380) and Yang et al. 2024
(EntiGraph, arXiv 2409.07431); the wording is our own.
"""

from __future__ import annotations

PROMPT_VERSION = "1"

STYLES = ("easy", "medium", "hard", "qa")
"""Ways to rephrase a text."""

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
    "entities": "Read the text below. First summarise it in one paragraph. Then list the "
    "entities that it speaks of: people, places, organisations, things, works, events and ideas, "
    "each once, by the name that the text uses most, the important ones first. Answer with one "
    'JSON object and nothing else: {{"summary": "...", "entities": ["...", "..."]}}' + _SOURCE,
    "repair": "The answer below was to be one JSON object of the form "
    '{{"summary": "...", "entities": ["...", "..."]}} but cannot be read as such. Answer with that '
    "object, made from what the answer holds, and nothing else.\n\nAnswer:\n{document}\n",
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


def prompt_of(task: str, *, name: str, document: str, entities: tuple[str, ...] = ()) -> str:
    """Return the prompt of a task for a document.

    Args:
        task: a key of `PROMPTS`.
        name: title or name of the document.
        document: its text.
        entities: entities to discuss; only the tasks "pair" and "triple" use them.
    """
    quoted = [f'"{entity}"' for entity in entities]
    listed = " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else ""
    return PROMPTS[task].format(name=name, document=document, entities=listed)
