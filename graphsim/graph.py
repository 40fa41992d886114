"""The source corpus as a directed graph of entities, in compressed sparse rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from graphsim import edge_lists, generators
from graphsim._html import values_html
from graphsim.checks import checked_entities
from graphsim.components import GiantComponents, giant_components

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array


@dataclass(frozen=True, kw_only=True, eq=False)
class EntityGraph:
    """A simple directed graph on V entities: the relations that the source corpus states.

    Rows are sorted, so that the first-in-first-out tie rule prefers the lower entity number.
    Build a graph with a class method; the constructor does not check its arrays.

    Attributes:
        indptr: int64, shape (V + 1,): row x is ``indices[indptr[x]:indptr[x + 1]]``.
        indices: int32, shape (E,): targets, ascending and distinct in each row, never x itself.
        labels: names of the entities in order, or None for 0..V-1.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    labels: tuple[Hashable, ...] | None = None

    def __str__(self) -> str:
        return f"{self.n_entities:,} entities, {self.n_edges:,} edges"

    def _repr_html_(self) -> str:
        return values_html(
            "graph of entities",
            {
                "entities": self.n_entities,
                "edges": self.n_edges,
                "mean degree": self.n_edges / self.n_entities,
            },
        )

    @classmethod
    def random(cls, n_entities: int, mean_degree: float, seed: int = 0) -> EntityGraph:
        """Return a directed Erdős–Rényi graph: each ordered pair has p = mean_degree / V.

        The expected out-degree is mean_degree (V - 1) / V, as in the paper. Time is O(E).

        Args:
            n_entities: V, at least 2.
            mean_degree: lambda, between 0 and V; above 1 for a giant component.
            seed: random seed.

        Raises:
            ValueError: for V < 2, a mean degree outside [0, V], or too little memory.

        Source:
            Yang et al. 2024, arXiv 2409.07431, section 6.
        """
        return cls(**generators.erdos_renyi(n_entities, mean_degree, seed))

    @classmethod
    def configuration(
        cls, out_degrees: ArrayLike, in_degrees: ArrayLike, seed: int = 0
    ) -> EntityGraph:
        """Return a random graph with given degrees, for a source with hubs.

        Out-stubs are paired with in-stubs at random. Self-loops and repeated edges are dropped, so
        degrees are at most the requested ones; the share lost vanishes as V grows.

        Args:
            out_degrees: requested out-degrees, shape (V,).
            in_degrees: requested in-degrees, shape (V,), with the same sum.
            seed: random seed.

        Raises:
            ValueError: for negative degrees, unequal lengths, or sums that differ.
        """
        return cls(**generators.configuration(out_degrees, in_degrees, seed))

    @classmethod
    def stochastic_block(
        cls, sizes: Sequence[int], probabilities: ArrayLike, seed: int = 0
    ) -> EntityGraph:
        """Return a graph of a directed stochastic block model, for a source with topics.

        Args:
            sizes: numbers of entities in the blocks, length B.
            probabilities: probability of an edge from block a to block b, shape (B, B).
            seed: random seed.

        Raises:
            ValueError: for a matrix that is not square in the blocks or not within [0, 1].
        """
        return cls(**generators.stochastic_block(sizes, probabilities, seed))

    @classmethod
    def from_edges(cls, n_entities: int, edges: ArrayLike) -> EntityGraph:
        """Return the graph of integer pairs, shape (E, 2), without self-loops and repeated edges.

        Raises:
            ValueError: for an edge outside 0..V-1 or an array of another shape.
        """
        return cls(**generators.from_pairs(checked_entities(n_entities), edges))

    @classmethod
    def from_edge_list(cls, path: str | Path) -> EntityGraph:
        """Return the graph in an edge list, GraphML or GEXF file, with names as labels.

        An edge list has a source and a target in each line, separated by tabs, arrows (``->``),
        semicolons, commas or spaces, the same throughout; names that contain the separator are
        quoted. A line that begins with ``#`` is a comment. A header (source, target, ...) names the
        columns; without one they are the first two, and weights and attributes in braces behind
        them are ignored. An entity that occurs only with itself stays, without edges.

        Raises:
            OSError: if the file cannot be read.
            ValueError: for a line outside this grammar (with its number), an undirected graph, or
                fewer than two entities.
        """
        graph = edge_lists.read_graph_xml(Path(path))
        if graph is not None:
            return cls.from_networkx(graph)
        return cls(**edge_lists.read_edge_list(Path(path)))

    @classmethod
    def from_networkx(cls, graph: nx.Graph) -> EntityGraph:
        """Return the graph of a directed networkx graph, with node names as labels.

        Weights are ignored, because the model has only "stated" and "not stated"; self-loops are
        dropped, because there is no ordered pair (x, x); parallel edges are merged.

        Raises:
            ValueError: for an undirected graph, or fewer than two nodes.
        """
        if not graph.is_directed():
            raise ValueError(
                "the model needs a directed graph; convert with graph.to_directed() if a relation "
                "holds both ways"
            )
        labels = tuple(graph.nodes)
        position = {name: number for number, name in enumerate(labels)}
        pairs = [(position[source], position[target]) for source, target in graph.edges()]
        edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        rows = generators.from_pairs(checked_entities(len(labels)), edges)
        return cls(**rows, labels=None if labels == tuple(range(len(labels))) else labels)

    def to_networkx(self) -> nx.DiGraph:
        """Return a networkx DiGraph with the same nodes and edges, rows in ascending order."""
        import networkx as nx

        names = self.labels if self.labels is not None else range(self.n_entities)
        graph: nx.DiGraph = nx.DiGraph()
        graph.add_nodes_from(names)
        graph.add_edges_from((names[source], names[target]) for source, target in self.edges())
        return graph

    @property
    def n_entities(self) -> int:
        """The number of entities V."""
        return len(self.indptr) - 1

    @property
    def n_edges(self) -> int:
        """The number of stated relations E."""
        return len(self.indices)

    @property
    def n_pairs(self) -> int:
        """The number of ordered pairs n = V (V - 1)."""
        return self.n_entities * (self.n_entities - 1)

    @property
    def mean_degree(self) -> float:
        """The mean out-degree E / V of this graph."""
        return self.n_edges / self.n_entities

    def successors(self, entity: int) -> NDArray[np.int32]:
        """Return the targets of an entity, ascending, shape (out_degree,).

        Raises:
            ValueError: for an entity outside 0..V-1.
        """
        if not 0 <= entity < self.n_entities:
            raise ValueError(f"entity must be in 0..{self.n_entities - 1}, not {entity}")
        return self.indices[self.indptr[entity] : self.indptr[entity + 1]]

    def edges(self) -> NDArray[np.int64]:
        """Return all edges, shape (E, 2), in row order."""
        sources = np.repeat(np.arange(self.n_entities), np.diff(self.indptr))
        return np.column_stack([sources, self.indices.astype(np.int64)])

    def to_sparse(self) -> csr_array:
        """Return the adjacency matrix M_0 as a scipy CSR array of ones, shape (V, V)."""
        from scipy.sparse import csr_array

        ones = np.ones(self.n_edges, dtype=np.int8)
        shape = (self.n_entities, self.n_entities)
        return csr_array((ones, self.indices, self.indptr), shape=shape)

    def giant_components(self) -> GiantComponents:
        """Return the giant strong component, the entities that reach it and those it reaches."""
        return giant_components(self.to_sparse())
