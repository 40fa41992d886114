"""Results as HTML fragments for notebooks.

The only color set is a half-transparent grey, so that a fragment follows the light or dark theme of
the page. All text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

LINE = "border-bottom: 1px solid rgba(128, 128, 128, .4)"


def fragment(
    title: str, *, tables: Iterable[str] = (), notes: Iterable[str] = (), verdict: str = ""
) -> str:
    """HTML of a result: title, tables, verdict, then notes.

    Args:
        title: one line.
        tables: HTML of tables, as `table` returns it.
        notes: sentences, each a paragraph; empty ones are skipped.
        verdict: "WORD: sentence"; the word is set in bold.
    """
    word, colon, sentence = verdict.partition(":")
    judged = f"<p><b>{html.escape(word)}</b>{colon}{html.escape(sentence)}</p>" if verdict else ""
    paragraphs = "".join(f"<p>{html.escape(note)}</p>" for note in notes if note)
    return f"<div><p><b>{html.escape(title)}</b></p>{''.join(tables)}{judged}{paragraphs}</div>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """HTML table of text cells; columns that hold only numbers are aligned to the right."""
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
