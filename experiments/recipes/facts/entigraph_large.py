"""EntiGraph on graphs of more entities, with a wider model: the growth over more of its phases."""

from __future__ import annotations

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.entigraph.recipe import FactResults, teach


@recipe(part=2)
def entigraph_large(lab: Lab) -> FactResults:
    """Teach the facts of larger graphs by EntiGraph alone.

    Raises:
        ValueError: the world has no plan for it.
    """
    return teach(lab, lab.world.plan_of(lab.world.large_facts, "entigraph_large"), ["entigraph"])
