"""Set-up for every test: two host devices, and caches that vanish."""

import os
import tempfile

from models.devices import configure_host_devices

# Before jax starts anywhere: two devices even on one core, so that parallel paths are tested.
configure_host_devices(2)
os.environ["DATAWALL_CACHE"] = tempfile.mkdtemp(prefix="datawall-test-")
