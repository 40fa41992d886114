"""EntiGraph's law against the process it describes, on random graphs."""

from __future__ import annotations

import numpy as np

from graphsim import EntityGraph, expected_accuracy, finite_law, printed_law


def printed_law_errors(
    *, n_entities: int, mean_degree: float, per_pair_time: float, n_graphs: int, seed: int = 0
) -> dict[str, list[float]]:
    """Compare both laws with the exact expectation on several random graphs.

    Args:
        n_entities: V.
        mean_degree: expected out-degree.
        per_pair_time: s = t / V(V-1), steps for each ordered pair.
        n_graphs: graphs drawn.
        seed: of the first; the others follow from it.

    Returns:
        For "printed" and "corrected", the relative error of the accuracy gained over the source
        edges, a value a graph.
    """
    times = np.array([per_pair_time])
    density = mean_degree / n_entities
    laws = {
        name: float(law(mean_degree, n_entities, times, per_pair=True)[0])
        for name, law in (("printed", printed_law), ("corrected", finite_law))
    }
    errors: dict[str, list[float]] = {name: [] for name in laws}
    for child in np.random.SeedSequence(seed).generate_state(n_graphs):
        graph = EntityGraph.random(n_entities, mean_degree, seed=int(child))
        exact = expected_accuracy(graph, times, per_pair=True).accuracy[0]
        gained = exact - graph.n_edges / (n_entities * (n_entities - 1))
        for name, accuracy in laws.items():
            errors[name].append((accuracy - density - gained) / gained)
    return errors
