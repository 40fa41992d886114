"""The bootstrapping recipe on excerpts of real text.

Nothing is known here of what an excerpt should say; what makes two of them related is what real
text has: a subject, a style, a book.
"""

from __future__ import annotations

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.bootstrapped.recipe import Bootstrapped, bootstrap
from experiments.recipes.bootstrapped.runs import BootstrapRuns
from experiments.recipes.bootstrapped.sources import Excerpts


@recipe(part=2)
def bootstrapped_text(lab: Lab) -> Bootstrapped:
    """Train and score every arm on excerpts of the world's own text.

    Raises:
        ValueError: the world has no plan for it, or its text fewer excerpts than are wanted.
    """
    plan = lab.world.plan_of(lab.world.excerpts, "bootstrapped_text")
    return bootstrap(BootstrapRuns(lab, "bootstrapped_text", plan, Excerpts(lab, plan)))
