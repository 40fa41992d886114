"""The items of an examination, one after another, with their results in one file.

Each item runs in a process of its own, so that a crash ends one item only, memory is free again
after each, and peaks are those of the item.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from models.accelerator import sizes as all_sizes
from models.accelerator.outcome import Outcome
from models.accelerator.requirements import AcceleratorError, looked_for, nvidia_driver
from models.accelerator.sizes import Sizes
from models.text.data_home import replacing

ROOT = Path(__file__).resolve().parents[2]
MODULE = "models.accelerator"
SECONDS_TO_START = 120
SECONDS_OF_AN_ITEM = 240
MOST_ATTEMPTS = 2
"""An item that twice left no result, because its process or this one was killed, has failed."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A check or a measurement.

    Attributes:
        title: what it finds out, in a line.
        run: computes it.
        flags: XLA flags of its process on a GPU.
    """

    title: str
    run: Callable[[Sizes], Outcome]
    flags: str = ""


def items_of(sizes: Sizes) -> dict[str, Item]:
    """Return the items by name, checks first."""
    from models.accelerator import checks, kernels, measurements

    return {
        "losses": Item(title="losses equal the CPU's", run=checks.check_losses),
        "members": Item(title="vmapped members equal single ones", run=checks.check_members),
        "resume": Item(
            title="a resumed run equals an uninterrupted one",
            run=checks.check_resume,
            flags="--xla_gpu_deterministic_ops=true",
        ),
        "attention": Item(title="attention equals the formula", run=kernels.check_attention),
        "sharding": Item(title="several devices equal one", run=checks.check_sharding),
        "memory": Item(title="out of memory: fewer members", run=checks.check_memory),
        "machine": Item(title="rates of the machine", run=measurements.measure_machine),
        **{
            f"speed {name}": Item(
                title=f"training of {name} weights",
                run=partial(measurements.measure_speed, name=name),
            )
            for name in sizes.speeds
        },
        "together": Item(title="members together and one by one", run=measurements.measure_members),
        "sampling": Item(title="sampling", run=measurements.measure_sampling),
        "torch": Item(title="PyTorch with torch.compile", run=measurements.measure_torch),
    }


def examine(
    sizes: Sizes,
    path: Path | None = None,
    *,
    only: Sequence[str] = (),
    minutes: float = 9.0,
    again: bool = False,
    isolated: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Return all results, computing those that the file lacks for these versions and devices.

    Args:
        sizes: sizes of the models.
        path: the JSON file of results (default: `default_path` of the devices).
        only: names of items to run (default: all).
        minutes: time after which no further item is started; the next call goes on.
        again: run items that have a result, too.
        isolated: run each item in a process of its own.
        say: receives a line before each item and one with its result.

    Returns:
        `key` (versions and devices), `path`, `results` by item, and `left`, names not run yet.

    Raises:
        AcceleratorError: there is no accelerator, or JAX does not start.
        ValueError: an unknown item.
    """
    begun = time.monotonic()
    items = items_of(sizes)
    if unknown := set(only) - items.keys():
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}; the items are {', '.join(items)}")
    key = {**(_asked("facts", sizes.name) if isolated else device_facts()), **_versions(sizes)}
    if key["platform"] == "cpu" and sizes is all_sizes.FULL:
        raise AcceleratorError(
            f"no accelerator: JAX finds only the CPU. Looked for: {looked_for()}. All checks run "
            "on a CPU too, at tiny sizes: --smoke"
        )
    path = path or default_path(key)
    results = _results_so_far(path, key)
    for name in only or items:
        if name in results and results[name]["state"] == "done" and not again:
            say(f"{name}: kept from an earlier call")
            continue
        attempts = 1 if again else results.get(name, {}).get("attempts", 0) + 1
        if attempts > MOST_ATTEMPTS or time.monotonic() - begun > 60 * minutes:
            continue
        say(f"{name}: {items[name].title}")
        # Written before the item starts, so that an item that kills the process is known.
        results[name] = {"state": "started", "attempts": attempts}
        _write(path, key, results)
        results[name] |= _run(name, items[name], sizes, key["platform"], isolated=isolated)
        _write(path, key, results)
        say(f"  {verdict(results[name])}, {results[name]['seconds']:.0f} s")
    left = [name for name in items if results.get(name, {}).get("state") != "done"]
    return {"key": key, "path": str(path), "results": results, "left": left}


def default_path(key: Mapping[str, Any]) -> Path:
    """Return the file of results of these devices."""
    kind = "".join(one if one.isalnum() else "-" for one in str(key["devices"]).lower())
    return Path("out", "accelerator", f"{kind}-{key['sizes'].lower()}.json")


