"""EntiGraph on the same graphs with a wider model: does the text or the model set the ceiling?"""

from __future__ import annotations

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.entigraph.recipe import FactResults, teach


@recipe(part=2)
def entigraph_wide(lab: Lab) -> FactResults:
    """Teach the facts of graphs by EntiGraph alone, on as many training tokens.

    Raises:
        ValueError: the world has no plan for it.
    """
    return teach(lab, lab.world.plan_of(lab.world.wide_facts, "entigraph_wide"), ["entigraph"])
