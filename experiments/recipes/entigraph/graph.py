"""Entities joined by turns: a random directed graph whose every reachable pair has one relation."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from graphsim import EntityGraph

N_RELATIONS = 4
"""Turns by a quarter: relations that add up along a path, modulo a whole turn."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FactGraph:
    """A directed graph whose edges carry a relation in Z_4.

    The relation of a reachable pair is the sum along its path in the first-in-first-out
    breadth-first tree, the one that `graphsim` learns from: it can be derived from the edges, is
    the pair's own, and all four are about as frequent, so that nothing but the facts gives it away.

    Attributes:
        edges: the entities x and the stated edges x -> y.
        parents: int [V, V]; the entity before y on the path from x, -1 where there is none.
        depths: int [V, V]; edges on that path, -1 where y cannot be reached, 0 where y is x.
        relations: int [V, V] in 0 .. 3, -1 where there is no path.
    """

    edges: EntityGraph
    parents: np.ndarray
    depths: np.ndarray
    relations: np.ndarray

    @classmethod
    def random(cls, n_entities: int, mean_degree: float, seed: int) -> FactGraph:
        """Return the graph of `EntityGraph.random` with a uniform relation for every edge.

        Args:
            n_entities: V.
            mean_degree: expected stated edges of an entity.
            seed: random seed.
        """
        edges = EntityGraph.random(n_entities, mean_degree, seed=seed)
        rng = np.random.default_rng((seed, 1))
        return cls.of(edges, rng.integers(N_RELATIONS, size=edges.n_edges))

    @classmethod
    def of(cls, edges: EntityGraph, edge_relations: np.ndarray) -> FactGraph:
        """Return the graph of these edges, their relations [E], in row order, added up along paths.

        Raises:
            ValueError: another number of relations than edges.
        """
        if len(edge_relations) != edges.n_edges:
            raise ValueError(
                f"there must be a relation for each of the {edges.n_edges} edges; "
                f"not {len(edge_relations)}"
            )
        n = edges.n_entities
        parents, depths, relations = (np.full((n, n), -1) for _ in range(3))
        for root in range(n):
            depths[root, root] = relations[root, root] = 0
            queue = deque([root])
            while queue:
                x = queue.popleft()
                first = edges.indptr[x]
                for place, y in enumerate(edges.successors(x)):
                    if depths[root, y] < 0:
                        parents[root, y] = x
                        depths[root, y] = depths[root, x] + 1
                        turned = relations[root, x] + edge_relations[first + place]
                        relations[root, y] = turned % N_RELATIONS
                        queue.append(int(y))
        np.fill_diagonal(relations, -1)
        return cls(edges=edges, parents=parents, depths=depths, relations=relations)

    @property
    def n_entities(self) -> int:
        """The number of entities V."""
        return self.edges.n_entities

    @property
    def explicit(self) -> np.ndarray:
        """Which pairs an edge states, bool [V, V]."""
        return self.depths == 1

    @property
    def implicit(self) -> np.ndarray:
        """Which pairs only a longer path implies, bool [V, V]."""
        return self.depths > 1

    def path(self, x: int, y: int) -> list[int]:
        """Return the entities after x on the path to y, y included; empty without a path."""
        if self.depths[x, y] < 1:
            return []
        found = [y]
        while (before := int(self.parents[x, found[-1]])) != x:
            found.append(before)
        return found[::-1]
