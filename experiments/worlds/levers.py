"""Settings of model, optimiser and training that a world changes for all runs on its text."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, replace
from typing import Any, Literal

from models.config import ModelConfig, OptimizerConfig, TrainConfig

KINDS: tuple[type[Any], ...] = (ModelConfig, OptimizerConfig, TrainConfig)
RENAMED = {"name": "optimizer"}
"""Settings whose own name says too little -> the name of their lever, as in tables of runs."""
OTHERWISE = ("batch_size", "begin_of_text_id", "end_of_text_id", "rope_scaling")
"""Settings that have a default but are no levers: the world or its text decides them."""
WORDS = {"true": True, "false": False}


def _levers(kind: type[Any]) -> dict[str, Field[Any]]:
    """Return the settings of a kind that have a default, by the name of their lever."""
    return {
        RENAMED.get(one.name, one.name): one
        for one in fields(kind)
        if one.default is not MISSING and one.name not in OTHERWISE
    }


def defaults() -> dict[str, Any]:
    """Return the value that each lever has where it is not used, by its name."""
    return {name: one.default for kind in KINDS for name, one in _levers(kind).items()}


def check_levers(levers: Mapping[str, Any]) -> None:
    """Raise ValueError for a lever that is unknown, or a value of the wrong type."""
    known = {name: (kind, one) for kind in KINDS for name, one in _levers(kind).items()}
    for name, value in levers.items():
        if name not in known:
            raise ValueError(f"levers.{name} is unknown; allowed are {', '.join(known)}")
        kind, one = known[name]
        allowed = _types(kind, one.name)
        if type(value) not in allowed and not (float in allowed and type(value) is int):
            names = " or ".join(sorted(kind.__name__ for kind in allowed))
            raise ValueError(f"levers.{name} must be of type {names}; not {value!r}")


def _types(kind: type[Any], name: str) -> set[type[Any]]:
    hint = typing.get_type_hints(kind)[name]
    if typing.get_origin(hint) is Literal:
        return {str}
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return {part for part in parts if part is not types.NoneType}


def with_levers(settings: Any, levers: Mapping[str, Any]) -> Any:
    """Return settings of one kind with those of the levers that are of this kind.

    Raises:
        ValueError: a value is out of its range.
    """
    if not levers:
        return settings
    own = _levers(type(settings))
    return replace(
        settings, **{own[name].name: value for name, value in levers.items() if name in own}
    )


def read_levers(pairs: Iterable[str]) -> dict[str, float | bool | str]:
    """Return levers by name from texts such as `clip_norm=1`, `qk_norm=true`, `schedule=wsd`.

    Raises:
        ValueError: a text is not of this form, or a lever is unknown, named twice or of the wrong
            type.
    """
    found: dict[str, float | bool | str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals and text):
            raise ValueError(f"a lever must be name=value, such as clip_norm=1; not {pair!r}")
        if name in found:
            raise ValueError(f"the lever {name} is given more than once")
        found[name] = WORDS[text] if text in WORDS else _number(text)
    check_levers(found)
    return found


def _number(text: str) -> float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
