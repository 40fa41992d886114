"""Worlds as TOML files: a key for each field of `World`, a table for each plan."""

from __future__ import annotations

import json
import math
import re
import textwrap
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import docstring_parser

from experiments.worlds import recipe_names
from experiments.worlds.world import PLANS, World

SUFFIX = ".toml"
KINDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def read_world(path: Path) -> World:
    """Return the world that a TOML file describes; the key `name` defaults to the file's name.

    Raises:
        ValueError: the file is not TOML, a key is unknown, missing or has a wrong value, or a
            recipe is unknown or lacks its plan. The message names the key and what is allowed.
        OSError: the file cannot be read.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    try:
        world: World = _settings(World, {"name": path.stem} | values, "")
        _check_recipes(world)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return world


def _check_recipes(world: World) -> None:
    if not re.fullmatch(r"\w[\w.-]*", world.name):
        raise ValueError(
            f"name must be letters, digits, '-', '_' and '.', because the runs are kept in a "
            f"folder of that name; not {world.name!r}"
        )
    for recipe in world.recipes:
        if recipe not in recipe_names():
            raise ValueError(f"recipes must be among {', '.join(recipe_names())}; not {recipe!r}")
        plan = PLANS.get(recipe)
        if plan and getattr(world, plan) is None:
            raise ValueError(f"the recipe {recipe} needs a table [{plan}]")


def _settings(kind: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """Return a dataclass from its values; `where` is the name of its table and a dot."""
    known = {field.name: field for field in fields(kind)}
    for name in values:
        if name not in known:
            raise ValueError(f"{where}{name} is unknown; allowed are {', '.join(known)}")
    missing = [name for name, field in known.items() if _is_needed(field) and name not in values]
    if missing:
        raise ValueError(f"{', '.join(f'{where}{name}' for name in missing)} must be given")
    hints = typing.get_type_hints(kind)
    read = {name: _value(hints[name], value, f"{where}{name}") for name, value in values.items()}
    try:
        return kind(**read)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def _is_needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _value(hint: Any, value: Any, key: str) -> Any:
    """Return a TOML value as its annotated type.

    Raises:
        ValueError: the value is not of that type; the message names the key and what is allowed.
    """
    if hint is Any:  # checked where it is used
        return value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # a plan or None; TOML has no None
        (hint,) = (part for part in arguments if part is not types.NoneType)
        return _value(hint, value, key)
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ValueError(f"{key} must be a table [{key}]; not {value!r}")
        return _settings(hint, value, f"{key}.")
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{key} must be one of {', '.join(arguments)}; not {value!r}")
        return value
    if origin is tuple:
        n_wanted = None if arguments[-1] is ... else len(arguments)
        if not isinstance(value, list) or n_wanted not in (None, len(value)):
            length = f" of {n_wanted} values" if n_wanted else ""
            raise ValueError(f"{key} must be a list{length}, such as [1, 2]; not {value!r}")
        kinds = arguments if n_wanted else arguments[:1] * len(value)
        return tuple(
            _value(kind, part, f"{key}[{at}]")
            for at, (kind, part) in enumerate(zip(kinds, value, strict=True))
        )
    if origin is Mapping:
        if not isinstance(value, dict):
            raise ValueError(f"{key} must be a table, such as {{ n_epochs = [1, 64] }}")
        return {name: _value(arguments[1], part, f"{key}.{name}") for name, part in value.items()}
    if not _is_of(hint, value):
        raise ValueError(f"{key} must be {KINDS[hint]}; not {value!r}")
    return value


def _is_of(kind: type[Any], value: Any) -> bool:
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def world_toml(world: World) -> str:
    """Return a world as TOML for `read_world`, with a comment on each key.

    The name is left out, so that the world gets the name of the file.
    """
    head = f"# A copy of the world {world.name}. The name of this file is the name of the world.\n"
    return head + "\n".join(_lines(world, ""))


def _lines(settings: Any, table: str) -> list[str]:
    lines = [f"\n[{table}]"] if table else []
    meanings = _meanings(type(settings))
    plans = []
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            plans.append((field.name, value))
        elif value is not None and field.name != "name":
            lines += textwrap.wrap(
                meanings[field.name], 100, initial_indent="# ", subsequent_indent="# "
            )
            lines.append(f"{field.name} = {_text(value)}")
    for name, plan in plans:
        lines += _lines(plan, name)
    return lines


def _meanings(kind: type[Any]) -> dict[str, str]:
    """Return the description of each field of a dataclass, those of its bases included."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        for param in docstring_parser.parse(base.__doc__ or "").params:
            found[param.arg_name] = " ".join((param.description or "").split())
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{name} = {_text(part)}' for name, part in value.items())} }}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    return repr(value)
