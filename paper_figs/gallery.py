"""All figures of a report: those of the runs of a world, and the published ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sized
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Self

from experiments.lab.recipe import NotRun
from experiments.report.report import Drawing
from experiments.story.story import Story
from paper_figs import figure_modules, published_texts, save
from paper_figs.files import command_of

SUFFIXES = ("png", "csv")
"""What a page shows and links; `datawall figures` also writes PDF, which takes as long again."""


class Gallery(Sized):
    """An iterable that draws the figures of a report one by one; to be used in a `with` block.

    Entering the block starts a second process that draws what needs no results at the same time:
    published figures and schematics.

    Attributes:
        story: results of a world.
        out: folder of the report; figures go to its subfolders `figures` and `published`.
    """

    def __init__(self, story: Story, out: Path) -> None:
        self.story, self.out = story, out
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        # Not multiprocessing, whose child processes would run the user's script again.
        command = "from paper_figs.gallery import draw_without_results; draw_without_results()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", command, str(self.out)],
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        if kind is not None:
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def __len__(self) -> int:
        return len(figure_modules()) + len(_published())

    def __iter__(self) -> Iterator[Drawing]:
        """Yield the figures of the runs, then those that need no results.

        Raises:
            RuntimeError: the process that draws the latter failed.
        """
        assert self._process is not None
        for module in _measured():
            missing = _save(module, self.story, self.out / "figures")
            yield self._drawing(
                module, "figures", (module.TITLE, module.CAPTION), self.story, missing=missing,
                label="here",
            )  # fmt: skip
        written, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError("the figures that need no results could not be drawn")
        reasons = json.loads(written.splitlines()[-1])
        for module in _schematics():
            yield self._drawing(
                module, "figures", (module.TITLE, module.CAPTION), None,
                missing=reasons[module.NAME], label="",
            )  # fmt: skip
        for module in _published():
            yield self._drawing(
                module, "published", published_texts(module), None,
                missing=reasons[module.NAME], label="published",
            )  # fmt: skip

    def _drawing(
        self,
        module: ModuleType,
        folder: str,
        texts: tuple[str, str],
        story: Story | None,
        *,
        missing: str,
        label: str,
    ) -> Drawing:
        name = f"{folder}/{module.NAME}"
        paths = () if missing else tuple(self.out / f"{name}.{suffix}" for suffix in SUFFIXES)
        return Drawing(
            label=label, name=name, title=texts[0], caption=texts[1], paths=paths,
            command=command_of(module, story), missing=missing,
            claims=module.CLAIMS,
        )  # fmt: skip


def draw_without_results() -> None:
    """Draw schematics and published figures into subfolders of the folder `sys.argv[1]`.

    Prints a JSON object with the reason why each figure was not drawn, empty if it was.
    """
    out = Path(sys.argv[1])
    reasons = {module.NAME: _save(module, None, out / "figures") for module in _schematics()}
    reasons |= {module.NAME: _save(module, None, out / "published") for module in _published()}
    print(json.dumps(reasons))


def _schematics() -> list[ModuleType]:
    """Return the figures that are the same with and without runs."""
    return [module for module in figure_modules() if _draws_no_measurement(module)]


def _measured() -> list[ModuleType]:
    """Return the figures of results."""
    return [module for module in figure_modules() if not _draws_no_measurement(module)]


def _published() -> list[ModuleType]:
    """Return the figures whose published version differs from that of the runs."""
    modules = figure_modules(published=True)
    return [module for module in modules if not _draws_no_measurement(module)]


def _draws_no_measurement(module: ModuleType) -> bool:
    """Return whether a figure is the same with and without runs."""
    return getattr(module, "draw", None) is getattr(module, "draw_published", None)


def _save(module: ModuleType, story: Story | None, folder: Path) -> str:
    """Draw one figure and return why its recipe or data is missing, or an empty string."""
    try:
        save(module, story, folder, suffixes=SUFFIXES)
    except (OSError, NotRun) as error:
        return str(error)
    return ""
