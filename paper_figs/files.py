"""Write pictures whose metadata say how, and from which results, they were drawn."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.lab.recipe import Recipe
    from experiments.story.story import Story

PICTURES = ("png", "pdf", "svg")
PNG_DPI = 200
PNG_COLORS = 256
DPIS = (20, 2400)


def check_format(suffixes: Sequence[str], dpi: int) -> None:
    """Check what `save` is asked to write.

    Raises:
        ValueError: a suffix or `dpi` is not allowed; the message says what is.
    """
    for suffix in suffixes:
        if suffix not in (*PICTURES, "csv"):
            raise ValueError(f"format must be one of {', '.join(PICTURES)}, csv; not {suffix!r}")
    if not DPIS[0] <= dpi <= DPIS[1]:
        raise ValueError(f"dpi must be between {DPIS[0]} and {DPIS[1]}; not {dpi}")


def options_of(
    size: tuple[float, float] | None = None, style: Sequence[str] = (), dpi: int = PNG_DPI
) -> str:
    """Return the options of `datawall figures` that change pictures, each after a space.

    Args:
        size: width and height of the figure in inches.
        style: files, or names of matplotlib's styles.
        dpi: dots per inch of PNG.
    """
    shape = f" --size {size[0]:g}x{size[1]:g}" if size else ""
    looks = f" --style {' '.join(Path(one).name for one in style)}" if style else ""
    return f"{shape}{looks}{f' --dpi {dpi}' if dpi != PNG_DPI else ''}"


def command_of(module: ModuleType, story: Story | None, options: str = "") -> str:
    """Return the command that draws a figure again.

    Args:
        module: module of the figure.
        story: results of a world, or None for published numbers.
        options: options of the command, as `options_of` returns them.
    """
    from experiments.worlds.registry import world_argument

    of = ""
    if story is not None and module.NEEDS:
        of = f" --world {world_argument(story.world)}"
    elif story is None and hasattr(module, "PUBLISHED_TITLE"):
        of = " --published"
    return f"datawall figures {module.NAME}{of}{options}"


def recipes_read(module: ModuleType, available: Collection[str]) -> list[Recipe[Any]]:
    """Return the recipes whose results a figure reads, where those named in `available` are run."""
    optional = [one for one in getattr(module, "READS_IF_RUN", ()) if one.name in available]
    return [*module.NEEDS, *optional]


def lay_out(figure: Figure, dpi: int) -> None:
    """Lay out a figure once for all its pictures.

    Otherwise `savefig` lays it out for each, and draws each twice.

    Args:
        figure: in the canvas of PNG.
        dpi: dots per inch of a PNG.
    """
    if (engine := figure.get_layout_engine()) is None:
        return
    before = figure.dpi
    figure.dpi = dpi
    engine.execute(figure)
    figure.dpi = before
    figure.set_layout_engine("none")


def write_picture(
    figure: Figure, path: Path, suffix: str, about: dict[str, str], *, dpi: int
) -> None:
    """Write a figure without dates; a PNG has a palette, which makes it three times smaller.

    Args:
        figure: the figure to write.
        path: the file to write.
        suffix: format of the file, with a dot, such as ".pdf".
        about: metadata of the file, as `origin` returns them.
        dpi: dots per inch of a PNG.
    """
    if suffix == ".png":
        _write_png(figure, path, about, dpi)
        return
    title, software, command, results = about.values()
    metadata = {
        ".pdf": {"Title": title, "Creator": software, "Subject": command, "Keywords": results,
                 "CreationDate": None},
        ".svg": {"Title": title, "Creator": software, "Source": command, "Identifier": results,
                 "Date": None},
    }[suffix]  # fmt: skip
    figure.savefig(path, format=suffix[1:], metadata=metadata)


def _write_png(figure: Figure, path: Path, about: dict[str, str], dpi: int) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi, format="png", pil_kwargs={"compress_level": 0})
    image = Image.open(drawn).convert("RGB")
    palette = image.quantize(PNG_COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    texts = PngInfo()
    for key, text in about.items():
        texts.add_text(key, text)
    # `optimize` takes five times as long for a file that is an eighth smaller.
    palette.save(path, format="png", pnginfo=texts, dpi=(dpi, dpi))


def origin(module: ModuleType, story: Story | None, numbers: bytes, options: str) -> dict[str, str]:
    """Return the metadata of a picture: what it shows, and how and from what it was drawn.

    Args:
        module: module of the figure.
        story: results of a world, or None for published numbers.
        numbers: contents of the CSV file of plotted numbers.
        options: options of the command, as `options_of` returns them.

    Returns:
        Texts with the keys Title, Software, Source (the command) and Description: a hash of the
        runs and records that the figure reads, or of its numbers if it reads none.
    """
    if story is not None and module.NEEDS:
        of = f"runs and records of world {story.world.name}"
        available = [one.name for one in story.results]
        digest = story.digest(recipes_read(module, available))
    else:
        of, digest = "plotted numbers", hashlib.sha256(numbers).hexdigest()[:16]
    own = story is not None or not hasattr(module, "PUBLISHED_TITLE")
    return {
        "Title": module.TITLE if own else module.PUBLISHED_TITLE,
        "Software": f"datawall {metadata.version('datawall')}",
        "Source": command_of(module, story, options),
        "Description": f"drawn from {of}, sha256 {digest}",
    }


def figure_of(axes: Axes | Sequence[Axes]) -> Figure:
    """Return the whole figure that holds axes."""
    from matplotlib.figure import Figure

    held = (axes[0] if isinstance(axes, Sequence) else axes).figure
    whole = held if isinstance(held, Figure) else held.figure  # that of a subfigure is the whole
    assert isinstance(whole, Figure)
    return whole
