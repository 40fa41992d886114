"""The model written plainly with networkx: the oracle of these tests."""

from collections import deque

import networkx as nx
import numpy as np


def fifo_tree(graph: nx.DiGraph, source: int) -> dict[int, int]:
    """Parent of every vertex that a first-in-first-out search from the source reaches."""
    parents = {source: source}
    queue = deque([source])
    while queue:
        vertex = queue.popleft()
        for target in graph.successors(vertex):
            if target not in parents:
                parents[target] = vertex
                queue.append(target)
    return parents


def learn(graph: nx.DiGraph, pairs: list[tuple[int, int]]) -> list[set[tuple[int, int]]]:
    """M_0, M_1, ... as sets of pairs: each step searches M_0 and learns the star from x."""
    learned = set(graph.edges)
    states = [set(learned)]
    for source, target in pairs:
        parents = fifo_tree(graph, source)
        if target in parents:
            while target != source:
                learned.add((source, target))
                target = parents[target]
        states.append(set(learned))
    return states


def uniform_path_rates(graph: nx.DiGraph, source: int) -> dict[int, float]:
    """Mean number of targets whose uniformly drawn shortest path passes each vertex."""
    rates: dict[int, float] = {}
    for target in nx.descendants(graph, source):
        paths = list(nx.all_shortest_paths(graph, source, target))
        for path in paths:
            for vertex in path[1:]:
                rates[vertex] = rates.get(vertex, 0.0) + 1 / len(paths)
    return rates


def fifo_rates(graph: nx.DiGraph, source: int) -> dict[int, float]:
    """Subtree sizes of the first-in-first-out tree."""
    parents = fifo_tree(graph, source)
    sizes = dict.fromkeys(parents, 0.0)
    for target in parents:
        vertex = target
        while vertex != source:
            sizes[vertex] += 1
            vertex = parents[vertex]
    return {vertex: size for vertex, size in sizes.items() if vertex != source}


def accuracy_from_rates(graph: nx.DiGraph, rates_of, times: np.ndarray) -> np.ndarray:
    """Expected accuracy at times t by summing every pair's own exponential."""
    n_pairs = len(graph) * (len(graph) - 1)
    known = np.full(len(times), float(graph.number_of_edges()))
    for source in graph:
        for vertex, rate in rates_of(graph, source).items():
            if not graph.has_edge(source, vertex):
                known += 1 - (1 - rate / n_pairs) ** times
    return known / n_pairs
