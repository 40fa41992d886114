"""EntiGraph with longer training on the same text: does text or training set the ceiling?"""

from __future__ import annotations

from dataclasses import replace

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.entigraph.recipe import FactResults, entigraph, teach


@recipe(entigraph, part=2)
def entigraph_long(lab: Lab, entigraph: FactResults) -> FactResults:
    """Teach the facts of the same graphs by EntiGraph's largest corpus, on more training tokens.

    Models start from the same first trainings; the learning rate after them is chosen on corpora
    of that size.

    Raises:
        ValueError: the world has no plan for it.
    """
    tokens = lab.world.plan_of(lab.world.longer_training, "entigraph_long")
    largest = entigraph.plan.entigraph_tokens[-1]
    longer = replace(
        entigraph.plan,
        base_learning_rates=(entigraph.base_learning_rate,),
        tokens=tokens,
        tuning_tokens=largest,
        entigraph_tokens=(largest,),
    )
    return teach(lab, longer, ["entigraph"])
