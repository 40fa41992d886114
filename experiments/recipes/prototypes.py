"""Prototype-then-edit: a held-out text as an edit of the real documents, against the baseline.

The synthesizer of bootstrapping is the editor p(x | x') and the real documents are the prototypes,
so that p(x) = sum p(x') p(x | x') is a language model whose memory is the corpus (Guu, Hashimoto,
Oren and Liang 2018, arXiv 1709.08878, equation 1). Nothing is sampled and nothing trained but what
bootstrapping trains. The end of an excerpt, at a fixed length, is not scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.bootstrapped import measures
from experiments.recipes.bootstrapped.recipe import Bootstrapped
from experiments.recipes.bootstrapped.runs import BootstrapRuns, bare
from experiments.recipes.bootstrapped.sources import Excerpts
from experiments.recipes.bootstrapped_text import bootstrapped_text
from experiments.worlds.plans_part2 import ExcerptPlan
from models.text.tokens import END_OF_TEXT_ID

if TYPE_CHECKING:
    from models.augment.sbp.prototypes import PrototypeScores
    from models.language.language_model import LanguageModel

MIXTURES = {"mixture": "prototypes", "two baselines": "second baseline"}
"""Mixtures of the baseline, and what it is mixed with; the second one is the control, because any
two models mixed may beat one."""


@dataclass(frozen=True, kw_only=True)
class Prototypes:
    """What held-out documents cost as edits of real ones.

    Attributes:
        n_prototypes: real documents of a draw.
        losses: a row a draw and model: `world` (the draw), `model`, `test_loss` in nats per token
            and `weight`, of the second model of a mixture, which validation chooses. Models are
            "prototypes", "distant prototypes" (those not among the nearest, alone), "baseline",
            "prompted baseline" (it reads the prototypes like the editor, which it was not trained
            for), "second baseline" (of another seed), and those of `MIXTURES`.
        bounds: a row a draw and number of nearest prototypes summed: `world`, `n_nearest` and
            `test_loss`, an upper bound of that of all prototypes.
        posterior: a row a draw: `world`, `n_nearest` prototypes, `share` of p(x) that they hold and
            `effective`, their effective number; means over test documents.
        examples: triples of (beginning of a passage in the public domain, two texts that the editor
            of the first draw wrote from it).
    """

    n_prototypes: int
    losses: pd.DataFrame
    bounds: pd.DataFrame
    posterior: pd.DataFrame
    examples: list[tuple[str, ...]]

    def of(self, model: str, column: str = "test_loss") -> np.ndarray:
        """Return a column of `losses` of a model, a value a draw."""
        rows = self.losses[self.losses["model"] == model]
        return rows.sort_values("world")[column].to_numpy(float)


@recipe(bootstrapped_text, part=2)
def prototypes(lab: Lab, bootstrapped_text: Bootstrapped) -> Prototypes:
    """Score held-out excerpts as edits of real ones, by the tuned synthesizers.

    Raises:
        ValueError: the world has no plan for it.
    """
    plan = lab.world.plan_of(lab.world.excerpts, "prototypes")
    source = Excerpts(lab, plan)
    planned = BootstrapRuns(lab, "bootstrapped_text", plan, source)
    planned.decays |= bootstrapped_text.decays
    planned.synthesizer_rate = bootstrapped_text.synthesizer_rate
    lab.trained(
        [planned.spec("baseline", world, member=i) for world in plan.reported for i in (0, 1)],
        title="prototypes, baselines",
    )
    lab.trained(
        [planned.synthesizer("pairs", world) for world in plan.reported],
        title="prototypes, editors",
    )
    measured = lab.on_devices(lambda world: _score_draw(planned, plan, world), plan.reported)
    tables = {
        name: pd.DataFrame(
            [
                {"world": world, **row}
                for world, values in zip(plan.reported, measured, strict=True)
                for row in values[name]
            ]
        )
        for name in ("losses", "bounds", "posterior")
    }
    examples = measures.written_from_passages(planned, source, plan.reported[0])
    return Prototypes(n_prototypes=plan.n_documents, examples=examples, **tables)


def _score_draw(
    planned: BootstrapRuns, plan: ExcerptPlan, world: int
) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a draw for the tables of `Prototypes`, without its `world`."""
    specs = {
        "editor": planned.writer_spec("pairs", world),
        "baseline": planned.spec("baseline", world),
        "second baseline": planned.spec("baseline", world, member=1),
    }
    sizes = [plan.n_nearest, plan.n_others, plan.n_edited]

    def measure() -> dict[str, list[dict[str, Any]]]:
        from models.language.language_model import LanguageModel

        models = {
            name: LanguageModel(model=spec.model, params=planned.lab.store.params(spec))
            for name, spec in specs.items()
        }
        return _tables(
            *(_scores(planned, plan, models, world, part) for part in ("validation", "test"))
        )

    identity = [*(spec.run_id for spec in specs.values()), *sizes]
    found: dict[str, list[dict[str, Any]]] = planned.lab.remember("prototypes", identity, measure)
    return found


