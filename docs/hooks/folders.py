"""Write the map of a package into a page: its folders, each with the first line of its docstring.

A line `{folders: scaling}` of a page becomes a table, so the map cannot fall behind the code.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).parent.parent.parent
WANTED = re.compile(r"^\{folders: (\w+)\}$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page with its maps filled in; MkDocs calls this before Markdown is read."""
    return WANTED.sub(lambda found: _table(found[1]), markdown)


def _table(package: str) -> str:
    rows = [
        f"| `{path.parent.relative_to(HOUSE).as_posix()}/` | {_first_line(path)} |"
        for path in sorted((HOUSE / package).rglob("__init__.py"))
    ]
    return "\n".join(["| folder | what it holds |", "|---|---|", *rows])


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].replace("|", r"\|")
