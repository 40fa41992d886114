"""Bootstrapping once more, on excerpts of a world's own text instead of invented documents.

Nothing is known here of what an excerpt should say; what makes two of them related is what real
text has: a subject, a style, a book.
"""

from __future__ import annotations

from experiments.bootstrapped import Bootstrapped, bootstrap
from experiments.bootstrapping.bench import Bench
from experiments.bootstrapping.sources import Excerpts
from experiments.lab import Lab
from experiments.plans_part2 import part2_plan


def run(lab: Lab) -> Bootstrapped:
    """Train and score every arm on excerpts.

    Raises:
        ValueError: the world's plan has no excerpts, or its text fewer than are wanted.
    """
    plan = part2_plan(lab.world.name).excerpts
    if plan is None:
        raise ValueError(f"world {lab.world.name} does not bootstrap its text; tiny and small do")
    return bootstrap(Bench(lab, "bootstrapped_text", plan, Excerpts(lab, plan)))
