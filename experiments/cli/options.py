"""Help texts as a reader wants them."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Annotated, Any, TypeVar

import docstring_parser
import tyro

Options = TypeVar("Options")

KINDS = {str: "STR", int: "INT", float: "FLOAT", Path: "PATH"}


def readable(options: type[Options]) -> type[Options]:
    """Have the help of a dataclass of options read well.

    Tyro keeps the line breaks of an option's docstring. Of an option that may be left out it writes
    `{None}` and "(default: None)", where the docstring says what happens then; of a switch, how to
    switch it off again. Inherited options are left to the class that declares them.
    """
    texts = {
        found.arg_name: " ".join((found.description or "").split())
        for found in docstring_parser.parse_from_object(options).params
    }
    hints = typing.get_type_hints(options, include_extras=True)
    for option in dataclasses.fields(options):  # type: ignore[arg-type]
        if option.name in vars(options)["__annotations__"] and option.name in texts:
            settings: dict[str, Any] = {"help": texts[option.name]}
            hint = hints[option.name]
            if option.default in (None, (), "") or option.default is False:
                settings["help_behavior_hint"] = ""
            if option.default is False:
                hint = Annotated[hint, tyro.conf.FlagCreatePairsOff]
            if kind := _kind_if_optional(hint):
                settings["metavar"] = kind
            options.__annotations__[option.name] = Annotated[hint, tyro.conf.arg(**settings)]
    return options


def _kind_if_optional(hint: Any) -> str | None:
    """Name the values of a type that may be None besides; None for any other type."""
    if typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return None
    others = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
    if len(others) != 1 or len(others) == len(typing.get_args(hint)):
        return None
    if typing.get_origin(others[0]) is typing.Literal:
        return "{" + ",".join(map(str, typing.get_args(others[0]))) + "}"
    return KINDS.get(others[0])
