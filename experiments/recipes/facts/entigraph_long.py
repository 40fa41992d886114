"""EntiGraph with longer training on the same text: does text or training set the ceiling?"""

from __future__ import annotations

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.entigraph.recipe import FactResults, teach


@recipe(part=2)
def entigraph_long(lab: Lab) -> FactResults:
    """Teach the facts of the same graphs by EntiGraph alone, on more training tokens.

    Raises:
        ValueError: the world has no plan for it.
    """
    return teach(lab, lab.world.plan_of(lab.world.long_facts, "entigraph_long"), ["entigraph"])
