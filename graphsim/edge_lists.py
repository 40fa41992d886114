"""Read graphs from files: edge lists, GraphML and GEXF.

An edge list has a source and a target in each line. The whole file has one separator: tabs, arrows
(->), semicolons, commas or spaces. Names that contain the separator are quoted. Lines that begin
with # are comments. The first line may be a header (source, target, ...), which names the columns
of the two. Without a header they are the first two columns, and the third may hold only a number or
attributes in braces. Any other line is an error, reported with its number: a graph that was read
wrongly does not look wrong.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graphsim.generators import LabelledRows, from_pairs

if TYPE_CHECKING:
    import networkx as nx

SAMPLE_LINES = 1000
"""Lines from which the separator is found."""

HEADERS = (
    ("source", "target"), ("src", "dst"), ("src", "tgt"), ("from", "to"), ("subject", "object"),
    ("head", "tail"), ("start", "end"), ("start_id", "end_id"), ("source_id", "target_id"),
    ("node1", "node2"), ("node_1", "node_2"), ("fromnodeid", "tonodeid"), ("u", "v"),
)  # fmt: skip
"""Names of the columns of an edge, in lower case."""

FOREIGN = {
    "a Matrix Market file": r"%",
    "a Pajek file": r"\*(vertices|network|arcs|edges)",
    "JSON": r"[{\[]",
    "a Graphviz or GML file": r"(strict\s+)?(di)?graph\b.*[{\[]$",
    "a UCINET file": r"dl\s+n\s*=",
}
"""How files that are no edge lists begin."""

ARROW, SPACES = "->", " "
_ATTRIBUTES = re.compile(r"[\s,;]+\{.*\}\s*$")

Lines = Sequence[tuple[int, str]]
"""Numbers and texts of lines."""


def read_edge_list(path: Path) -> LabelledRows:
    """Return the graph and the names of its entities, in the order in which they occur.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line outside the grammar (with its number), or fewer than two entities.
    """
    lines = _lines(path)
    if not lines:
        raise ValueError(f"{path} names 0 entities; at least 2 are needed")
    number, first = lines[0]
    for kind, start in FOREIGN.items():
        if re.match(start, first, re.IGNORECASE):
            raise ValueError(
                f"{path}, line {number}: this is {kind}: {first[:40]!r}; needed are lines with a "
                "source and a target, or GraphML or GEXF"
            )
    position: dict[str, int] = {}
    edges = _edges(path, lines)
    pairs = [tuple(position.setdefault(name, len(position)) for name in names) for names in edges]
    if len(position) < 2:
        raise ValueError(f"{path} names {len(position)} entities; at least 2 are needed")
    rows = from_pairs(len(position), np.array(pairs, dtype=np.int64))
    return {**rows, "labels": tuple(position)}


def read_graph_xml(path: Path) -> nx.Graph | None:
    """Return the graph of a GraphML or GEXF file, or None if the file is neither.

    Its nodes are the labels of the file if these are distinct, else its ids.

    Raises:
        OSError: the file cannot be read.
        ValueError: XML of another kind, or damaged.
    """
    with path.open("rb") as file:
        start = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    kind = re.search(rb"<(?:\w+:)?(graphml|gexf)[\s>]", start)
    if not start.startswith(b"<?xml") and not (kind and start.startswith(b"<")):
        return None
    if kind is None:
        raise ValueError(f"{path} is XML, but neither GraphML nor GEXF")
    import networkx as nx

    read = nx.read_graphml if kind[1] == b"graphml" else nx.read_gexf
    try:
        graph = read(path)
    # networkx passes on the errors of its parser and of conversions.
    except (nx.NetworkXException, SyntaxError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a readable {kind[1].decode()} file: {error}") from error
    labels = {node: str(label) for node, label in graph.nodes(data="label") if label}
    if len({*labels.values()}) == len(graph):
        graph = nx.relabel_nodes(graph, labels)
    return graph


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines with content, with their numbers."""
    data = path.read_bytes()
    packed = {b"\x1f\x8b": "gzip", b"PK": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
    for magic, kind in packed.items():
        if data.startswith(magic):
            raise ValueError(f"{path} is packed ({kind}); unpack it first")
    coding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(coding)
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {number}: not UTF-8 text") from None
    # Not `splitlines`, for which form feeds and line separators within names end lines.
    stripped = (line.strip() for line in re.split(r"\r\n|\n|\r", text))
    return [
        (number, line)
        for number, line in enumerate(stripped, start=1)
        if line and not line.startswith("#")
    ]


def _edges(path: Path, lines: Lines) -> Iterator[tuple[str, str]]:
    """Yield sources and targets."""
    separator = _separator(path, lines)
    header = _header([_split(line, separator) for _, line in lines[:SAMPLE_LINES]])
    source, target, kind = header or (0, 1, None)
    for number, line in lines[1 if header else 0 :]:
        fields = _split(line, separator)
        if len(fields) <= max(source, target) or not (fields[source] and fields[target]):
            raise ValueError(f"{path}, line {number}: two names needed, found {line[:80]!r}")
        if header is None and len(fields) > 2 and not _is_weight(fields[2]):
            raise ValueError(
                f"{path}, line {number}: {fields[2][:40]!r} is neither a weight nor attributes in "
                f"braces; quote names that contain {separator!r}, or name the columns in a first "
                "line, such as source, target, type"
            )
        if kind is not None and fields[kind : kind + 1] == ["Undirected"]:
            raise ValueError(
                f"{path}, line {number}: an undirected edge; the model needs directed ones, so "
                "state a relation that holds both ways twice"
            )
        yield fields[source], fields[target]


def _separator(path: Path, lines: Lines) -> str:
    """Return the separator of a file.

    Tabs and arrows hardly occur in names, so that they win; spaces are the last resort.
    """
    sample = [line for _, line in lines[:SAMPLE_LINES]]

    def pairs(separator: str) -> list[list[str]]:
        """Return the names of the lines that this separator splits."""
        found = (_split(line, separator)[:2] for line in sample)
        return [names for names in found if len(names) == 2 and all(names)]

    splits = {
        separator: names
        for separator in ("\t", ARROW, ";", ",", SPACES)
        if len(_split(sample[0], separator)) > 1
        and 2 * len(names := pairs(separator)) >= len(sample)
    }
    if ";" in splits and "," in splits and not {"\t", ARROW} & splits.keys():
        # As in alpha;beta;0,5: the other one occurs only behind the names.
        for separator, other in ((";", ","), (",", ";")):
            if not any(other in name for names in splits[separator] for name in names):
                return separator
        number, line = lines[0]
        raise ValueError(
            f"{path}, line {number}: {line[:80]!r} can be split at ';' and at ','; quote names "
            "that contain either"
        )
    if not splits:
        number, line = lines[0]
        raise ValueError(f"{path}, line {number}: two names needed, found {line[:80]!r}")
    return next(iter(splits))


def _split(line: str, separator: str) -> list[str]:
    """Return the fields of a line; [] if its quotes are unbalanced."""
    if line.endswith("}"):
        line = _ATTRIBUTES.sub("", line)
    if separator == ARROW:
        fields = line.split(ARROW)
        return [field.strip().strip('"') for field in fields] if len(fields) == 2 else []
    if '"' not in line:
        return line.split() if separator == SPACES else [f.strip() for f in line.split(separator)]
    line = line.replace("\t", " ") if separator == SPACES else line
    try:
        rows = [*csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True)]
    except csv.Error:
        return []
    return [field.strip() for field in rows[0]]


def _header(rows: list[list[str]]) -> tuple[int, int, int | None] | None:
    """Return the columns of source, target and type, or None if the first row is an edge."""
    first, others = rows[0], [row for row in rows[1:] if len(row) > 1]
    names = [re.sub(r"[\s_]+", "_", name.lower().lstrip(":")) for name in first]
    kind = names.index("type") if "type" in names else None
    for pair in HEADERS:
        if all(names.count(name) == 1 for name in pair):
            source, target = map(names.index, pair)
            headings = {first[source], first[target]}
            # What occurs again is an entity that happens to be called so.
            if not any(
                headings & {*row[source : source + 1], *row[target : target + 1]} for row in others
            ):
                return source, target, kind
    are_numbers = others and all(name.isdecimal() for row in others for name in row[:2])
    if are_numbers and not any(name.isdecimal() for name in first[:2]):
        return 0, 1, kind
    return None


def _is_weight(field: str) -> bool:
    """Return whether a third field may be left out: a number, attributes, "Directed" or nothing."""
    if not field or field[0] == "{" or field == "Directed":
        return True
    try:
        float(field.replace(",", "."))
    except ValueError:
        return False
    return True
