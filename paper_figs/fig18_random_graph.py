"""Figure 18: stated relations, implied ones, and what one step of EntiGraph adds."""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from graphsim import EntityGraph
from paper_figs.layout import Place, panels
from paper_figs.style import COLORS

NAME = "fig18"
CLAIMS = ("S7",)
NEEDS = ()
TITLE = "The source states edges; paths are implicit; EntiGraph makes them explicit"
CAPTION = (
    "The model of arXiv 2409.07431, Section 6, on one random directed graph of 14 entities with "
    "mean degree 1.7 (generated here, seed 4). Left: the relations that the source states. "
    "Middle: a path from x to y, a relation that the source only implies. Right: what the step "
    "(x, y) adds: an edge from x to every entity along the path. The edges of the path itself "
    "were already known."
)

_SEED, _N_ENTITIES, _MEAN_DEGREE = 4, 14, 1.7
_STATED, _PATH, _TAUGHT = "#999999", COLORS[1], COLORS[0]


def draw(story: object = None, ax: Place = None) -> tuple[list[Axes], pd.DataFrame]:
    """Draw the three panels.

    The frame has columns `kind`, `source`, `target`, `source_x`, `source_y`, `target_x` and
    `target_y`.
    """
    graph = EntityGraph.random(_N_ENTITIES, _MEAN_DEGREE, _SEED).to_networkx()
    path = _longest_shortest_path(graph)
    stated = list(graph.edges)
    along = list(pairwise(path))
    star = [(path[0], target) for target in path[2:]]
    places = nx.circular_layout(graph)

    axes = panels(ax, 1, 3, wide=1.5, tall=0.8)
    titles = ("stated: edges", "implied: a path from x to y", "taught by the step (x, y)")
    for ax, title in zip(axes, titles, strict=True):
        _nodes(ax, graph, places, path)
        _edges(ax, graph, places, stated, color=_STATED, width=1.0, style="solid")
        ax.set_title(title)
        ax.axis("off")
        ax.set_aspect("equal")
    _edges(axes[1], graph, places, along, color=_PATH, width=2.4, style="solid")
    _edges(axes[2], graph, places, star, color=_TAUGHT, width=2.4, style="dashed")
    kinds = {"stated": stated, "path": along, "taught": star}
    rows = [(kind, *edge) for kind, edges in kinds.items() for edge in edges]
    frame = pd.DataFrame(rows, columns=["kind", "source", "target"])
    for name, index in (("source", 1), ("target", 2)):
        where = np.array([places[row[index]] for row in rows])
        frame[f"{name}_x"], frame[f"{name}_y"] = where.T
    return axes, frame


draw_published = draw


def _longest_shortest_path(graph: nx.DiGraph) -> list[int]:
    """Return the longest shortest path with first-in-first-out ties; the first of several."""
    paths: list[list[int]] = []
    for source in graph:
        tree = nx.bfs_tree(graph, source)
        paths += nx.single_source_shortest_path(tree, source).values()
    return max(paths, key=len)


def _nodes(ax: Axes, graph: nx.DiGraph, places: dict[int, np.ndarray], path: list[int]) -> None:
    ends = {path[0]: "x", path[-1]: "y"}
    middle = {vertex: f"z{i}" for i, vertex in enumerate(path[1:-1], start=1)}
    colors = [
        _PATH if vertex in ends else "white" if vertex not in middle else "#F3D3B8"
        for vertex in graph
    ]
    nx.draw_networkx_nodes(
        graph, places, ax=ax, node_color=colors, edgecolors="black", node_size=260
    )
    nx.draw_networkx_labels(graph, places, {**ends, **middle}, ax=ax, font_size=8)


def _edges(
    ax: Axes,
    graph: nx.DiGraph,
    places: dict[int, np.ndarray],
    edges: list[tuple[int, int]],
    *,
    color: str,
    width: float,
    style: str,
) -> None:
    shown: nx.DiGraph = nx.DiGraph()
    shown.add_nodes_from(graph)
    shown.add_edges_from(edges)
    nx.draw_networkx_edges(
        shown, places, ax=ax, edge_color=color, width=width, style=style, node_size=260,
        arrowsize=11,
    )  # fmt: skip
