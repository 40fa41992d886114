"""Results as HTML, as notebooks show them.

No colours are set but one grey that is half transparent, so that a fragment takes on the theme of
the page, light or dark. All text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

LINE = "border-bottom: 1px solid rgba(128, 128, 128, .4)"


def fragment(
    title: str, *, tables: Iterable[str] = (), notes: Iterable[str] = (), verdict: str = ""
) -> str:
    """A result: its title, its tables (made by `table`), sentences below, and how it is judged.

    Args:
        title: what it is, in a line.
        tables: HTML of tables.
        notes: sentences, a paragraph each.
        verdict: "WORD: sentence"; the word is set in bold.
    """
    word, colon, sentence = verdict.partition(":")
    judged = f"<p><b>{html.escape(word)}</b>{colon}{html.escape(sentence)}</p>" if verdict else ""
    said = "".join(f"<p>{html.escape(note)}</p>" for note in notes if note)
    return f"<div><p><b>{html.escape(title)}</b></p>{''.join(tables)}{judged}{said}</div>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts; a column whose cells are all numbers is set to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    sides = [
        "right" if all(_is_number(row[i]) for row in cells) else "left" for i in range(len(columns))
    ]
    head = _row("th", columns, sides, LINE)
    return f"<table>{head}{''.join(_row('td', row, sides) for row in cells)}</table>"


def _row(tag: str, cells: Sequence[str], sides: Sequence[str], style: str = "") -> str:
    inside = "".join(
        f'<{tag} style="text-align: {side}; {style}">{html.escape(cell)}</{tag}>'
        for cell, side in zip(cells, sides, strict=True)
    )
    return f"<tr>{inside}</tr>"


def _is_number(cell: str) -> bool:
    return cell[:1] in "+-−.0123456789∞[(" or cell in ("none", "pinned")
