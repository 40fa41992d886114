"""A classical n-gram model mixed with neural models of several sizes and recipes.

The table of Herel and Mikolov 2023 (arXiv 2312.03735) in miniature: every model is trained on the
same unique tokens, the weights of the mixture are learned on the validation part and all is scored
on the test part. Every model sees the same: the tokens of a window before the one it predicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.analysis import intervals
from experiments.analysis.intervals import Estimate
from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe
from experiments.recipes.ensembles import Ensembles, ensembles
from experiments.recipes.regularized import Regularized, regularized
from experiments.recipes.standard import Standard, standard
from experiments.runs.spec import RunSpec
from experiments.runs.texts import held_out, unique_tokens

ORDERS = (2, 3, 4, 5)
"""Orders of Kneser-Ney of which validation selects one."""


@dataclass(frozen=True, kw_only=True)
class Classical:
    """Single models, their mixture, and what the classical one adds.

    Attributes:
        order: of the n-gram model, selected on validation.
        models: a row a model: `model` (its name), `kind` ("classical", "standard", "tuned" or
            "member"), `width` (0: classical), `validation_loss`, `test_loss` in nats per token,
            `weight` in the mixture of all.
        windows: a row a test window, mean losses in nats per token: `best` (the single model that
            validation selects), `mixture` (of all), `neural` (of all but the classical one),
            `ensemble` (that validation selects) and `ensemble_classical` (the two mixed).
        best: name of the single model that validation selects.
        ensemble: name of the ensemble that validation selects.
    """

    order: int
    models: pd.DataFrame
    windows: pd.DataFrame
    best: str
    ensemble: str

    def gain(self, over: str, of: str) -> Estimate:
        """Return the test loss of one column of `windows` less another's, interval over windows."""
        return intervals.mean_estimate(self.windows[over] - self.windows[of])

    def perplexity(self, column: str) -> float:
        """Return the test perplexity of a column of `windows`."""
        return float(np.exp(self.windows[column].mean()))


@recipe(standard, regularized, ensembles)
def classical(
    lab: Lab, standard: Standard, regularized: Regularized, ensembles: Ensembles
) -> Classical:
    """Fit n-gram models and mix the best with the first seed of every size and recipe.

    Trains nothing.
    """
    tuned_by_kind = {
        "standard": {width: found.tuned for width, found in standard.certificates.items()},
        "tuned": regularized.tuned,
        "member": ensembles.tuned,
    }
    neural = {
        (kind, width): lab.spec(width=width, seed=0, **tuned.best)
        for kind, by_width in tuned_by_kind.items()
        for width, tuned in sorted(by_width.items())
    }
    pools = {
        width: [
            lab.spec(width=width, seed=seed, **tuned.best) for seed in range(lab.world.n_members)
        ]
        for width, tuned in sorted(ensembles.tuned.items())
    }
    # Where two recipes chose the same point, they share the model.
    neural = dict({spec.run_id: (key, spec) for key, spec in reversed(neural.items())}.values())
    neural = dict(sorted(neural.items(), key=lambda item: list(tuned_by_kind).index(item[0][0])))
    identity = [
        ORDERS,
        [[*key, spec.run_id] for key, spec in neural.items()],
        [[spec.run_id for spec in specs] for specs in pools.values()],
    ]
    found = lab.remember("classical", identity, lambda: _measure(lab, neural, pools))
    return Classical(
        order=found["order"],
        models=pd.DataFrame(found["models"]),
        windows=pd.DataFrame(found["windows"]),
        best=found["best"],
        ensemble=found["ensemble"],
    )


def _measure(
    lab: Lab,
    neural: Mapping[tuple[str, int], RunSpec],
    pools: Mapping[int, list[RunSpec]],
) -> dict[str, Any]:
    from models.analytic.ngram import NgramModel
    from models.ensembles.ensemble import ensemble_log_probs, gold_table
    from models.ensembles.mixture import fit_mixture_weights, mixture_log_probs

    first = next(iter(neural.values()))
    windows = held_out(first.data, first.model.vocab_size, first.model.context)
    tokens = unique_tokens(first.data, first.model.vocab_size)
    ngrams = [
        NgramModel.fit(tokens, vocab_size=first.model.vocab_size, order=order) for order in ORDERS
    ]
    of_order = [model.log_probs(windows["validation"]).mean() for model in ngrams]
    ngram = ngrams[int(np.argmax(of_order))]
    members = [(spec.model, lab.store.params(spec)) for spec in neural.values()]
    tables = {
        part: np.vstack([ngram.log_probs(rows).reshape(1, -1), gold_table(members, rows)])
        for part, rows in windows.items()
    }
    names = [
        f"Kneser-Ney, order {ngram.order}",
        *(f"{kind}, width {width}" for kind, width in neural),
    ]
    losses = {part: -table.mean(axis=1, dtype=np.float64) for part, table in tables.items()}
    best = int(np.argmin(losses["validation"]))
    mixture = fit_mixture_weights(tables["validation"])
    without = fit_mixture_weights(tables["validation"][1:])

    def average(specs: list[RunSpec], part: str) -> np.ndarray:
        pool = [(spec.model, lab.store.params(spec)) for spec in specs]
        return ensemble_log_probs(pool, windows[part]).ravel()

    averages = {width: average(specs, "validation") for width, specs in pools.items()}
    width = max(averages, key=lambda width: float(averages[width].mean()))
    ensemble = average(pools[width], "test")
    both = fit_mixture_weights(np.stack([tables["validation"][0], averages[width]]))
    by_token = {
        "best": tables["test"][best],
        "mixture": mixture.log_probs(tables["test"]),
        "neural": without.log_probs(tables["test"][1:]),
        "ensemble": ensemble,
        "ensemble_classical": mixture_log_probs(
            np.stack([tables["test"][0], ensemble]), both.weights
        ),
    }
    n_windows = len(windows["test"])
    return {
        "order": ngram.order,
        "best": names[best],
        "ensemble": f"{len(pools[width])} members of width {width}",
        "models": [
            {
                "model": name,
                "kind": kind,
                "width": size,
                "validation_loss": float(losses["validation"][i]),
                "test_loss": float(losses["test"][i]),
                "weight": float(mixture.weights[i]),
            }
            for i, (name, (kind, size)) in enumerate(
                zip(names, [("classical", 0), *neural], strict=True)
            )
        ],
        "windows": {
            name: (-scores.reshape(n_windows, -1).mean(axis=1, dtype=np.float64)).tolist()
            for name, scores in by_token.items()
        },
    }
