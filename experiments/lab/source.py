"""The hash of the code that a measurement depends on.

It covers the file that defines the measuring function and every module of ours that this file
imports, directly or through others, at the top or inside functions; comments, docstrings and
formatting aside. The modules of `experiments.lab` are not followed: they plan, train and keep, and
all that they hand to a measurement (runs, weights, text) is named in the identity of its record.
"""

from __future__ import annotations

import ast
import linecache
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from experiments.runs.spec import digest

ROOT = Path(__file__).parents[2]
PACKAGES = ("scaling", "graphsim", "models", "experiments")
NOT_FOLLOWED = "experiments.lab"
_ONE_AT_A_TIME = threading.Lock()
"""Python 3.11 fails where two threads parse at once (SystemError, recursion depth mismatch)."""


def source_of(function: Callable[..., Any]) -> str:
    """Return the hash of the code that a function of this process depends on.

    A function that was typed into a session counts with the cell that defines it.
    """
    with _ONE_AT_A_TIME:
        return _hash_from(function.__code__.co_filename)


@cache
def _hash_from(file: str) -> str:
    code, waiting = _parsed("".join(linecache.getlines(file)))
    found: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path], imported = _read(path)
            waiting |= imported - found.keys()
    return digest([code, sorted(found.items())])


@cache
def _read(path: str) -> tuple[str, set[str]]:
    return _parsed((ROOT / path).read_text(encoding="utf-8"))


def _parsed(text: str) -> tuple[str, set[str]]:
    """Return the hash of the code of a module, and the paths below `ROOT` of what it imports."""
    tree = ast.parse(text)
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return digest(_shape(tree)), {path for name in names if (path := _path_of(name))}


def _shape(node: Any) -> Any:
    """Return names and values of a syntax tree without docstrings, the same in all versions.

    (`ast.unparse` and `ast.dump` change between versions of Python; empty fields come and go.)
    """
    if isinstance(node, list):
        return [_shape(one) for one in node if not _is_text(one)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, [])}
    if isinstance(node, ast.JoinedStr):  # 3.12 ends formats with an empty text
        fields = {"values": [one for one in node.values if getattr(one, "value", None) != ""]}
    return [type(node).__name__, {name: _shape(value) for name, value in fields.items()}]


def _is_text(node: Any) -> bool:
    """Return whether a statement is a docstring, or another text that does nothing."""
    constant = node.value if isinstance(node, ast.Expr) else None
    return isinstance(constant, ast.Constant) and isinstance(constant.value, str)


def _path_of(module: str) -> str | None:
    """Return the path of a module of ours below `ROOT`; None for anything else."""
    if module.split(".")[0] not in PACKAGES or f"{module}.".startswith(f"{NOT_FOLLOWED}."):
        return None
    stem = module.replace(".", "/")
    paths = (f"{stem}.py", f"{stem}/__init__.py")
    return next((path for path in paths if (ROOT / path).is_file()), None)
