"""What a number of EntiGraph calls makes explicit on a graph of entities, and at what price.

The expectation is that of the random-graph model (`graphsim`) on the very graph: a call draws an
ordered pair of entities and, where a path of stated relations joins them, states the relation of
the first to every entity on it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from graphsim import EntityGraph, expected_accuracy, finite_law
from graphsim.edge_lists import read_graph_xml
from models.augment.backends.openai import BYTES_PER_TOKEN
from models.augment.backends.template import names_in
from models.augment.texts.records import read_records
from models.augment.writing.asking import Prices
from models.augment.writing.documents import Chunk
from models.augment.writing.entigraph import EntiGraph
from models.augment.writing.output import OutputFolder
from models.augment.writing.prompts import prompt_of
from models.augment.writing.relations import SourceGraph

if TYPE_CHECKING:
    import networkx as nx

GRAPH_SUFFIXES = (".graphml", ".gexf", ".tsv", ".edges", ".edgelist")
"""Files that are read as graphs; any other path as texts."""

LEVELS = (0.5, 0.9)
"""Shares of the plateau whose number of calls is planned."""

MOST_WORK = 2e8
"""Entities and edges met in searches from all sources that are summed, in some 2 seconds; where
there are more, as many sources are sampled."""

N_TIMES = 100
"""Times at which the expectation is summed; calls between two are interpolated by cubics."""

LAST_TIME = 50.0
"""Calls for each pair after which all that can be stated is, but for a share of exp(-50)."""


@dataclass(frozen=True, kw_only=True)
class AskedGraph:
    """A graph of entities and the pairs that calls are drawn from.

    Attributes:
        name: where it comes from, in words.
        graph: its entities and stated relations.
        n_asked: ordered pairs that calls are drawn from.
        n_documents: documents to whose own entities each call is confined; 0 if all entities of the
            graph are paired.
        prompt_tokens: tokens read in a call, 0 if unknown.
        reply_tokens: tokens written in a call, 0 if unknown.
        is_recorded: whether these are means of recorded answers, rather than upper estimates.
    """

    name: str
    graph: EntityGraph
    n_asked: int
    n_documents: int = 0
    prompt_tokens: float = 0.0
    reply_tokens: float = 0.0
    is_recorded: bool = False


@dataclass(frozen=True, kw_only=True)
class CallRow:
    """What a number of calls reaches.

    Attributes:
        calls: their number.
        share: of the implied relations, those stated by then (the share of the plateau).
        stderr: standard error of the share from sampling sources; 0 if exact.
        implied: implied relations stated by then.
        cost: of these calls, or None without prices.
    """

    calls: float
    share: float
    stderr: float
    implied: float
    cost: float | None = None


@dataclass(frozen=True, kw_only=True)
class CallPlan:
    """How many calls reach which share of the plateau.

    Attributes:
        asked: the graph and the pairs that calls are drawn from.
        n_implied: relations that paths imply and no sentence states, which is the plateau.
        levels: a row for each of `LEVELS`.
        chosen: a row for each number of calls that was asked about.
        law_calls: calls to each of `LEVELS` by the corrected law of a random graph of as many
            entities and relations, or None where it does not apply.
    """

    asked: AskedGraph
    n_implied: float
    levels: tuple[CallRow, ...]
    chosen: tuple[CallRow, ...]
    law_calls: tuple[float, ...] | None


def plan_calls(
    asked: AskedGraph, calls: Sequence[float] = (), *, prices: Prices | None = None
) -> CallPlan:
    """Return how many calls state half and 90 % of the relations that a graph implies.

    The expectation is exact where searches from all entities take a few seconds, and summed over a
    sample of sources, with its standard error, where they would take longer.

    Args:
        asked: the graph and the pairs that calls are drawn from.
        calls: numbers of calls to report as well.
        prices: prices of tokens.

    Raises:
        ValueError: the graph has no relations or implies none; prices, but unknown tokens.
    """
    graph = asked.graph
    if not graph.n_edges:
        raise ValueError(f"{asked.name}: no sentence names two of the entities together")
    if prices is not None and not (asked.prompt_tokens or asked.reply_tokens):
        raise ValueError(
            f"{asked.name} does not say how many tokens a call takes, so that it has no price; "
            "plan on the texts or on the output folder of `datawall augment entigraph`"
        )
    times = _times(asked.n_asked)
    affordable = max(16, int(MOST_WORK / (graph.n_entities + graph.n_edges)))
    n_sources = None if affordable >= graph.n_entities else affordable
    curve = expected_accuracy(graph, times, n_sources, n_drawn=asked.n_asked)
    implied = curve.accuracy * graph.n_pairs - graph.n_edges
    plateau = float(implied[-1])
    if plateau < 0.5:
        raise ValueError(
            f"{asked.name}: its {graph.n_edges:,} stated relations imply no others, so that calls "
            "can make nothing explicit"
        )
    stderr = curve.stderr * graph.n_pairs / plateau
    share_at = PchipInterpolator(np.log(times), implied / plateau)

    def row(n: float) -> CallRow:
        share = float(share_at(np.clip(np.log(n), 0, np.log(times[-1]))))
        return CallRow(
            calls=n,
            share=share,
            stderr=float(np.interp(n, times, stderr)),
            implied=share * plateau,
            cost=None
            if prices is None
            else n * prices.cost(asked.prompt_tokens, asked.reply_tokens),
        )

    return CallPlan(
        asked=asked,
        n_implied=plateau,
        levels=tuple(row(_calls_to(level, times, implied)) for level in LEVELS),
        chosen=tuple(map(row, calls)),
        law_calls=None if asked.n_documents else _law_calls(graph),
    )


def _times(n_asked: int) -> np.ndarray:
    return np.geomspace(1, LAST_TIME * max(n_asked, 2), N_TIMES)


def _calls_to(level: float, times: np.ndarray, gained: np.ndarray) -> float:
    """Return the time at which a gain that never falls reaches a share of its last value."""
    curve = PchipInterpolator(np.log(times), gained / gained[-1] - level)

    def share(log_time: float) -> float:
        return float(curve(log_time))

    if share(0.0) >= 0:
        return 1.0
    return float(np.exp(brentq(share, 0.0, np.log(times[-1]))))


def _law_calls(graph: EntityGraph) -> tuple[float, ...] | None:
    times = _times(graph.n_pairs)
    try:
        law = finite_law(graph.mean_degree, graph.n_entities, times)
    except ValueError:
        return None
    gained = law - graph.n_edges / graph.n_pairs
    return tuple(_calls_to(level, times, gained) for level in LEVELS)


def asked_graph(path: Path) -> AskedGraph:
    """Return the graph in a file, that of an output folder of augmentation, or that of texts.

    Of texts, the entities are those of the template writer: names, and words that occur repeatedly.

    Args:
        path: a GraphML, GEXF or edge list file, the folder of `datawall augment entigraph --out`,
            or a file or folder of texts.

    Raises:
        OSError: there is no such file.
        ValueError: the graph or a text cannot be read, or there are fewer than two entities.
    """
    kept = OutputFolder(path).graph
    if kept.is_file():
        return _from_file(kept, str(path))
    if path.suffix.lower() in GRAPH_SUFFIXES:
        return _from_file(path, str(path))
    if OutputFolder(path).calls.is_file():
        raise ValueError(
            f"{path} has no graph of entities; run its `datawall augment entigraph` again, which "
            "asks nothing twice and writes it"
        )
    return _from_texts(path)


def _from_file(path: Path, name: str) -> AskedGraph:
    found = read_graph_xml(path)
    parts = [] if found is None else [*found.nodes(data=True), *found.edges(data=True)]
    if found is not None and all("documents" in part[-1] for part in parts):
        return _within_documents(found, name, is_recorded=True)
    graph = EntityGraph.from_edge_list(path) if found is None else EntityGraph.from_networkx(found)
    return AskedGraph(name=name, graph=graph, n_asked=graph.n_pairs)


def _from_texts(path: Path) -> AskedGraph:
    graph, settings = SourceGraph(), EntiGraph()
    n_calls = n_read = 0
    for record in read_records(path):
        names = tuple(names_in(record.text, most=settings.max_entities))
        document = Chunk(source_id=record.id, part=0, n_parts=1, text=record.text)
        graph.add(document, names)
        prompt = prompt_of("pair", name=record.id, document=record.text, entities=names[:2])
        n_pairs = len(names) * (len(names) - 1)
        n_calls += n_pairs
        n_read += n_pairs * -(-len(prompt.encode()) // BYTES_PER_TOKEN)
    graph.prompt_tokens = n_read / max(n_calls, 1)
    graph.reply_tokens = settings.n_tokens
    return _within_documents(graph.to_networkx(), str(path), is_recorded=False)


def _within_documents(found: nx.Graph, name: str, *, is_recorded: bool) -> AskedGraph:
    """Return the graphs of all documents side by side: a call sees one document's entities."""
    places: dict[tuple[str, str], int] = {}
    for node, values in found.nodes(data=True):
        for document in json.loads(values["documents"]):
            places[document, node] = len(places)
    if len(places) < 2:
        raise ValueError(f"{name} names {len(places)} entities; at least 2 are needed")
    edges = [
        (places[document, source], places[document, target])
        for source, target, values in found.edges(data=True)
        for document in json.loads(values["documents"])
    ]
    _, sizes = np.unique([document for document, _ in places], return_counts=True)
    return AskedGraph(
        name=name,
        graph=EntityGraph.from_edges(len(places), np.array(edges, int).reshape(-1, 2)),
        n_asked=max(int((sizes * (sizes - 1)).sum()), 1),
        n_documents=len(sizes),
        prompt_tokens=float(found.graph.get("prompt_tokens", 0)),
        reply_tokens=float(found.graph.get("reply_tokens", 0)),
        is_recorded=is_recorded,
    )
