"""Built-in worlds by name, and worlds read from files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from experiments.worlds.files import SUFFIX, read_world
from experiments.worlds.h200 import H200
from experiments.worlds.quick import QUICK
from experiments.worlds.small import SMALL
from experiments.worlds.tiny import TINY
from experiments.worlds.world import World

WORLDS: dict[str, World] = {world.name: world for world in (TINY, QUICK, SMALL, H200)}


def find_world(name: str) -> World:
    """Return a world by its name, or the one that a TOML file describes.

    Raises:
        ValueError: the name is unknown; the file is not a world, see `read_world`; or its world has
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
    """Return what `--world` takes for a world: its name, or the file that has the name."""
    return world.name if world.name in WORLDS else f"{world.name}{SUFFIX}"


def get_world(
    name: str, *, corpus: str | None = None, widths: tuple[int, ...] = (), search: bool = False
) -> World:
    """Return a world, on its own corpus and model sizes or on others.

    Args:
        name: as `find_world` takes it.
        corpus: text to train on instead of the world's.
        widths: model sizes instead of the world's.
        search: search for tuned settings even where the world carries them.

    Raises:
        ValueError: no such world, a width that no model can have, or a world that needs more memory
            than this machine has free.
    """
    import psutil

    world = find_world(name)
    if corpus is not None:
        world = dataclasses.replace(world, corpus=corpus)
    if search:
        world = dataclasses.replace(world, settings=None)
    if widths:
        world = dataclasses.replace(world, widths=tuple(sorted(set(widths))))
    needed, free = world.memory_bytes(), psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"world {world.name} needs about {needed / 2**30:.1f} GiB of memory; "
            f"{free / 2**30:.1f} GiB are free"
        )
    return world
