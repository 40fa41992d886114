"""All laws by name."""

from __future__ import annotations

from scaling.laws.curves import CURVE_LAWS
from scaling.laws.laws import POWER_TERM_LAWS, Law

LAWS: dict[str, Law] = {law.name: law for law in (*POWER_TERM_LAWS, *CURVE_LAWS)}
"""Laws by name, as `fit_law(law=...)` accepts them."""


def get_law(law: str | Law) -> Law:
    """The law called `law`, or the law itself.

    Raises:
        ValueError: no law has that name.
    """
    if isinstance(law, Law):
        return law
    if law not in LAWS:
        allowed = ", ".join(repr(name) for name in LAWS)
        raise ValueError(f"`law` must be one of {allowed} or a Law; not {law!r}")
    return LAWS[law]
