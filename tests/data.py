"""Data that some tests read and the project does not hold: they are skipped where it is absent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from scaling.published.datasets import data_folder

LACKING = "not in the data folder: "


def needed(path: str) -> Path:
    """Return a file or folder below the data folder; skip the test where it is not there."""
    found = data_folder() / path
    if not found.exists():
        pytest.skip(LACKING + path)
    return found


def summary_of(reasons: Iterable[str]) -> str:
    """Say in a line which tests were skipped for want of data; empty where none was."""
    lacking = [reason.partition(LACKING)[2] for reason in reasons if LACKING in reason]
    if not lacking:
        return ""
    return (
        f"{len(lacking)} tests lack data ({', '.join(sorted(set(lacking)))}): DATAWALL_DATA names "
        "the folder where it is looked for, and docs/install.md says where it comes from"
    )
