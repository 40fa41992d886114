"""Set-up for every test: two host devices, and caches that vanish."""

import atexit
import os
import shutil
import tempfile

from models.devices import configure_host_devices

CACHE = tempfile.mkdtemp(prefix="datawall-test-")
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
os.environ["DATAWALL_CACHE"] = CACHE
# Before jax starts anywhere: two devices even on one core, so that parallel paths are tested.
configure_host_devices(2)
