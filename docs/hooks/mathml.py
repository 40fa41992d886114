"""Turn LaTeX into MathML while the pages are built, so that no script draws it in the browser."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
"""What the extension `pymdownx.arithmatex` leaves of a formula, in a line or on its own."""


def on_page_content(content: str, **_: Any) -> str:
    """Replace every formula of a page; MkDocs calls this between Markdown and template."""
    return FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    latex = html.unescape(found["latex"]).strip()
    if found["tag"] == "span":
        return convert(latex, display="inline")
    return f'<div class="formula">{convert(latex, display="block")}</div>'
