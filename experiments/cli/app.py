"""The command `datawall`: one subcommand a file of `experiments.cli`.

The list of commands is written out here and the settings of one are imported only when it is asked
for, so that `--help` answers at once; a command imports what it needs when it runs. Results go to
stdout, progress and errors to stderr.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

DEBUG_VARIABLE = "DATAWALL_DEBUG"
EXIT_BAD_INPUT = 2
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
DESCRIPTION = "How far can language modelling go when data runs out and compute does not?"
COMMANDS = {
    "reproduce": ("story:Reproduce", "Run the whole story of a world and write its report."),
    "run": ("story:Run", "Train one recipe and those it builds on."),
    "tune": ("tune:Tune", "Tune every size, with certificates of the optima."),
    "worlds": ("worlds:Worlds", "List the worlds, or print one as a file to begin from."),
    "show": ("show:Show", "Print the runs of a store."),
    "import": (
        "exchange:Import",
        "Put the runs of others beside ours, as wandb exports them.",
    ),
    "export": ("exchange:Export", "Write a finished run as a model of Hugging Face transformers."),
    "claims": ("story:Claims", "Print the talk's claims with verdicts (trains what is missing)."),
    "figures": ("story:Figures", "Draw the talk's figures (trains what is missing)."),
    "report": ("story:Report", "Write the report of finished or shipped runs."),
    "ship": ("story:Ship", "Pack a world's results as compact files (trains what is missing)."),
    "fit": ("fit:Fit", "Fit a scaling law to a table of runs."),
    "limit": ("fit:Limit", "Find the joint limit of a table of ensembles."),
    "plan": ("plan:PlanCommand", "Say what a stock of unique tokens is worth under each recipe."),
    "graphsim": ("graphsim:Graphsim", "Simulate EntiGraph's random graph beside its laws."),
    "augment": ("augment.command:Augment", "Make new texts from a folder of texts."),
    "doctor": ("doctor:Doctor", "Say what this installation has and what is broken."),
    "completion": ("completion:Completion", "Print a script for tab completion."),
}
"""Where the dataclass of each command is, below `experiments.cli`, and what it does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    A mistake of the user's ends in one sentence on stderr; DATAWALL_DEBUG=1 shows the traceback.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        from importlib import metadata

        print(f"datawall {metadata.version('datawall')}")
        return 0
    try:
        return _parse(arguments).run()
    except KeyboardInterrupt:
        print(
            "datawall: interrupted; what was finished is kept, training goes on where it stopped",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`datawall show | head`): nothing is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"datawall: {_sentence(error)}", file=sys.stderr)
        return EXIT_BAD_INPUT if isinstance(error, ValueError) else EXIT_FAILED


def _sentence(error: Exception) -> str:
    """Say what was wrong; of what the system refuses, first the file and then why."""
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename:
        return f"{error.filename}: a file is where a folder should be"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    return str(error.args[0] if isinstance(error, KeyError) and error.args else error)


class Command(Protocol):
    """What a command line is read into."""

    def run(self) -> int:
        """Do it and return the exit status."""


def _parse(arguments: Sequence[str]) -> Command:
    """Read a command line; only the module of the command that is asked for is loaded."""
    import tyro

    asked = arguments[0] if arguments else ""
    if asked in COMMANDS:
        return tyro.cli(load_command(asked), prog=f"datawall {asked}", args=arguments[1:])
    every: dict[str, Callable[..., Command]] = {
        name: _stand_in(name, said) for name, (_, said) in COMMANDS.items()
    }
    return tyro.extras.subcommand_cli_from_dict(
        every, prog="datawall", description=DESCRIPTION, args=arguments
    )


def load_command(name: str) -> type[Command]:
    """Import the dataclass of a command."""
    module, _, options = COMMANDS[name][0].partition(":")
    return getattr(importlib.import_module(f"experiments.cli.{module}"), options)


def _stand_in(name: str, said: str) -> type[Command]:
    """Make an empty dataclass that bears a command's summary, for the list of commands."""
    return dataclasses.make_dataclass(name, [], namespace={"__doc__": said})


if __name__ == "__main__":
    sys.exit(main())
