"""Set-up for every test: two host devices, quick compiling, and a cache that vanishes."""

import atexit
import os
import shutil
import tempfile

from models.devices import configure_host_devices

# The processes that pytest-xdist starts inherit the cache: what one has read or compiled is
# there for all.
if "PYTEST_XDIST_WORKER" not in os.environ:
    CACHE = tempfile.mkdtemp(prefix="datawall-test-")
    atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
    os.environ["DATAWALL_CACHE"] = CACHE
# Before jax starts anywhere: two devices even on one core, so that parallel paths are tested.
configure_host_devices(2)


def pytest_configure(config):
    """Compile quickly, where nothing is timed: programs of tests run for milliseconds."""
    if config.option.markexpr != "benchmark":
        os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
