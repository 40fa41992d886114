"""Convert LaTeX to MathML when the pages are built, so that the browser needs no script."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
"""A formula in the output of the extension `pymdownx.arithmatex`, inline or as a block."""


def on_page_content(content: str, **_: Any) -> str:
    """Return a page with its formulas as MathML; MkDocs calls this after converting Markdown."""
    return FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    latex = html.unescape(found["latex"]).strip()
    if found["tag"] == "span":
        return convert(latex, display="inline")
    return f'<div class="formula">{convert(latex, display="block")}</div>'
