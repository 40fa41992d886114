"""Remove what reasoning models say to themselves before, or between, the parts of an answer."""

from __future__ import annotations

import re

_NAMES = r"(?:think|thinking|thought|reasoning|reflection|seed:think)"
_OPEN = re.compile(rf"<{_NAMES}>|◁think▷|\[THINK\]", re.IGNORECASE)
_CLOSE = re.compile(rf"</{_NAMES}>|◁/think▷|\[/THINK\]", re.IGNORECASE)
_FINAL = re.compile(r"<\|channel\|>final<\|message\|>")
_END = re.compile(r"<\|(?:return|end|im_end|eot_id)\|>\s*$")


def without_reasoning(text: str) -> str:
    """Return an answer without its reasoning blocks, such as <think>...</think>.

    Blocks may be nested. Where a chat template has opened the block, the answer only closes it; an
    answer cut while reasoning only opens it, and nothing of it remains. An opening tag within a
    line, without a closing one, is left: it is part of the text.
    """
    final = [match.end() for match in _FINAL.finditer(text)]
    if final:  # the channels of gpt-oss, where the server has not separated them
        text = _END.sub("", text[final[-1] :])
    kept, at = "", 0
    while opened := _OPEN.search(text, at):
        end = _end_of_block(text, opened.end())
        if end is None:
            begins_line = not text[text.rfind("\n", 0, opened.start()) + 1 : opened.start()].strip()
            if begins_line:
                return _after_close(kept + text[at : opened.start()])
            break
        kept += text[at : opened.start()]
        at = end
    return _after_close(kept + text[at:])


def _end_of_block(text: str, start: int) -> int | None:
    """Return where the block that was opened before `start` ends, or None if it does not."""
    depth, at = 1, start
    while closed := _CLOSE.search(text, at):
        depth += len(_OPEN.findall(text, at, closed.start())) - 1
        at = closed.end()
        if depth <= 0:
            return at
    # A draft that mentions the opening tag: the last closing tag ends the block.
    return at if at > start else None


def _after_close(text: str) -> str:
    closed = list(_CLOSE.finditer(text))
    return text[closed[-1].end() :] if closed else text
