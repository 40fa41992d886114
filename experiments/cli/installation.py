"""Examination of an installation: versions, devices, memory, caches, texts, optional parts."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from models.text.data_home import cache_home, find_data_home
from models.training.devices import available_cores

PARTS = {
    "gpu": "training on NVIDIA GPUs",
    "tpu": "training on TPUs",
    "dask": "training on Dask workers, on this machine or many",
    "hf": "datasets and models of Hugging Face",
    "lm-eval": "EleutherAI's evaluation harness",
    "llm": "generation of texts with OpenAI-compatible servers",
    "embed": "sentence embeddings to find related documents",
    "faiss": "search for related documents among millions",
    "notebook": "notebooks with progress bars",
    "parquet": "parquet tables",
    "pdf": "texts of PDF files",
    "docs": "building the documentation",
}
"""Optional parts, by the name of their extra, and their purpose."""

LEAST_FREE_DISK = 256 * 2**20
"""Bytes that a sweep of the smallest world may need for weights, tokens and compiled programs."""
SECONDS_FOR_JAX = 120
ASK_JAX = """
import json
from models.training.devices import configure_host_devices
configure_host_devices()
import jax
found = {"version": jax.__version__, "platform": jax.default_backend()}
print(json.dumps(found | {"devices": [device.device_kind for device in jax.devices()]}))
"""


@dataclass(frozen=True, kw_only=True)
class Part:
    """An optional part.

    Attributes:
        name: name of its extra.
        purpose: what it is used for.
        packages: installed version of each package it needs; None if missing or unsuitable.
    """

    name: str
    purpose: str
    packages: dict[str, str | None]

    @property
    def installed(self) -> bool:
        """Whether all packages are installed."""
        return None not in self.packages.values()

    @property
    def install(self) -> str:
        """The command that installs it."""
        return f'{sys.executable} -m pip install "datawall[{self.name}]"'


@dataclass(kw_only=True)
class Health:
    """State of an installation.

    Attributes:
        facts: values by subject.
        parts: the optional parts.
        problems: a sentence for each required part that is broken, with the remedy.
        notes: a sentence for each part that works but may not do what the user wants.
    """

    facts: dict[str, dict[str, object]] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, object]:
        """Return the state as JSON types."""
        parts = {
            part.name: {
                "purpose": part.purpose,
                "installed": part.installed,
                "packages": part.packages,
                "install": part.install,
            }
            for part in self.parts
        }
        return {
            **self.facts,
            "parts": parts,
            "notes": self.notes,
            "problems": self.problems,
        }


def examine() -> Health:
    """Return the state of this installation; JAX is started once, in another process."""
    health = Health()
    _software(health)
    _jax(health)
    _machine(health)
    _cache(health)
    _texts(health)
    return health


def _software(health: Health) -> None:
    health.facts["datawall"] = {
        "version": metadata.version("datawall"),
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
    }
    required = [Requirement(text) for text in metadata.requires("datawall") or []]
    for need in required:
        if need.marker is None and _version(need) is None:
            health.problems.append(
                f"{need.name}{need.specifier} is required, but {_found(need.name)}: run "
                f'{sys.executable} -m pip install "{need}"'
            )
    for name, purpose in PARTS.items():
        of_part = [
            need for need in required if need.marker and need.marker.evaluate({"extra": name})
        ]
        # For an extra of jax (its CUDA plugin), check the packages of the extra instead of jax.
        wanted = [one for need in of_part for one in (_extras_of(need) if need.extras else [need])]
        if wanted:
            packages = {need.name: _version(need) for need in wanted}
            health.parts.append(Part(name=name, purpose=purpose, packages=packages))


def _extras_of(need: Requirement) -> list[Requirement]:
    """Return the requirements of the extras of a package."""
    try:
        known = [Requirement(text) for text in metadata.requires(need.name) or []]
    except metadata.PackageNotFoundError:
        return [need]
    return [
        more
        for more in known
        if more.marker
        and not more.marker.evaluate({"extra": ""})
        and any(more.marker.evaluate({"extra": extra}) for extra in need.extras)
    ]


def _version(need: Requirement) -> str | None:
    """Return the installed version if it satisfies the requirement, else None."""
    try:
        version = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return None
    return version if need.specifier.contains(version, prereleases=True) else None


def _found(name: str) -> str:
    try:
        return f"version {metadata.version(name)} is installed"
    except metadata.PackageNotFoundError:
        return "it is not installed"


def _jax(health: Health) -> None:
    """Start JAX in another process, so that the crash of a plugin can be reported."""
    try:
        process = subprocess.run(
            [sys.executable, "-c", ASK_JAX],
            capture_output=True,
            text=True,
            timeout=SECONDS_FOR_JAX,
        )
        answer = json.loads(process.stdout.splitlines()[-1]) if not process.returncode else None
    except subprocess.TimeoutExpired:
        health.problems.append(
            f"JAX does not start within {SECONDS_FOR_JAX} s: another program may hold the device"
        )
        return
    if answer is None:
        lines = process.stderr.strip().splitlines() or [f"exit status {process.returncode}"]
        health.problems.append(f"JAX does not start: {lines[-1]}")
        return
    health.facts["jax"] = answer
    if answer["platform"] == "cpu" and shutil.which("nvidia-smi"):
        health.notes.append(
            "an NVIDIA driver is installed, but JAX uses the CPU: install the part gpu to use the "
            "GPU"
        )


def _machine(health: Health) -> None:
    import psutil

    from experiments.worlds.registry import WORLDS

    memory, here = psutil.virtual_memory(), Path.cwd()
    free = shutil.disk_usage(here).free
    health.facts["machine"] = {
        "cores": available_cores(),
        "cores_of_machine": os.cpu_count(),
        "memory_free": memory.available,
        "memory_total": memory.total,
        "folder": str(here),
        "disk_free": free,
    }
    tiny = WORLDS["tiny"].memory_bytes()
    if memory.available < tiny:
        health.problems.append(
            f"only {gib(memory.available)} of memory are free, and the smallest world needs "
            f"{gib(tiny)}: close other programs"
        )
    if free < LEAST_FREE_DISK:
        health.problems.append(f"the disk of {here} has only {gib(free)} free: delete some files")


def _cache(health: Health) -> None:
    home = cache_home()
    compiled = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or home / "compiled").expanduser()
    files = [file for file in compiled.rglob("*") if file.is_file()] if compiled.is_dir() else []
    existing = _existing(home)
    free = shutil.disk_usage(existing).free
    health.facts["cache"] = {
        "folder": str(home),
        "disk_free": free,
        "compiled_folder": str(compiled),
        "compiled_programs": sum(file.name.endswith("-cache") for file in files),
        "compiled_bytes": sum(file.stat().st_size for file in files),
    }
    for folder, variable in ((home, "DATAWALL_CACHE"), (compiled, "JAX_COMPILATION_CACHE_DIR")):
        if refusal := _refusal(folder):
            health.problems.append(
                f"the cache {folder} is not writable ({refusal}): set {variable} to another folder"
            )
            return
    if free < LEAST_FREE_DISK:
        health.problems.append(
            f"the disk of the cache {home} has only {gib(free)} free: delete some files or set "
            "DATAWALL_CACHE to another folder"
        )


def _existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _refusal(folder: Path) -> str:
    """Return why a folder, or its nearest existing parent, is not writable; empty if it is."""
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _texts(health: Health) -> None:
    from models.text.corpora import CorpusError, corpus_fingerprint
    from models.text.novels import ARCHIVE, novel_checksums
    from scaling.published.datasets import DATASETS, data_folder

    data = find_data_home()
    archive = data / ARCHIVE if data else None
    downloaded = cache_home() / "novels"
    n_there = sum((downloaded / f"{name}.txt").is_file() for name in novel_checksums())
    if archive and archive.is_file():
        novels = f"in {archive}"
    elif n_there:
        novels = f"{n_there} of {len(novel_checksums())} downloaded into {downloaded}"
    else:
        novels = "not downloaded yet; done on first use (76 MB)"
    try:
        corpus_fingerprint("stdlib")
        stdlib = "docstrings of this Python installation"
    except CorpusError as error:
        stdlib = f"missing: {error}"
        health.problems.append(f"the text stdlib cannot be read: {error}")
    n_tables = sum((data_folder() / table.path).is_file() for table in DATASETS.values())
    tasks = (data / "evals").glob("*") if data else ()
    evals = sorted(path.name for path in tasks if path.is_dir())
    health.facts["texts"] = {
        "data_folder": str(data) if data and data.is_dir() else None,
        "stdlib": stdlib,
        "novels": novels,
        "evaluations": evals,
        "published_tables": f"{n_tables} of {len(DATASETS)} in the data folder",
    }
    named = os.environ.get("DATAWALL_DATA")
    if named and data and not data.is_dir():
        health.problems.append(
            f"DATAWALL_DATA is {named}, which is not a folder: correct it, or unset it to download "
            "texts"
        )


def gib(n_bytes: float) -> str:
    """Return a number of bytes as text in a suitable unit."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes:.0f} bytes"
