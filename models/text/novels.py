"""98 of the "100 English novels" (Computational Stylistics Group), 1839-1930, checked by sha256."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from models.text.data_home import CorpusError, cache_home, find_data_home
from models.text.unpacking import open_files

NOVELS_URL = (
    "https://raw.githubusercontent.com/computationalstylistics/100_english_novels/"
    "143e601875d70e195f2cc5ebd8b034609271194d/corpus/"
)
"""A pinned commit."""

ARCHIVE = Path("text", "english_novels", "english_novels_98.tar.xz")
"""Archive of the novels below the data folder."""

CHECKSUMS = Path(__file__).with_name("novels_sha256.txt")
"""A pooch registry of the novels' texts."""


@cache
def novel_checksums() -> Mapping[str, str]:
    """Return the sha256 of the text of each novel, by name in the order of the corpus."""
    import pooch

    registry = pooch.create(path=cache_home(), base_url=NOVELS_URL)
    registry.load_registry(CHECKSUMS)
    return {Path(file).stem: sha256 for file, sha256 in registry.registry.items()}


def novels() -> Iterator[tuple[str, str]]:
    """Yield the name and text of each novel, without byte-order mark, newlines LF.

    They are read from `ARCHIVE` in the data folder if it exists, else downloaded once into
    `cache_home()` from `NOVELS_URL`. Two of the hundred are left out: published after 1930, they
    are not in the public domain in the United States.

    Raises:
        CorpusError: a text is missing, cannot be downloaded, or differs from its recorded sha256.
    """
    folder = find_data_home()
    archive = folder / ARCHIVE if folder and (folder / ARCHIVE).is_file() else None
    texts = _archived_novels(archive) if archive else _downloaded_novels()
    for name, data in texts:
        text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
        if hashlib.sha256(text).hexdigest() != novel_checksums()[name]:
            if not archive:
                _downloaded(name).unlink()  # so that the next call downloads it again
            raise CorpusError(
                f"the novel {name} from {archive or NOVELS_URL} differs from its recorded sha256"
            )
        yield name, text.decode()


def _archived_novels(archive: Path) -> Iterator[tuple[str, bytes]]:
    found = {PurePosixPath(label).stem: data.read() for label, _, data in open_files(archive)}
    for name in novel_checksums():
        if name not in found:
            raise CorpusError(f"{archive} lacks the novel {name}")
        yield name, found[name]


def _downloaded(name: str) -> Path:
    return cache_home() / "novels" / f"{name}.txt"


def _downloaded_novels() -> Iterator[tuple[str, bytes]]:
    """Download missing files; pooch gets no checksums, for they are of the normalised text."""
    import pooch
    from rich.console import Console
    from rich.progress import track

    names = novel_checksums()
    downloads = pooch.create(
        path=cache_home() / "novels",
        base_url=NOVELS_URL,
        registry={_downloaded(name).name: None for name in names},
        retry_if_failed=2,
    )
    pooch.get_logger().setLevel(logging.WARNING)  # the progress bar replaces its messages
    to_stderr = Console(stderr=True)
    for name in track(names, "Downloading novels", console=to_stderr, transient=True):
        try:
            file = downloads.fetch(_downloaded(name).name)
        except (OSError, ValueError) as error:
            where = find_data_home() or "a data folder"
            raise CorpusError(
                f"the novels are not in {where} (set DATAWALL_DATA) and cannot be downloaded: "
                f"{error}"
            ) from error
        yield name, Path(file).read_bytes()
