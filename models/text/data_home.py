"""Folders for data and caches on this machine, lists of files and atomic writing of files."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


class CorpusError(ValueError):
    """A corpus that is unknown, missing, unreadable or too small; the message gives the reason."""


BESIDE_CHECKOUT = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Data folder used without DATAWALL_DATA; in an installed package it does not exist."""


def cache_home() -> Path:
    """Return the folder for files that can be rebuilt: $DATAWALL_CACHE, else ~/.cache/datawall."""
    return Path(os.environ.get("DATAWALL_CACHE") or "~/.cache/datawall").expanduser()


def find_data_home() -> Path | None:
    """Return the data folder, or None if it cannot be found.

    It is the folder that the environment variable DATAWALL_DATA names, whether it exists or not;
    without the variable, `shared/data` beside a checkout of the project if that folder exists.
    """
    named = os.environ.get("DATAWALL_DATA")
    if named:
        return Path(named).expanduser()
    return BESIDE_CHECKOUT if BESIDE_CHECKOUT.is_dir() else None


def data_home() -> Path:
    """Return the folder of texts and evaluation sets, see `find_data_home`.

    Raises:
        CorpusError: DATAWALL_DATA is not set and no such folder lies beside the project.
    """
    found = find_data_home()
    if found is None:
        raise CorpusError(
            "there is no data folder: set the environment variable DATAWALL_DATA to its path"
        )
    return found


# --- files


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`, renamed into place when the block succeeds.

    Args:
        path: the file to write.
        durable: flush the content to the disk before the rename, so that a power cut cannot leave
            an empty file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    except OSError as error:  # name the file asked for, not the temporary one
        raise OSError(error.errno, error.strerror, str(path)) from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o644)
        if durable:
            with beside.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def files_under(path: Path) -> list[Path]:
    """Return the file itself, or all visible files in the folder and its subfolders, sorted.

    Raises:
        CorpusError: no such file or folder, an unreadable folder, or a folder without files.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise CorpusError(f"no such file or folder: {path}")
    files: list[Path] = []
    for folder, folders, names in os.walk(path, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = (Path(folder, name) for name in names if not name.startswith("."))
        files += [file for file in visible if file.is_file()]
    if not files:
        raise CorpusError(f"the folder {path} holds no files")
    return sorted(files, key=lambda file: file.relative_to(path).as_posix())


def _refuse(error: OSError) -> None:
    raise CorpusError(f"cannot read {error.filename}: {error.strerror}")
