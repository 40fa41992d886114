"""`datawall worlds`: list the worlds, or print one as a TOML file to edit."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.cli.options import readable


@readable
@dataclass(frozen=True, kw_only=True)
class Worlds:
    """List the worlds, or print one as TOML, to be edited and used with `--world my.toml`."""

    show: str | None = None
    """Name or file of a world to print with all its settings."""

    def run(self) -> int:
        """Print the list or the world."""
        import pandas as pd

        from experiments.display.tables import print_table
        from experiments.worlds.files import world_toml
        from experiments.worlds.registry import WORLDS, find_world

        if self.show is not None:
            print(world_toml(find_world(self.show)))
            return 0
        rows = [
            {
                "world": world.name,
                "corpus": world.corpus,
                "D": world.n_unique_tokens,
                "widths": " ".join(map(str, world.widths)),
                "recipes": len(world.recipes),
            }
            for world in WORLDS.values()
        ]
        print_table(pd.DataFrame(rows), title="worlds")
        return 0
