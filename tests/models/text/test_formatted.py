"""Texts of HTML pages and PDF files."""

import html
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.corpora import load_corpus
from models.text.data_home import CorpusError
from models.text.formatted import html_text, is_html
from tests.models.text.files import texts_of, write

PAGE = """\ufeff <!-- saved -->
<!DOCTYPE html><html><head><title>Not this</title><meta name=x content="charset">
<style>p { color: red }</style><script>if (a < b) { document.write("<p>no</p>") }</script></head>
<body><nav><ul><li>Home</li></ul></nav>
<h1>On   caf&eacute;s</h1><p>One <b>bold</b>,
wrapped line.<br>After a break &amp; more<p>Unclosed &lt;tag&gt;
<table><tr><td>a<td>b</tr><tr><td>c</td><td>d</td></tr></table>
<ul><li>first</li><li><p>second</p></li></ul>
<pre>def f():
    return 1</pre>
<svg><text>drawn</text></svg><![CDATA[x]]><![unknown[y]]>end</body></html>
"""
TEXT = """On cafés

One bold, wrapped line.
After a break & more

Unclosed <tag>

a\tb
c\td

first

second

def f():
    return 1

end"""


def read(path):
    return texts_of(load_corpus(f"files:{path}"))


@pytest.mark.parametrize("name", ["page.html", "page", "page.txt"])
def test_a_page_is_read_as_a_browser_shows_it(tmp_path, name):
    assert read(write(tmp_path / name, PAGE)) == [TEXT]


@pytest.mark.parametrize("size", [1, 2, 7, 50])
def test_a_page_in_pieces_is_the_same_page(size):
    page = PAGE.removeprefix("\ufeff")
    pieces = (page[i : i + size] for i in range(0, len(page), size))
    assert "".join(html_text(pieces)) == TEXT


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_in_a_paragraph_comes_back_but_for_its_spaces(text):
    found = "".join(html_text(iter([f"<p>{html.escape(text)}</p>"])))
    assert found == re.sub(" +", " ", text).strip(" ")


def test_many_comments_do_not_slow_down_telling_pages_from_text():
    """The time of an earlier expression doubled with each comment."""
    assert not is_html("x.txt", b"<!-- a --> " * 1000)
    assert is_html("x.txt", b"<!-- a --> " * 1000 + b"<html>")


@given(st.text("<>!-/[]=\"'& \nabpt", max_size=60))
def test_no_markup_is_too_damaged_to_be_read(text):
    "".join(html_text(iter([text])))


def test_the_encoding_that_a_page_states_is_used(tmp_path):
    page = "<html><meta charset={}><p>{}".format
    for encoding, text in [("shift_jis", "東京"), ("ISO-8859-1", "“café”"), ("utf-8", "é")]:
        data = page(encoding, text).encode("cp1252" if "8859" in encoding else encoding)
        assert read(write(tmp_path / "x.html", data)) == [text]
    assert read(write(tmp_path / "x.html", page("utf-16", "é").encode("utf-16"))) == ["é"]
    for data, message in [
        (page("martian", "x").encode(), "x.html states the encoding 'martian', which is not known"),
        (page("shift_jis", "x").encode() + b"\x81", "x.html is not shift_jis: near byte"),
        (b"<html>\xe9", "x.html is not UTF-8: byte 0xe9 at offset 6"),
    ]:
        with pytest.raises(CorpusError, match=message):
            read(write(tmp_path / "x.html", data))


def pdf(*pages):
    """A PDF with a line of text a page."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for i, text in enumerate(pages):
        shown = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else ""
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>",
            f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream",
        ]
    data, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{content}\nendobj\n".encode("cp1252")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    n = len(objects) + 1
    trailer = f"trailer\n<< /Size {n} /Root 1 0 R >>\nstartxref\n{len(data)}\n%%EOF\n"
    return data + f"xref\n0 {n}\n0000000000 65535 f \n{table}{trailer}".encode()


def test_a_pdf_is_one_text_of_its_pages(tmp_path):
    pytest.importorskip("pypdf", reason="needs the extra pdf")
    folder = tmp_path / "pdfs"
    write(folder / "a.pdf", pdf("The café is open.", "", "It closes at ten."))
    write(folder / "b", pdf("Another."))
    corpus = load_corpus(f"files:{folder}")
    assert [d.id for d in corpus.documents] == ["a.pdf", "b"]
    assert texts_of(corpus) == ["The café is open.\n\nIt closes at ten.", "Another."]


def test_a_pdf_without_text_or_damaged_is_named(tmp_path):
    pytest.importorskip("pypdf", reason="needs the extra pdf")
    with pytest.raises(CorpusError, match=r"a.pdf is a PDF without text, perhaps a scan"):
        read(write(tmp_path / "a.pdf", pdf("")))
    for data in (b"%PDF-1.4\nnothing", pdf("A text.")[:200]):
        with pytest.raises(CorpusError, match=r"a.pdf is (not a readable PDF|a PDF without text)"):
            read(write(tmp_path / "a.pdf", data))


def test_a_pdf_without_the_library_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(CorpusError, match=r"a.pdf is a PDF, .* the extra 'pdf': pip install pypdf"):
        read(write(tmp_path / "a.pdf", pdf("A text.")))
