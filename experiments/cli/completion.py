"""`datawall completion`: a script for tab completion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from experiments.cli.options import readable


@readable
@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a shell script that completes commands and options.

    For bash, add `eval "$(datawall completion bash)"` to ~/.bashrc. For zsh, save the script as
    `_datawall` in a folder of $fpath. For fish, save it as
    ~/.config/fish/completions/datawall.fish.
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]
    """The shell to print the script for."""

    def run(self) -> int:
        """Print the script that tyro generates from the options of all commands."""
        from experiments.cli.app import COMMANDS, DESCRIPTION, load_command

        try:
            tyro.extras.subcommand_cli_from_dict(
                {name: load_command(name) for name in COMMANDS},
                prog="datawall",
                description=DESCRIPTION,
                args=["--tyro-print-completion", self.shell],
            )
        except SystemExit as done:  # raised by tyro after printing
            return int(done.code or 0)
        return 1
