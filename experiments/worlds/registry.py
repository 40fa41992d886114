"""Built-in worlds by name, and worlds read from files."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from experiments.worlds.files import SUFFIX, read_world
from experiments.worlds.levers import read_levers
from experiments.worlds.world import World


def _built_in() -> Iterator[World]:
    """Find the worlds of this folder: in each module, the world that has the module's name.

    Raises:
        ValueError: a module makes a world that is refused, or only worlds of other names; the
            message begins with its path.
    """
    for path in Path(__file__).parent.glob("*.py"):
        if path.stem not in ("__init__", "registry"):
            try:
                module = importlib.import_module(f"{__package__}.{path.stem}")
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            worlds = {one.name: one for one in vars(module).values() if isinstance(one, World)}
            if path.stem in worlds:
                yield worlds[path.stem]
            elif worlds:
                raise ValueError(
                    f"{path}: its world must have the name of the file, {path.stem!r}; not "
                    + ", ".join(map(repr, worlds))
                )


def _size(world: World) -> tuple[int, int, int]:
    return world.n_unique_tokens, max(world.widths), len(world.recipes)


WORLDS: dict[str, World] = {world.name: world for world in sorted(_built_in(), key=_size)}
"""The built-in worlds by name, small ones first."""


def find_world(name: str) -> World:
    """Return a built-in world by its name, or the one that a TOML file describes.

    Raises:
        ValueError: the name is unknown, the file is not valid (see `read_world`), or its world has
            the name of a built-in one.
    """
    if not name.endswith(SUFFIX):
        if name not in WORLDS:
            raise ValueError(
                f"world must be one of {', '.join(WORLDS)}; not {name!r} (a world of your own is a "
                "file, such as my.toml)"
            )
        return WORLDS[name]
    world = read_world(Path(name))
    if world.name in WORLDS:
        raise ValueError(f"{name}: name must differ from the built-in worlds {', '.join(WORLDS)}")
    return world


def world_argument(world: World) -> str:
    """Return the argument of `--world` for a world: its name, or the name of its file."""
    return world.name if world.name in WORLDS else f"{world.name}{SUFFIX}"


def get_world(
    name: str,
    *,
    corpus: str | None = None,
    widths: tuple[int, ...] = (),
    search: bool = False,
    levers: Iterable[str] = (),
    score_every: float | None = None,
    is_trained: bool = True,
) -> World:
    """Return a world, optionally with another corpus and other model sizes.

    Args:
        name: name or file, see `find_world`.
        corpus: text that replaces the world's.
        widths: model sizes that replace the world's.
        search: whether to search for tuned settings even if the world comes with them.
        levers: settings of all runs on the text that differ from the world's, see `read_levers`.
        score_every: epochs between validation losses along the runs, instead of the world's.
        is_trained: whether it will be trained on this machine, whose memory must then suffice.

    Raises:
        ValueError: there is no such world, a width or a lever is invalid, or the world needs more
            memory than this machine has free.
    """
    import psutil

    world = find_world(name)
    if corpus is not None:
        world = dataclasses.replace(world, corpus=corpus)
    if search:
        world = dataclasses.replace(world, search=True)
    if changed := read_levers(levers):
        world = dataclasses.replace(world, levers={**world.levers, **changed})
    if score_every is not None:
        world = dataclasses.replace(world, score_every=score_every)
    if widths:
        world = dataclasses.replace(world, widths=tuple(sorted(set(widths))))
    needed, free = world.memory_bytes(), psutil.virtual_memory().available
    if is_trained and needed > free:
        raise ValueError(
            f"world {world.name} needs about {needed / 2**30:.1f} GiB of memory; "
            f"{free / 2**30:.1f} GiB are free"
        )
    return world
