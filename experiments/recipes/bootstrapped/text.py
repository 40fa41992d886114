"""Bootstrapping once more, on excerpts of a world's own text instead of invented documents.

Nothing is known here of what an excerpt should say; what makes two of them related is what real
text has: a subject, a style, a book.
"""

from __future__ import annotations

from experiments.lab.lab import Lab
from experiments.recipes.bootstrapped.bench import Bench
from experiments.recipes.bootstrapped.recipe import Bootstrapped, bootstrap
from experiments.recipes.bootstrapped.sources import Excerpts
from experiments.worlds.plans_part2 import PLANS, part2_plan


def run(lab: Lab) -> Bootstrapped:
    """Train and score every arm on excerpts.

    Raises:
        ValueError: the world's plan has no excerpts, or its text fewer than are wanted.
    """
    plan = part2_plan(lab.world.name).excerpts
    if plan is None:
        able = ", ".join(world for world, sizes in PLANS.items() if sizes.excerpts)
        raise ValueError(f"bootstrapped_text runs in the worlds {able}; not in {lab.world.name!r}")
    return bootstrap(Bench(lab, "bootstrapped_text", plan, Excerpts(lab, plan)))
