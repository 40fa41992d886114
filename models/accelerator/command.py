"""The command that examines an accelerator, with the standard library's parser only."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from models.accelerator.requirements import require_packages

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status: 1 if a check failed, 2 if none could run."""
    parser = argparse.ArgumentParser(
        prog="python -m models.accelerator",
        description="Check and measure training on this machine's accelerators.",
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on a CPU too")
    parser.add_argument("--out", type=Path, help="JSON file of results")
    parser.add_argument("--only", nargs="+", default=[], metavar="ITEM", help="items to run")
    parser.add_argument("--minutes", type=float, default=9.0, help="start no item after these")
    parser.add_argument("--again", action="store_true", help="repeat items that have a result")
    parser.add_argument("--ask", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.ask:
        return _answer(*given.ask)
    return run(
        smoke=given.smoke,
        out=given.out,
        only=given.only,
        minutes=given.minutes,
        again=given.again,
    )


def run(
    *,
    smoke: bool = False,
    out: Path | None = None,
    only: Sequence[str] = (),
    minutes: float = 9.0,
    again: bool = False,
) -> int:
    """Examine this machine, print the table, and return the exit status as `main` does.

    Args:
        smoke: tiny sizes in this process, on whatever devices there are.
        out: JSON file of results.
        only: items to run (default: all).
        minutes: time after which no further item is started.
        again: repeat items that have a result.
    """
    try:
        require_packages()
        from models.accelerator import examination, sizes

        found = examination.examine(
            sizes.SMOKE if smoke else sizes.FULL,
            out,
            only=only,
            minutes=minutes,
            again=again,
            isolated=not smoke,
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
    except (RuntimeError, ValueError) as error:  # JAX raises a RuntimeError without its device
        print(f"datawall: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    print(examination.table(found["key"], found["results"]))
    print(f"written: {found['path']} and the same as .md", file=sys.stderr)
    failed = examination.failures(found["results"])
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    if left := set(found["left"]) - set(failed):
        print(
            f"not run yet: {', '.join(sorted(left))}; run the command again"
            f"{' without --only' if only else ''}",
            file=sys.stderr,
        )
    return EXIT_FAILED if failed else 0


def _answer(question: str, sizes_name: str, name: str = "") -> int:
    """Print as JSON what a process of `examination` asked for."""
    from models.accelerator import examination, sizes
    from models.training.devices import keep_compiled_programs

    keep_compiled_programs()
    answer = (
        examination.device_facts()
        if question == "facts"
        else examination.run_item(name, getattr(sizes, sizes_name))
    )
    print(json.dumps(answer))
    return 0
