"""The command `datawall` and its subcommands, which are modules of `experiments.cli`.

The options of a subcommand are imported only when it is used, and a subcommand imports what it
needs when it runs, so that `--help` is fast. Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Protocol

DEBUG_VARIABLE = "DATAWALL_DEBUG"
EXIT_BAD_INPUT = 2
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
DESCRIPTION = "How far can language modelling go when data runs out and compute does not?"
COMMANDS = {
    "reproduce": ("story:Reproduce", "Run all recipes of a world and write its report."),
    "run": ("story:Run", "Train one recipe and the recipes it depends on."),
    "tune": ("tune:Tune", "Tune hyperparameters at every model size and certify the optima."),
    "worlds": ("worlds:Worlds", "List the worlds, or print one as a TOML file to edit."),
    "show": ("show:Show", "Print the runs in a run store."),
    "import": ("exchange:Import", "Import runs from other tools, such as exports of wandb."),
    "export": ("exchange:Export", "Export a finished run as a Hugging Face transformers model."),
    "claims": ("story:Claims", "Print the talk's claims with verdicts (trains missing runs)."),
    "figures": ("story:Figures", "Draw the talk's figures (trains missing runs)."),
    "report": ("story:Report", "Write the report of finished or shipped runs."),
    "ship": ("story:Ship", "Pack a world's results into compact files (trains missing runs)."),
    "audit": ("laws.audit:AuditCommand", "Check a table of runs for what spoils fits."),
    "fit": ("laws.fit:Fit", "Fit a scaling law to a table of runs."),
    "limit": ("laws.fit:Limit", "Fit the joint limit to a table of ensembles."),
    "compare": ("laws.compare:Compare", "Compare laws by how well they predict the largest runs."),
    "predict": ("laws.compare:Predict", "Predict the loss at other sizes, with intervals."),
    "allocate": ("laws.budget:Allocate", "Find the best parameters and tokens for a budget."),
    "isoflop": ("laws.budget:Isoflop", "Find the best size at each budget by a parabola."),
    "forecast": ("laws.forecast:ForecastCommand", "Forecast a curve in one column beyond its end."),
    "design": ("laws.design:DesignCommand", "Suggest the next runs that narrow the limit most."),
    "plan": ("plan:PlanCommand", "Estimate the value of a stock of unique tokens per recipe."),
    "graphsim": ("graphsim:Graphsim", "Simulate EntiGraph's random graph and compare its laws."),
    "worth": ("augment.worth:WorthCommand", "Measure what synthetic text is worth in real text."),
    "augment": ("augment.command:Augment", "Generate new texts from a folder of texts."),
    "doctor": ("doctor:Doctor", "Check this installation and report problems."),
    "completion": ("completion:Completion", "Print a script for tab completion."),
}
"""Module and dataclass of each command, relative to `experiments.cli`, and its summary."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    An error is printed to stderr as one sentence; DATAWALL_DEBUG=1 shows its traceback.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
        from importlib import metadata

        print(f"datawall {metadata.version('datawall')}")
        return 0
    command: Command | None = None
    try:
        command = _parse(arguments)
        return command.run()
    except KeyboardInterrupt:
        print(
            "datawall: interrupted; finished runs are kept, the same command resumes training",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe, as in `datawall show | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        print(f"datawall: {_sentence(error, command)}", file=sys.stderr)
        return EXIT_BAD_INPUT if isinstance(error, ValueError) else EXIT_FAILED


def _sentence(error: Exception, command: Command | None) -> str:
    """Return the message of an error; for one of the operating system, the file and the reason.

    An argument of a function, such as `x`, that is an option of the command has its name, `--x`.
    """
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename:
        return f"{error.filename}: expected a folder, found a file"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}"
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    options = {
        f"`{name}`": f"`--{name.replace('_', '-')}`" for name in (vars(command) if command else ())
    }
    return re.sub(r"`\w+`", lambda found: options.get(found[0], found[0]), text)


class Command(Protocol):
    """A parsed command line."""

    def run(self) -> int:
        """Run the command and return the exit status."""


def _parse(arguments: Sequence[str]) -> Command:
    """Return the parsed command line; only the module of the given command is imported."""
    import tyro

    asked = arguments[0] if arguments else ""
    if asked in COMMANDS:
        return tyro.cli(load_command(asked), prog=f"datawall {asked}", args=arguments[1:])
    every: dict[str, Callable[..., Command]] = {
        name: _placeholder(name, summary) for name, (_, summary) in COMMANDS.items()
    }
    return tyro.extras.subcommand_cli_from_dict(
        every, prog="datawall", description=DESCRIPTION, args=arguments
    )


def load_command(name: str) -> type[Command]:
    """Return the dataclass of a command."""
    module, _, options = COMMANDS[name][0].partition(":")
    return getattr(importlib.import_module(f"experiments.cli.{module}"), options)


def _placeholder(name: str, summary: str) -> type[Command]:
    """Return an empty dataclass with the summary of a command, for the list of commands."""
    return dataclasses.make_dataclass(name, [], namespace={"__doc__": summary})


if __name__ == "__main__":
    sys.exit(main())
