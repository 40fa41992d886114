"""Giant components of a directed graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from graphsim._html import values_html

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, kw_only=True, eq=False)
class GiantComponents:
    """The largest strong component and its two closures, as boolean masks of shape (V,).

    Attributes:
        strong: entities of the largest strongly connected component.
        incoming: entities that reach it, itself included (L_X of the corrected law).
        outgoing: entities that it reaches, itself included (L_Y of the corrected law).
    """

    strong: NDArray[np.bool_]
    incoming: NDArray[np.bool_]
    outgoing: NDArray[np.bool_]

    def _repr_html_(self) -> str:
        sizes = {
            "entities": len(self.strong),
            "strong component": int(self.strong.sum()),
            "reach it": int(self.incoming.sum()),
            "reached from it": int(self.outgoing.sum()),
            "reachable share": self.reachable_share,
        }
        return values_html("giant components", sizes)

    @property
    def reachable_share(self) -> float:
        """|L_X| |L_Y| / V^2, the limit of the reachable density on this graph."""
        n_entities = len(self.strong)
        return int(self.incoming.sum()) * int(self.outgoing.sum()) / n_entities**2


def giant_components(adjacency: csr_array) -> GiantComponents:
    """Return the largest strong component of a CSR matrix of shape (V, V), in time O(V + E)."""
    from scipy.sparse.csgraph import connected_components

    _, component = connected_components(adjacency, directed=True, connection="strong")
    strong = component == np.bincount(component).argmax()
    member = int(np.flatnonzero(strong)[0])
    return GiantComponents(
        strong=strong,
        incoming=_reached_from(adjacency.T.tocsr(), member),
        outgoing=_reached_from(adjacency, member),
    )


def _reached_from(adjacency: csr_array, entity: int) -> NDArray[np.bool_]:
    from scipy.sparse.csgraph import breadth_first_order

    order = breadth_first_order(adjacency, entity, directed=True, return_predecessors=False)
    mask = np.zeros(adjacency.shape[0], dtype=bool)
    mask[order] = True
    return mask
