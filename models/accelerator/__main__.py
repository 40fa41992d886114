"""`python -m models.accelerator`: `datawall doctor --accelerator` with fewer packages installed."""

from __future__ import annotations

import sys

from models.accelerator.command import main

if __name__ == "__main__":
    sys.exit(main())
