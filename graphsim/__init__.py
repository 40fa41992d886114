"""EntiGraph's random-graph model of synthetic data: the process, its exact expectation, its laws.

    graph = EntityGraph.random(n_entities=1000, mean_degree=3, seed=0)
    simulate(graph, n_steps=4_000_000, seed=0).accuracy       one run of the process
    expected_accuracy(graph, times).accuracy                  exact mean over runs
    finite_law(3, 1000, times)                                mean over graphs, by the corrected law
    printed_law(3, 1000, times)                               published law, 13-17 % too low

The model is that of "Synthetic continued pretraining" (arXiv 2409.07431, Section 6); README.md
derives the corrected law. Neither jax nor matplotlib is imported.
"""

from graphsim.checks import NearCriticalWarning
from graphsim.components import GiantComponents
from graphsim.curves import CurveTable
from graphsim.exact import (
    AccuracyCurve,
    accuracy_stream,
    average_accuracy,
    expected_accuracy,
)
from graphsim.graph import EntityGraph
from graphsim.laws import (
    finite_law,
    limit_law,
    printed_law,
    reachable_density,
    theorem_bounds,
)
from graphsim.phases import Phases, mu_1, p_k, phases
from graphsim.process import Trajectory, simulate, simulate_runs, simulation_stream

__all__ = [
    "AccuracyCurve",
    "CurveTable",
    "EntityGraph",
    "GiantComponents",
    "NearCriticalWarning",
    "Phases",
    "Trajectory",
    "accuracy_stream",
    "average_accuracy",
    "expected_accuracy",
    "finite_law",
    "limit_law",
    "mu_1",
    "p_k",
    "phases",
    "printed_law",
    "reachable_density",
    "simulate",
    "simulate_runs",
    "simulation_stream",
    "theorem_bounds",
]
