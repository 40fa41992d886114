"""The worlds by name."""

from __future__ import annotations

import dataclasses

from experiments.worlds.h200 import H200
from experiments.worlds.quick import QUICK
from experiments.worlds.small import SMALL
from experiments.worlds.tiny import TINY
from experiments.worlds.world import World

WORLDS: dict[str, World] = {world.name: world for world in (TINY, QUICK, SMALL, H200)}


def get_world(name: str, *, corpus: str | None = None, widths: tuple[int, ...] = ()) -> World:
    """Return a world by name, on its own corpus and model sizes or on others.

    Raises:
        ValueError: no such world, a width that no model can have, or a world that needs more memory
            than this machine has free.
    """
    import psutil

    if name not in WORLDS:
        raise ValueError(f"world must be one of {', '.join(WORLDS)}; not {name!r}")
    world = WORLDS[name]
    if corpus is not None:
        world = dataclasses.replace(world, corpus=corpus)
    if widths:
        world = dataclasses.replace(world, widths=tuple(sorted(set(widths))))
    needed, free = world.memory_bytes(), psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"world {name} needs about {needed / 2**30:.1f} GiB of memory; "
            f"{free / 2**30:.1f} GiB are free"
        )
    return world
