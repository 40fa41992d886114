"""All laws by name: the `Law` constants of the modules of this folder."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from scaling.laws import curves, joint, laws
from scaling.laws.laws import Law


def laws_in(*modules: ModuleType) -> dict[str, Law]:
    """Laws that are constants of modules, by name, in the order of their definition.

    Raises:
        ValueError: two laws have the same name.
    """
    found: dict[str, Law] = {}
    for module in modules:
        for value in vars(module).values():
            if isinstance(value, Law) and found.setdefault(value.name, value) is not value:
                raise ValueError(f"two laws are called {value.name!r}, one in {module.__name__}")
    return found


def _others() -> list[ModuleType]:
    """Return the other modules of this folder, in alphabetical order."""
    known = {"__init__", "registry"}
    stems = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    return [importlib.import_module(f"{__package__}.{stem}") for stem in stems if stem not in known]


LAWS = laws_in(laws, joint, curves, *_others())
"""Laws by name, as `fit_law(law=...)` accepts them."""


def get_law(law: str | Law) -> Law:
    """Law with this name, or `law` itself if it is a `Law`.

    Raises:
        ValueError: no law has that name.
    """
    if isinstance(law, Law):
        return law
    if law not in LAWS:
        allowed = ", ".join(repr(name) for name in LAWS)
        raise ValueError(f"`law` must be one of {allowed} or a Law; not {law!r}")
    return LAWS[law]
