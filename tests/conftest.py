"""Set-up for every test: two host devices, quick compiling, and a cache that vanishes."""

import atexit
import os
import shutil
import signal
import tempfile

import pytest

# Before anything imports jax: it reads these when it is imported, and the processes that tests
# start inherit them, so that all compile alike and their losses can be compared to the last bit.
# Programs of tests run for milliseconds, so they are compiled quickly; see `optimized`. Emitting
# fusions takes most of the time of a compilation. The training step of the tiny world's largest
# model takes 0.8 CPU-s to compile and 15 ms to run; with `optimized`, 1.7 s and 4 ms; with XLA's
# own settings, 5 s and 5 ms.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
)

from models.training.devices import configure_host_devices
from tests import published_numbers
from tests.data import summary_of

# The processes that pytest-xdist starts inherit the cache: what one has read or compiled is
# there for all.
if "PYTEST_XDIST_WORKER" not in os.environ:
    CACHE = tempfile.mkdtemp(prefix="datawall-test-")
    atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
    os.environ["DATAWALL_CACHE"] = CACHE
# A shell that runs the tests in the background ignores Ctrl-C, and so would all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Before jax starts anywhere: two devices even on one core, so that parallel paths are tested.
configure_host_devices(2)


LONGEST = (
    "test_story",
    "test_sweep_faults",
    "test_calibration",
    "test_notebooks",
    "test_executors",
    "test_side_by_side",
    "test_docs",
    "test_examination",
    "test_sweep",
)
"""Files that begin first, so that no core is left alone with one of them at the end."""


def pytest_ignore_collect(collection_path, config):
    """Do not import benchmarks that would be deselected: with what they load, it takes seconds."""
    if collection_path.name == "benchmarks" and "not benchmark" in config.option.markexpr:
        return True
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Put the longest files first; processes of pytest-xdist are handed files in this order.

    Tests of published numbers get their mark.
    """
    for item in items:
        if "check_number" in item.fixturenames:
            item.add_marker(published_numbers.MARK)
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="module")
def optimized():
    """Compile as XLA_FLAGS says, in started processes too: for programs that run for minutes."""
    import jax

    with pytest.MonkeyPatch.context() as patch:
        quickly = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] != "0"
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "0")
        jax.config.update("jax_disable_most_optimizations", False)
        yield
        jax.config.update("jax_disable_most_optimizations", quickly)
        jax.clear_caches()


@pytest.fixture
def check_number(request):
    """Return a function that asserts a published number and enters it into `make numbers`.

    Its arguments are the fields of `tests.published_numbers.Number`.
    """

    def check(quantity, *, published, ours, tolerance, source, agrees=True):
        number = published_numbers.Number(
            quantity=quantity, published=float(published), ours=float(ours),
            tolerance=float(tolerance), source=source, agrees=agrees,
        )  # fmt: skip
        published_numbers.check(number, request.node.user_properties)

    return check


def pytest_terminal_summary(terminalreporter):
    """Say what data is absent and where it comes from; print the published numbers if asked."""
    if terminalreporter.config.option.markexpr == published_numbers.MARK:
        stats = terminalreporter.stats
        reports = [*stats.get("passed", []), *stats.get("failed", [])]
        for line in published_numbers.table(one for one in reports if one.when == "call"):
            terminalreporter.write_line(line)
    skipped = terminalreporter.stats.get("skipped", [])
    if line := summary_of(report.longrepr[2] for report in skipped):  # path, line, reason
        terminalreporter.write_line(line)
