"""All laws by name."""

from __future__ import annotations

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
            if isinstance(value, Law):
                if value.name in found:
                    raise ValueError(f"two laws of {module.__name__} are called {value.name!r}")
                found[value.name] = value
    return found


LAWS = laws_in(laws, joint, curves)
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
