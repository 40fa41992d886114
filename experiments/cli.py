"""The command `datawall`: one subcommand a file of `experiments.commands`.

Only settings are imported here, so that `--help` answers at once; a command imports what it needs
when it runs. Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Protocol

DEBUG_VARIABLE = "DATAWALL_DEBUG"
EXIT_BAD_INPUT = 2
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    A mistake of the user's ends in one sentence on stderr; DATAWALL_DEBUG=1 shows the traceback.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["--version"]:
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
        said = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"datawall: {said}", file=sys.stderr)
        return EXIT_BAD_INPUT if isinstance(error, ValueError) else EXIT_FAILED


class _Command(Protocol):
    def run(self) -> int: ...


def _parse(arguments: Sequence[str]) -> _Command:
    import tyro

    from experiments.commands.augment import Augment
    from experiments.commands.claims import Claims
    from experiments.commands.export import Export
    from experiments.commands.figures import Figures
    from experiments.commands.fit import Fit
    from experiments.commands.graphsim import Graphsim
    from experiments.commands.import_runs import Import
    from experiments.commands.limit import Limit
    from experiments.commands.plan import PlanCommand
    from experiments.commands.report import Report
    from experiments.commands.reproduce import Reproduce
    from experiments.commands.run import Run
    from experiments.commands.ship import Ship
    from experiments.commands.show import Show
    from experiments.commands.tune import Tune

    return tyro.extras.subcommand_cli_from_dict(
        {
            "reproduce": Reproduce,
            "run": Run,
            "tune": Tune,
            "show": Show,
            "import": Import,
            "export": Export,
            "claims": Claims,
            "figures": Figures,
            "report": Report,
            "ship": Ship,
            "fit": Fit,
            "limit": Limit,
            "plan": PlanCommand,
            "graphsim": Graphsim,
            "augment": Augment,
        },
        prog="datawall",
        description="How far can language modelling go when data runs out and compute does not?",
        args=list(arguments),
    )


if __name__ == "__main__":
    sys.exit(main())
