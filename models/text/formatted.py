"""Texts of formatted documents: HTML pages, and PDF files through pypdf (extra `pdf`)."""

from __future__ import annotations

import codecs
import re
import shutil
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import PurePath
from typing import IO, Any

from models.text.data_home import CorpusError

PDF = b"%PDF-"
"""The bytes that PDF files begin with."""

SUFFIXES = (".html", ".htm", ".xhtml")

_PAGE = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*|<!--(?>.*?-->)\s*)*<(?:!doctype\s+html|html)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_CHARSET = re.compile(rb"""<meta\s[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_LATIN_1 = ("ascii", "iso8859-1")
"""Names by which pages mean Windows-1252, as browsers read them (WHATWG Encoding Standard)."""

LEFT_OUT = frozenset({"iframe", "nav", "noscript", "script", "style", "svg", "template", "title"})
"""Elements that hold no text of the page."""

PARAGRAPHS = frozenset(
    {"article", "blockquote", "body", "div", "dl", "figure", "footer", "form", "h1", "h2", "h3"}
    | {"h4", "h5", "h6", "header", "hr", "main", "ol", "p", "pre", "section", "table", "ul"}
)
LINES = frozenset({"br", "caption", "dd", "dt", "figcaption", "li", "option", "summary", "tr"})
CELLS = frozenset({"td", "th"})


def is_html(name: str, head: bytes) -> bool:
    """Return whether a file is an HTML page, by its first bytes or else its name."""
    return bool(_PAGE.match(head)) or PurePath(name).suffix.lower() in SUFFIXES


def html_encoding(label: str, head: bytes) -> str | None:
    """Return the encoding that a page states of itself, or None if it is UTF-8 or not stated.

    Raises:
        CorpusError: an encoding that Python does not know.
    """
    found = None if head.startswith(codecs.BOM_UTF8) else _CHARSET.search(head)
    if found is None:
        return None
    stated = found[1].decode()
    try:
        name = codecs.lookup(stated).name
    except LookupError as error:
        raise CorpusError(f"{label} states the encoding {stated!r}, which is not known") from error
    if name.startswith(("utf", "ucs")):  # a page in which this can be read is not UTF-16
        return None
    return "cp1252" if name in _LATIN_1 else name


def html_text(pieces: Iterator[str]) -> Iterator[str]:
    """Yield the text of a page, given in pieces, as pieces.

    White space is as a browser shows it: a blank line between paragraphs, headings, lists and
    tables, a line for each item and row, tabs between cells. Scripts, styles, navigation and the
    title are left out.
    """
    page = _Page()
    for piece in pieces:
        page.feed(piece)
        yield page.taken()
    page.close()
    yield page.taken()


class _Page(HTMLParser):
    """Collects the text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._gap = ""  # white space that is due before the next text
        self._left_out: list[str] = []
        self._n_pre = 0
        self._is_empty = True

    def taken(self) -> str:
        """Return the text since the last call."""
        text = "".join(self._parts)
        self._parts.clear()
        return text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in LEFT_OUT:
            self._left_out.append(tag)
        self._n_pre += tag == "pre"
        self._break(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._break(tag)  # <svg/> leaves nothing out

    def handle_endtag(self, tag: str) -> None:
        if tag in self._left_out:
            del self._left_out[self._left_out.index(tag) :]
        self._n_pre = max(0, self._n_pre - (tag == "pre"))
        if tag not in CELLS:
            self._break(tag)

    def handle_data(self, data: str) -> None:
        if self._left_out:
            return
        if self._n_pre:
            self._add(data)
            return
        words = re.sub(r"[ \t\n\r\f]+", " ", data)
        if words.startswith(" "):
            self._gap = self._gap or " "
        if words.strip(" "):
            self._add(words.strip(" "))
            self._gap = " " if words.endswith(" ") else ""

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Skip `<![...]>` as a comment, as HTML does, instead of failing on what is not SGML."""
        return self.parse_bogus_comment(i)

    def parse_bogus_comment(self, i: int, report: bool = True) -> int:
        """Return where the comment that begins at `i` ends, or -1 if more text is needed."""
        end = self.rawdata.find(">", i + 2)
        return end + 1 if end >= 0 else -1

    def _add(self, text: str) -> None:
        self._parts.append(("" if self._is_empty else self._gap) + text)
        self._is_empty, self._gap = False, ""

    def _break(self, tag: str) -> None:
        if self._left_out:
            return
        if tag in PARAGRAPHS:
            self._gap = "\n\n"
        elif tag in LINES and not self._gap.startswith("\n"):
            self._gap = "\n"
        elif tag in CELLS and not self._gap.startswith("\n"):
            self._gap = "\t"


def pdf_text(label: str, stream: IO[bytes]) -> Iterator[str]:
    """Yield the text of each page of a PDF, after a blank line except for the first.

    Raises:
        CorpusError: pypdf is not installed, or the file is damaged, encrypted or without text.
    """
    try:
        import pypdf
    except ImportError as error:
        raise CorpusError(
            f"{label} is a PDF, whose text needs pypdf, the extra 'pdf': pip install pypdf"
        ) from error
    is_empty = True
    with tempfile.TemporaryFile() as spool:
        source: Any = stream
        if not stream.seekable():
            shutil.copyfileobj(stream, spool)
            source = spool
        try:
            for page in pypdf.PdfReader(source).pages:
                if text := page.extract_text().strip():
                    # A font without a map to Unicode may yield lone surrogates.
                    yield "\n\n" * (not is_empty) + text.encode(errors="replace").decode()
                    is_empty = False
        except Exception as error:  # what it meets in a damaged file is of many kinds
            raise CorpusError(f"{label} is not a readable PDF: {error}") from error
    if is_empty:
        raise CorpusError(
            f"{label} is a PDF without text, perhaps a scan: recognize its text first"
        )
