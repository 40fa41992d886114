"""`datawall doctor`: a check of the installation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.cli.options import readable
from experiments.cli.output import print_json

if TYPE_CHECKING:
    from experiments.cli.installation import Health


@readable
@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check this installation: versions, devices, memory, caches, texts and optional parts.

    The exit status is 1 if a required part is broken, otherwise 0. With --accelerator, it is 1 if a
    check fails, and 2 if none can run.
    """

    json: bool = False
    """Print JSON."""

    accelerator: bool = False
    """Check and measure training on this machine's GPU or TPU instead; the next call goes on."""

    smoke: bool = False
    """With --accelerator: tiny sizes, on a CPU too. Their speeds mean nothing."""

    again: bool = False
    """With --accelerator: repeat what earlier calls have done."""

    out: Path | None = None
    """With --accelerator: JSON file of the results (default: in out/accelerator)."""

    def run(self) -> int:
        """Examine the installation and print the result."""
        if self.accelerator:
            if self.json:
                raise ValueError("--accelerator prints a table; its JSON is the file of --out")
            from models.accelerator.command import run

            return run(smoke=self.smoke, out=self.out, again=self.again)
        if self.smoke or self.again or self.out:
            raise ValueError("--smoke, --again and --out need --accelerator")
        from experiments.cli.installation import examine

        health = examine()
        if self.json:
            print_json(health.to_dict())
        else:
            _print(health)
        return 1 if health.problems else 0


def _print(health: Health) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _lines(health.facts):
        table.add_row(name, text.replace("[", r"\["))
    console.print(table)
    console.print("\noptional parts", style="bold")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(overflow="fold")
    for part in health.parts:
        missing = [name for name, version in part.packages.items() if version is None]
        style = "green" if part.installed else "dim"
        state = "installed" if part.installed else f"missing: {', '.join(missing)}"
        table.add_row(part.name, f"[{style}]{state}[/]", part.purpose)
    console.print(table)
    absent = next((part for part in health.parts if not part.installed), None)
    if absent:
        console.print(
            f"To install a part, for example {absent.name}: {absent.install}",
            markup=False,
            soft_wrap=True,
        )
    console.print()
    for note in health.notes:
        console.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    for problem in health.problems:
        console.print(f"broken: {problem}", style="red", markup=False, soft_wrap=True)
    if not health.problems:
        console.print("All required parts work.", style="green")


def _lines(facts: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Return a name and a description of each group of facts."""
    from experiments.cli.installation import gib

    ours, machine, cache, texts = (
        facts[name] for name in ("datawall", "machine", "cache", "texts")
    )
    jax = facts.get("jax")
    lines = [
        ("datawall", ours["version"]),
        ("Python", f"{ours['python']} ({ours['executable']}), {ours['platform']}"),
        ("JAX", _devices(jax) if jax else "does not start"),
        ("cores", f"{machine['cores']} of {machine['cores_of_machine']} available"),
        ("memory", f"{gib(machine['memory_free'])} free of {gib(machine['memory_total'])}"),
        ("disk", f"{gib(machine['disk_free'])} free for {machine['folder']}"),
        ("cache", f"{cache['folder']}, {gib(cache['disk_free'])} free"),
        (
            "compiled",
            f"{cache['compiled_programs']:,} programs, {gib(cache['compiled_bytes'])}, in "
            f"{cache['compiled_folder']}",
        ),
        ("data folder", texts["data_folder"] or "none; set DATAWALL_DATA to use one"),
        ("stdlib", texts["stdlib"]),
        ("novels", texts["novels"]),
        ("evaluations", ", ".join(texts["evaluations"]) or "none in the data folder"),
        ("published", texts["published_tables"]),
    ]
    return lines


def _devices(jax: dict[str, Any]) -> str:
    kinds = sorted(set(jax["devices"]))
    counted = ", ".join(f"{jax['devices'].count(kind)} {kind}" for kind in kinds)
    return f"{jax['version']} on {jax['platform']}: {counted}"
