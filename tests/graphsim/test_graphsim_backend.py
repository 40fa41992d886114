import os
import subprocess
import sys

import numpy as np
import pytest

from graphsim import EntityGraph, _backend, _plain, expected_accuracy

WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
from graphsim import EntityGraph, expected_accuracy, simulate
graph = EntityGraph.random(80, 2.5, 3)
times = np.array([0.0, 10, 100, 1000])
for ties in ("fifo", "random_parent", "uniform_path"):
    print(*expected_accuracy(graph, times, ties=ties, seed=5).accuracy)
    print(*simulate(graph, 1000, 5, times=times, ties=ties).accuracy)
"""

COMPILES = """
from graphsim import EntityGraph, expected_accuracy
print(expected_accuracy(EntityGraph.random(50, 2, 0), [100.0]).accuracy[0])
"""

IMPORTS = """
import sys
import graphsim
heavy = {"jax", "matplotlib", "numba", "pandas", "networkx"} & set(sys.modules)
print(sorted(heavy))
"""


def run(code, **kwargs):
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
        capture_output=True, text=True, check=False, **kwargs,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("ties", ["fifo", "random_parent", "uniform_path"])
def test_scipy_fallback_counts_what_the_kernels_count(ties):
    graph = EntityGraph.random(400, 2.0, 1)
    sources = np.arange(0, 400, 3)
    counter = _backend.SubtreeCounter(graph, ties, seed=4)
    rates, counts = counter.count(sources)
    counter._adjacency = graph.to_sparse()
    plain_rates, plain_counts = counter.count(sources)
    np.testing.assert_array_equal(plain_counts, counts)
    np.testing.assert_allclose(plain_rates, rates, rtol=1e-12)


def test_everything_works_without_numba_and_gives_the_same_numbers():
    from graphsim import simulate

    graph = EntityGraph.random(80, 2.5, 3)
    times = np.array([0.0, 10, 100, 1000])
    printed = np.array([line.split() for line in run(WITHOUT_NUMBA).stdout.splitlines()], float)
    for row, ties in enumerate(("fifo", "random_parent", "uniform_path")):
        curve = expected_accuracy(graph, times, ties=ties, seed=5).accuracy
        np.testing.assert_allclose(printed[2 * row], curve, rtol=1e-10)
        trajectory = simulate(graph, 1000, 5, times=times, ties=ties)
        np.testing.assert_array_equal(printed[2 * row + 1], trajectory.accuracy)


def test_plain_levels_follow_the_queue():
    graph = EntityGraph.from_edges(6, [[0, 1], [0, 2], [1, 3], [2, 3], [2, 4], [4, 5]])
    order, depth, parent, starts = _plain._tree(graph.to_sparse(), 0)
    assert order.tolist() == [0, 1, 2, 3, 4, 5]
    assert depth.tolist() == [0, 1, 1, 2, 2, 3]
    assert parent.tolist() == [0, 0, 0, 1, 2, 4]
    assert starts.tolist() == [0, 1, 3, 5, 6]


def test_import_is_light():
    assert run(IMPORTS).stdout.strip() == "[]"


@pytest.mark.long
def test_compiling_is_announced_once_and_cached(tmp_path):
    """Two processes meet an empty cache at once and agree; a third one need not compile."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILES]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    outcomes = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert outcomes[0][0] == outcomes[1][0]
    assert any(stderr.count("compiling") == 1 for _, stderr in outcomes)
    third = run(COMPILES, env=environment)
    assert third.stdout == outcomes[0][0]
    assert "compiling" not in third.stderr
