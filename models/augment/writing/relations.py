"""The graph of entities that a text states, for EntiGraph's random-graph model (`graphsim`).

Two entities of a document are related where one of its sentences names both. EntiGraph's calls are
then what the model calls steps: a call on two entities that only a chain of such sentences joins
makes their relation explicit.
"""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from models.augment.writing.documents import Chunk
from models.augment.writing.entigraph import folded
from models.text.data_home import replacing

if TYPE_CHECKING:
    import networkx as nx

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n[ \t]*\n\s*")
_UNWRITABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffe\uffff]")
"""Characters that XML 1.0 has no form for."""


@dataclass(kw_only=True)
class SourceGraph:
    """Entities and stated relations of documents, gathered one document at a time.

    Names that differ only in case, width or white space are one entity, in all documents.

    Attributes:
        prompt_tokens: mean tokens read in a call, 0 if unknown.
        reply_tokens: mean tokens written in a call, 0 if unknown.
    """

    prompt_tokens: float = 0.0
    reply_tokens: float = 0.0
    _names: dict[str, str] = field(default_factory=dict)
    _documents: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _stated: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, document: Chunk, names: tuple[str, ...]) -> None:
        """Add the entities of a document and the pairs that its sentences state."""
        cleaned = {folded(name): name for name in (_UNWRITABLE.sub("", name) for name in names)}
        keys = [key for key in cleaned if key.strip()]
        place = document.source_id
        if document.n_parts > 1:
            place += f"#{document.part}"
        for key in keys:
            self._names.setdefault(key, cleaned[key])
            self._documents[key].append(place)
        for i, j in stated_pairs(document.text, [cleaned[key] for key in keys]):
            self._stated[tuple(sorted((keys[i], keys[j])))].append(place)  # type: ignore[index]

    def to_networkx(self) -> nx.DiGraph:
        """Return the graph, every relation as an edge in both directions.

        Nodes and edges have the attribute `documents`, a JSON list of the documents (with `#part`
        where they were split) that name or relate them; the graph has `prompt_tokens` and
        `reply_tokens` if known.
        """
        import networkx as nx

        graph: nx.DiGraph = nx.DiGraph()
        if self.prompt_tokens or self.reply_tokens:
            graph.graph |= {
                "prompt_tokens": float(self.prompt_tokens),
                "reply_tokens": float(self.reply_tokens),
            }
        for key, name in self._names.items():
            graph.add_node(name, documents=json.dumps(self._documents[key]))
        for (first, second), places in self._stated.items():
            a, b, documents = self._names[first], self._names[second], json.dumps(places)
            graph.add_edge(a, b, documents=documents)
            graph.add_edge(b, a, documents=documents)
        return graph

    def write(self, graphml: Path, edges: Path) -> None:
        """Write the graph as GraphML and as an edge list, a source and a target in each line.

        Args:
            graphml: file with all attributes.
            edges: file that `EntityGraph.from_edge_list` reads; an entity without relations is
                listed with itself.
        """
        import networkx as nx

        graph = self.to_networkx()
        with replacing(graphml) as beside:
            nx.write_graphml(graph, beside)
        with replacing(edges) as beside, beside.open("w", encoding="utf-8", newline="") as file:
            # Quoted, so that no name can be taken for a comment or hold the separator.
            writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL, lineterminator="\n")
            writer.writerow(("source", "target"))
            writer.writerows(graph.edges)
            writer.writerows((name, name) for name, degree in graph.degree if not degree)


def stated_pairs(text: str, names: list[str]) -> list[tuple[int, int]]:
    """Return the positions i < j of names that some sentence of a text has both of.

    A name must occur as a whole, in any case, width and white space; other forms of it, such as a
    surname alone, do not count.
    """
    wanted = [(" ".join(folded(name).split()), _pattern(name)) for name in names]
    pairs: set[tuple[int, int]] = set()
    for sentence in _SENTENCE_END.split(text):
        read = " ".join(folded(sentence).split())
        named = [
            position
            for position, (name, pattern) in enumerate(wanted)
            if name in read and pattern.search(read)  # the first is quick, the second right
        ]
        pairs.update(itertools.combinations(named, 2))
    return sorted(pairs)


def _pattern(name: str) -> re.Pattern[str]:
    words = re.escape(" ".join(folded(name).split()))
    # Scripts without spaces, from CJK radicals on, have no word boundaries.
    if not any(ord(character) >= 0x2E80 for character in name):
        words = rf"(?<!\w){words}(?!\w)"
    return re.compile(words)