class _Scores(NamedTuple):
    """Documents as edits, and log p(x) [n] in nats of every model."""

    edits: PrototypeScores
    log_probs: dict[str, np.ndarray]


def _tables(validation: _Scores, test: _Scores) -> dict[str, list[dict[str, Any]]]:
    edits, n_tokens = test.edits, int(test.edits.n_tokens.sum())
    losses: list[dict[str, Any]] = [
        {"model": name, "test_loss": -float(log_probs.sum()) / n_tokens, "weight": None}
        for name, log_probs in test.log_probs.items()
    ]
    for name, other in MIXTURES.items():
        weight = mixing_weight(validation.log_probs["baseline"], validation.log_probs[other])
        mixed = _mixed(test.log_probs["baseline"], test.log_probs[other], weight)
        losses.append(
            {"model": name, "test_loss": -float(mixed.sum()) / n_tokens, "weight": weight}
        )
    k = edits.posterior.shape[1]
    counts = sorted({k, *(2**power for power in range(k.bit_length()))})
    return {
        "losses": losses,
        "bounds": [{"n_nearest": n, "test_loss": edits.of_nearest(n).loss} for n in counts],
        "posterior": [
            {
                "share": float(edits.share_of_nearest.mean()),
                "n_nearest": k,
                "effective": float(edits.effective_prototypes.mean()),
            }
        ],
    }


def _scores(
    planned: BootstrapRuns,
    plan: ExcerptPlan,
    models: Mapping[str, LanguageModel],
    world: int,
    part: str,
) -> _Scores:
    from models.augment.sbp.embeddings import LSA
    from models.augment.sbp.neighbors import nearest_among
    from models.augment.sbp.prototypes import prototype_scores
    from models.evals.continuations import Continuation, score_continuations

    texts = planned.source.texts(world)
    real, documents = bare(texts.real), bare(getattr(texts, part)[: plan.n_edited])
    spelled, asked = (
        [planned.source.spell(world, one) for one in some] for some in (real, documents)
    )
    lsa = LSA.fit(spelled)
    order = nearest_among(lsa.embed(asked), lsa.embed(spelled), k=len(real)).ids
    k = min(plan.n_nearest, len(real))
    n_sampled = min(plan.n_others, len(real) - k)
    rng = np.random.default_rng((world, 11))
    chosen = [np.append(row[:k], rng.choice(row[k:], n_sampled, replace=False)) for row in order]
    edits, prompted = (
        prototype_scores(
            models[name], real, documents, np.array(chosen), n_sampled=n_sampled, with_end=False
        )
        for name in ("editor", "baseline")
    )
    whole = [Continuation([END_OF_TEXT_ID, *ids], len(ids)) for ids in documents]
    alone = {
        name: np.array([one.total for one in score_continuations(model, whole)])
        for name, model in models.items()
        if name != "editor"
    }
    read = {"prototypes": edits.log_probs, "prompted baseline": prompted.log_probs}
    if n_sampled:
        read["distant prototypes"] = edits.log_probs_of_others
    return _Scores(edits, {**alone, **read})


def mixing_weight(first: np.ndarray, second: np.ndarray) -> float:
    """Return the weight of the second of two models at which their mixture is best.

    Args:
        first, second: log p(x) in nats of each text [n].
    """
    found = minimize_scalar(
        lambda weight: -_mixed(first, second, weight).sum(), bounds=(0, 1), method="bounded"
    )
    return float(found.x)


def _mixed(first: np.ndarray, second: np.ndarray, weight: float) -> np.ndarray:
    """Return log p(x) [n] of a mixture of two models, which a text belongs to as a whole."""
    return np.logaddexp(np.log1p(-weight) + first, np.log(weight) + second)
