"""What is measured on finished models, and on what they write."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from experiments.recipes.bootstrapped.passages import PASSAGES
from experiments.recipes.bootstrapped.runs import SYNTHETIC, BootstrapRuns, bare
from experiments.recipes.bootstrapped.sources import Concepts, Excerpts
from experiments.runs.spec import RunSpec
from experiments.worlds.plans_part2 import Arm

N_EXAMPLES = 3


def first_mention_loss(planned: BootstrapRuns, spec: RunSpec, world: int) -> float:
    """Return the loss on values of concepts where a test document gives them first, in nats.

    These must be known; what follows in a document can be copied from before. NaN where documents
    are not about concepts.

    Args:
        planned: the runs and documents.
        spec: a finished run.
        world: seed of the documents, like `world` everywhere here.
    """
    source = planned.source
    if not isinstance(source, Concepts):
        return float("nan")

    def measure() -> float:
        from models.training.evaluate import gold_log_probs

        documents = source.texts(world).test
        ids = np.pad(documents, ((0, 0), (1, 0)))  # each follows an end-of-text token
        log_probs = gold_log_probs(spec.model, planned.lab.store.params(spec), ids)
        return -float(log_probs[source.world(world).first_mentions(documents)].mean())

    return planned.lab.remember("first_mentions", [spec.run_id, "test"], measure)


def gate(planned: BootstrapRuns, world: int) -> dict[str, Any]:
    """Return how much a first document helps to predict the second, before anything is sampled.

    Returns:
        `world`; `alone`, `given` and `given_other`, the loss in nats per token of held-out second
        documents by the baseline, by the synthesizer after its first document, and after another
        pair's; see `models.augment.sbp.synthesizer.pair_losses`.
    """
    base, synthesizer = planned.writer_spec("baseline", world), planned.writer_spec("pairs", world)

    def measure() -> dict[str, float]:
        from models.augment.sbp.synthesizer import pair_losses
        from models.language.language_model import LanguageModel

        texts = planned.source.texts(world)
        models = [
            LanguageModel(model=spec.model, params=planned.lab.store.params(spec))
            for spec in (base, synthesizer)
        ]
        found = pair_losses(
            models[0], models[1], [*bare(texts.real), *bare(texts.validation)],
            planned.held_out_pairs(world, "validation"), seed=world,
        )  # fmt: skip
        n_tokens = found.n_tokens.sum()
        return {
            name: float(getattr(found, name).sum() / n_tokens)
            for name in ("alone", "given", "given_other")
        }

    identity = [base.run_id, synthesizer.run_id]
    return {"world": world, **planned.lab.remember("gates", identity, measure)}


def quality(planned: BootstrapRuns, world: int, width: int | None = None) -> list[dict[str, Any]]:
    """Return the quality of what a synthesizer writes, and of the real documents beside it.

    Args:
        planned: the runs and documents.
        world: seed of the documents.
        width: of the synthesizer; by default that of the plan's synthesizers.

    Returns:
        A row each for "real" and "synthetic" text: `world`, `width`, the shares of
        `models.augment.quality.quality.Quality`, and for concepts `disagreement`, the share of
        values that are not those of the concept that the document names.
    """
    spec = planned.writer_spec("pairs", world, width)
    source = planned.source

    def measure() -> list[dict[str, Any]]:
        from models.augment.quality.quality import measure_quality
        from models.augment.sbp.embeddings import LSA
        from models.augment.texts.minhash import HashedTexts

        sources, written = planned.written("pairs", world, width)
        real = source.texts(world).real
        real_texts, texts = ([source.spell(world, ids) for ids in part] for part in (real, written))
        lsa = LSA.fit(real_texts)
        found = measure_quality(
            HashedTexts.of(real_texts), HashedTexts.of(texts), sources=sources,
            real_vectors=lsa.embed(real_texts), synthetic_vectors=lsa.embed(texts),
            duplicates_among=len(real),
        )  # fmt: skip
        rows = [{"kind": kind, **asdict(of_kind)} for kind, of_kind in found.items()]
        if isinstance(source, Concepts):
            drawn = source.world(world)
            for row, agreement in zip(
                rows, (drawn.agreement(real), drawn.agreement(written)), strict=True
            ):
                row["disagreement"] = 1 - agreement
        return rows

    rows = planned.lab.remember("quality", [spec.run_id], measure)
    return [{"world": world, "width": spec.model.width, **row} for row in rows]


def flops_of(planned: BootstrapRuns, arm: Arm, world: int) -> float:
    """Return the FLOPs of an arm end to end: training, and all that its documents cost.

    Sampling reads each token once forward, a third of the FLOPs of training on it; choosing
    hyperparameters is left out, it is the same for every arm.

    Args:
        planned: the runs and documents.
        arm: of which.
        world: seed of the documents.
    """
    spec = planned.spec(arm, world)
    total = spec.train_flops
    if arm in SYNTHETIC:
        writer = planned.writer_spec(SYNTHETIC[arm], world)
        total += writer.train_flops
        if writer.init_from is not None:
            total += planned.spec("baseline", world, width=writer.model.width).train_flops
        n_read = 2 * round(planned.plan.share * planned.n_tokens)  # prompts are read as well
        total += n_read * writer.model.train_flops_per_token / 3
    return total


def examples(planned: BootstrapRuns, world: int) -> list[tuple[str, ...]]:
    """Return real documents as text, each with two that the synthesizer wrote from it.

    None of excerpts of a text, which may not be ours to show; see `written_from_passages`.
    """
    if isinstance(planned.source, Excerpts):
        return []
    spec = planned.writer_spec("pairs", world)

    def spell() -> list[list[str]]:
        sources, written = planned.written("pairs", world)
        real = planned.source.texts(world).real
        found = []
        for source in np.unique(sources):
            places = np.flatnonzero(sources == source)[:2]
            if len(places) == 2:
                texts = [real[source], *(written[place] for place in places)]
                found.append([planned.source.spell(world, text) for text in texts])
            if len(found) == N_EXAMPLES:
                break
        return found

    rows = planned.lab.remember("examples", [spec.run_id], spell)
    return [tuple(texts) for texts in rows]


def written_from_passages(
    planned: BootstrapRuns, source: Excerpts, world: int
) -> list[tuple[str, ...]]:
    """Return beginnings of `PASSAGES`, each with two texts that the synthesizer wrote from it.

    Args:
        planned: the runs and documents.
        source: the documents, excerpts of a text, with its tokenizer.
        world: seed of the documents.
    """
    spec = planned.writer_spec("pairs", world)

    def write() -> list[list[str]]:
        from models.augment.sbp.synthesizer import sample_related
        from models.language.language_model import LanguageModel

        synthesizer = LanguageModel(model=spec.model, params=planned.lab.store.params(spec))
        found = []
        for at, passage in enumerate(PASSAGES.values()):
            ids = source.beginning(passage)
            samples = sample_related(
                synthesizer, [ids], 2, seed=at, n_tokens=source.length,
                temperature=planned.plan.temperature,
            )  # fmt: skip
            texts = [ids, *(sample.ids for sample in samples)]
            found.append([source.spell(world, text) for text in texts])
        return found

    identity = [spec.run_id, planned.plan.temperature, *PASSAGES.values()]
    rows = planned.lab.remember("passages", identity, write)
    return [tuple(texts) for texts in rows]
