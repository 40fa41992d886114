"""`datawall completion`: a script for tab completion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from experiments.cli.options import readable


@readable
@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a script that has a shell complete commands and options on the tab key.

    For bash, put `eval "$(datawall completion bash)"` into ~/.bashrc; for zsh, write the script to
    a file `_datawall` in a folder of $fpath; for fish, to datawall.fish in
    ~/.config/fish/completions.
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]
    """Which shell."""

    def run(self) -> int:
        """Have tyro write it from the options of every command."""
        from experiments.cli.app import COMMANDS, DESCRIPTION, load_command

        try:
            tyro.extras.subcommand_cli_from_dict(
                {name: load_command(name) for name in COMMANDS},
                prog="datawall",
                description=DESCRIPTION,
                args=["--tyro-print-completion", self.shell],
            )
        except SystemExit as done:  # tyro ends the process once the script is printed
            return int(done.code or 0)
        return 1