def verdict(result: Mapping[str, Any]) -> str:
    """Return the result of an item in a word or two."""
    if result["state"] != "done":
        return "left no result"
    if result.get("error"):
        return "failed"
    if result["passed"] is None:
        return "measured" if result["figures"] else "skipped"
    return "passed" if result["passed"] else "FAILED"


def failures(results: Mapping[str, Any]) -> list[str]:
    """Return the names of items that failed or left no result."""
    return [name for name, one in results.items() if one.get("passed", False) is False]


def run_item(name: str, sizes: Sizes) -> dict[str, Any]:
    """Return the result of one item as JSON types, computed in this process."""
    begun = time.monotonic()
    try:
        outcome, error, trace = items_of(sizes)[name].run(sizes), "", ""
    except Exception as problem:
        outcome = Outcome(passed=False)
        error = f"{type(problem).__name__}: {problem}".splitlines()[0]
        trace = traceback.format_exc()
    result = {
        "state": "done",
        "passed": outcome.passed,
        "figures": dict(outcome.figures),
        "note": outcome.note,
        "seconds": time.monotonic() - begun,
    }
    return {**result, "error": error, "traceback": trace} if error else result


def device_facts() -> dict[str, Any]:
    """Return platform, kinds, number and memory of the devices of this process."""
    import jax

    devices = jax.local_devices()
    limit = (devices[0].memory_stats() or {}).get("bytes_limit")
    kinds = sorted({device.device_kind for device in devices})
    return {
        "platform": devices[0].platform,
        "devices": f"{len(devices)} {', '.join(kinds)}",
        "memory of a device, GiB": round(limit / 2**30, 2) if limit else None,
    }


def _versions(sizes: Sizes) -> dict[str, str | None]:
    from importlib.metadata import PackageNotFoundError, version

    def found(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    sources = sorted(ROOT.joinpath("models").rglob("*.py"))
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")
    return {
        "sizes": sizes.name,
        "code": code,
        "python": platform.python_version(),
        "driver": nvidia_driver(),
        "XLA_FLAGS": os.environ.get("XLA_FLAGS"),
        **{name: found(name) for name in packages},
    }


def _run(
    name: str, item: Item, sizes: Sizes, device_platform: str, *, isolated: bool
) -> dict[str, Any]:
    if not isolated:
        return run_item(name, sizes)
    begun = time.monotonic()
    flags = item.flags if device_platform in ("gpu", "cuda") else ""
    try:
        return _asked("item", sizes.name, name, flags=flags, seconds=SECONDS_OF_AN_ITEM)
    except AcceleratorError as error:
        seconds = time.monotonic() - begun
        return {
            "state": "done",
            "passed": False,
            "figures": {},
            "note": "",
            "seconds": seconds,
            "error": str(error),
        }


def _asked(*words: str, flags: str = "", seconds: float = SECONDS_TO_START) -> dict[str, Any]:
    """Return the JSON object that another process of this module prints last.

    Raises:
        AcceleratorError: it fails or takes too long.
    """
    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    # These processes have the device for themselves, one after another.
    env.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    env["XLA_FLAGS"] = f"{env.get('XLA_FLAGS', '')} {flags}".strip()
    try:
        done = subprocess.run(
            [sys.executable, "-m", MODULE, "--ask", *words],
            capture_output=True,
            text=True,
            env=env,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        raise AcceleratorError(f"no answer within {seconds:.0f} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        if words[0] == "facts":
            raise AcceleratorError(f"JAX does not start: {lines[-1]} (looked for {looked_for()})")
        raise AcceleratorError(f"its process ended with status {done.returncode}: {lines[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def _results_so_far(path: Path, key: Mapping[str, Any]) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content["results"] if content.get("key") == dict(key) else {}


def _write(path: Path, key: Mapping[str, Any], results: Mapping[str, Any]) -> None:
    content = json.dumps({"key": key, "results": results}, indent=1, allow_nan=True)
    with replacing(path, durable=True) as beside:
        beside.write_text(content + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(table(key, results), encoding="utf-8")


def table(key: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """Return versions, devices and all figures as tables in Markdown."""
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in key.items()), ""]
    lines += ["| item | result | figure | value |", "|---|---|---|---|"]
    for name, result in results.items():
        rows = list(result.get("figures", {}).items())
        rows += [(what, result[what]) for what in ("error", "note") if result.get(what)]
        for at, (what, value) in enumerate(rows or [("", "")]):
            shown = f"{value:,.4g}" if isinstance(value, float) else value
            first = (name, verdict(result)) if at == 0 else ("", "")
            lines.append(f"| {first[0]} | {first[1]} | {what} | {shown} |")
    return "\n".join(lines) + "\n"
