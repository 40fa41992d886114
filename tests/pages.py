"""Pages of documentation as programs: their blocks, files, commands and what these print.

- A block of Python runs; the blocks of a page share their names, from top to bottom. A block of
  text right after one is what it prints.
- A block with a title, as in ```python title="recipe.py", is a file beside the page's program.
- In a console block, lines that begin with "$ " are commands and the others what they print.
- "..." in printed text stands for anything.
"""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOUSE = Path(__file__).parent.parent
PAGES = [HOUSE / "README.md", *sorted((HOUSE / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w*)(?P<options>[^\n`]*)\n(?P<body>.*?)^```$", re.M | re.S)
INLINE = re.compile(r"`(datawall [^`]+)`")
TITLE = re.compile(r'title="([^"]+)"')
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block.

    Attributes:
        line: where it begins in its page.
        language: the word after the fence.
        title: of the file that it is, else empty.
        body: its text.
        printed: what it prints as the page has it, None where the page does not say.
    """

    line: int
    language: str
    title: str
    body: str
    printed: str | None = None


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page; those that are the output of one before are part of it."""
    text = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    end = 0
    for found in FENCE.finditer(text):
        title = TITLE.search(found["options"])
        block = Block(
            line=text.count("\n", 0, found.start()) + 1,
            language=found["language"],
            title=title[1] if title else "",
            body=found["body"],
        )
        before = blocks[-1] if blocks else None
        is_next = not text[end : found.start()].strip()
        end = found.end()
        if before and is_next and before.language == "python" and block.language == "text":
            blocks[-1] = Block(**{**vars(before), "printed": block.body})
        else:
            blocks.append(block)
    return blocks


def commands_of(block: Block) -> Iterator[tuple[list[str], str | None]]:
    """Yield the calls of `datawall` in a block of console or shell text, with what they print."""
    if block.language == "bash":
        for line in block.body.replace("\\\n", " ").splitlines():
            if line.startswith("datawall "):
                yield shlex.split(line, comments=True)[1:], None
    if block.language == "console":
        for part in re.split(r"^\$ ", block.body.replace("\\\n", " "), flags=re.M)[1:]:
            line, _, printed = part.partition("\n")
            if line.startswith("datawall "):
                yield shlex.split(line, comments=True)[1:], printed.strip("\n") or None


def commands_named(page: Path) -> Iterator[list[str]]:
    """Yield the calls that the prose of a page names, in `datawall ...`."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for command in INLINE.findall(prose):
        yield shlex.split(command)[1:]


def difference(said: str, printed: str) -> str:
    """Compare what a page says with what was printed; empty where they agree."""
    if doctest.OutputChecker().check_output(said.rstrip() + "\n", printed.rstrip() + "\n", LIKE):
        return ""
    return f"the page says\n{said}\nand the program printed\n{printed}"


def words_missing(said: str, printed: str) -> list[str]:
    """Return the lines of words alone that a page has and the program did not print.

    For what training prints: the figures differ from machine to machine, and so does the length of
    a table's rules.
    """
    there = " ".join(printed.split())
    lines = [" ".join(line.split()) for line in said.splitlines()]
    return [line for line in lines if not re.search(r"[\d.─]", line) and line not in there]
