"""Folders for data and caches on this machine, reading of archives and atomic writing of files."""

import contextlib
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


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


# --- files and archives


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


def read_bytes(file: Path) -> bytes:
    """Return all bytes of a file.

    Raises:
        CorpusError: the file cannot be read.
    """
    try:
        return file.read_bytes()
    except OSError as error:
        raise CorpusError(f"cannot read {file}: {error.strerror}") from error


def unpack(label: str, data: bytes, *, name: str = "") -> Iterator[tuple[str, str, bytes]]:
    """Yield the files inside a .gz, .xz or .tar file, known by suffix, any other file as it is.

    Members of an archive come sorted by name, labelled "archive/member"; hidden members and those
    that are not regular files are left out.

    Args:
        label: name of the file in results and messages.
        data: its bytes.
        name: file name whose suffix counts (default: the label).

    Yields:
        Label, innermost file name and bytes of each file.

    Raises:
        CorpusError: the file is damaged.
    """
    name = name or label
    stem, _, suffix = name.rpartition(".")
    suffix = suffix.lower()
    try:
        if suffix == "gz":
            yield from unpack(label, gzip.decompress(data), name=stem)
        elif suffix == "xz":
            yield from unpack(label, lzma.decompress(data), name=stem)
        elif suffix in ("tar", "tgz", "txz"):
            for member, content in _members(data):
                yield from unpack(f"{label}/{member}", content)
        else:
            yield label, name, data
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        raise CorpusError(f"{label} is not a readable .{suffix} file: {error}") from error


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {str(PurePosixPath(member.name)): member for member in archive.getmembers()}
        for name, member in sorted(members.items()):
            hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
            file = archive.extractfile(member) if member.isfile() and not hidden else None
            if file is not None:
                yield name, file.read()
