"""The runs of every arm of bootstrapping and the documents that they read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np

from experiments.lab.lab import Lab
from experiments.lab.streams import plan_stream
from experiments.recipes.bootstrapped.pairs import (
    joined_by_source,
    mixed_stream,
    random_pairs,
    stream_of,
)
from experiments.recipes.bootstrapped.sources import Source
from experiments.runs.spec import DataConfig, RunSpec
from experiments.runs.texts import Stream, read_stream
from experiments.worlds.plans_part2 import Arm, BootstrapPlan
from models.augment.sbp.pair_rows import pair_rows, pair_windows
from models.config import ModelConfig, OptimizerConfig, TrainConfig
from models.text.batches import evaluation_windows

Writer = Literal["pairs", "random", "baseline", "scratch"]
"""What writes synthetic documents: a synthesizer of nearest or of random pairs, the baseline
without a prompt, or a synthesizer of nearest pairs that did not start from the baseline."""

SYNTHETIC: dict[Arm, Writer] = {
    "sbp": "pairs",
    "random": "random",
    "unconditional": "baseline",
    "scratch": "scratch",
}
"""Arms that read synthetic documents, and the model that writes them."""


class BootstrapRuns:
    """The runs of a plan in one lab; `world` is everywhere the seed of a world of documents.

    Args:
        lab: where they are trained.
        name: of the recipe; titles and labels of streams begin with it.
        plan: its settings.
        source: the documents.
    """

    def __init__(self, lab: Lab, name: str, plan: BootstrapPlan, source: Source) -> None:
        self.lab, self.name, self.plan, self.source = lab, name, plan, source
        self.decays: dict[str, float] = {}
        self.synthesizer_rate = plan.synthesizer_rates[0]

    @property
    def context(self) -> int:
        """Tokens in a window: two documents, and what the synthesizer puts around them."""
        return 2 * self.source.length + 2

    @property
    def n_tokens(self) -> int:
        """Training tokens of every arm."""
        return self.plan.epochs * self.source.n_real * self.source.length

    def model(self, width: int | None = None) -> ModelConfig:
        """Return the architecture, by default of the larger model."""
        return ModelConfig.from_width(
            width or self.plan.width,
            vocab_size=self.source.vocab_size,
            context=self.context,
            n_layers=self.plan.n_layers,
        )

    def spec(
        self,
        arm: Arm,
        world: int,
        decay: float | None = None,
        *,
        member: int = 0,
        width: int | None = None,
    ) -> RunSpec:
        """Return a run of an arm.

        The synthesizer of a synthetic arm must be finished: the documents are sampled now.

        Args:
            arm: what it reads.
            world: seed of the documents.
            decay: weight decay; by default the one chosen for the arm.
            member: seed of the run.
            width: of the model; by default the larger one.
        """
        data = self._arm_stream(arm, world, width)
        decay = self.decays[arm] if decay is None else decay
        return RunSpec(
            model=self.model(width),
            data=data,
            optimizer=OptimizerConfig(learning_rate=self.plan.learning_rate, weight_decay=decay),
            train=TrainConfig(n_epochs=1, batch_size=self.plan.batch),
            seed=member,
        )

    def _arm_stream(self, arm: Arm, world: int, width: int | None) -> DataConfig:
        plan = self.plan
        writer = SYNTHETIC.get(arm)
        spec = self.writer_spec(writer, world, width) if writer else None
        identity = [
            "arm", arm == "oracle", plan.epochs, plan.share if writer else 0,
            [spec.run_id, plan.temperature] if spec else None,
            *(plan.mixture if writer else []),
        ]  # fmt: skip

        def tokens() -> np.ndarray:
            if arm == "oracle":
                return stream_of(self.source.new(world, plan.epochs), self.n_tokens)
            written = self.documents(writer, world, width) if writer else []
            return mixed_stream(
                self.source.texts(world).real, written, self.n_tokens,
                share=plan.share if writer else 0.0, seed=world,
            )  # fmt: skip

        def stream() -> Stream:
            texts = self.source.texts(world)
            held_out = {
                name: evaluation_windows(
                    np.append(getattr(texts, name).ravel(), 0), context=self.context
                )
                for name in ("validation", "test")
            }
            return Stream(tokens=tokens(), held_out=held_out)

        return self._stream(f"{arm}, world {world}", identity, world, stream)

    def _stream(
        self, label: str, identity: Sequence[Any], world: int, write: Callable[[], Stream]
    ) -> DataConfig:
        return plan_stream(
            self.lab, f"{self.name}, {label}", self._identity(world, identity), write
        )

    def _identity(self, world: int, identity: Sequence[Any]) -> list[Any]:
        return [*self.source.identity(world), *identity]

    def synthesizer(
        self,
        writer: Writer,
        world: int,
        width: int | None = None,
        *,
        learning_rate: float | None = None,
    ) -> RunSpec:
        """Return the training of a synthesizer, from the baseline of its world.

        The scores of its run are L(d2 | d1) of held-out pairs.

        Args:
            writer: which synthesizer.
            world: seed of the documents.
            width: of the model; by default that of the plan's synthesizers.
            learning_rate: by default the one chosen.
        """
        width = width or self.plan.synthesizer_width
        plan, model = self.plan, self.model(width)
        kind = "random" if writer == "random" else "pairs"

        def write() -> Stream:
            texts = self.source.texts(world)
            real = bare(texts.real)
            pairs = self._pairs(world, random=kind == "random")
            return Stream(
                tokens=pair_rows(real, pairs, model=model).ravel(),
                held_out={
                    name: pair_windows(
                        [*real, *bare(getattr(texts, name))],
                        self.held_out_pairs(world, name),
                        model=model,
                    )
                    for name in ("validation", "test")
                },
            )

        data = self._stream(
            f"{kind}, world {world}", ["pairs", kind, plan.n_neighbors], world, write
        )
        return RunSpec(
            model=model,
            data=data,
            optimizer=OptimizerConfig(
                learning_rate=learning_rate or self.synthesizer_rate,
                weight_decay=plan.synthesizer_decay,
            ),
            train=TrainConfig(
                n_epochs=plan.synthesizer_epochs, batch_size=plan.batch, window_jitter=False
            ),
            seed=0,
            init_from=None
            if writer == "scratch"
            else self.spec("baseline", world, width=width).run_id,
        )

    def choose_synthesizer_rate(self, worlds: Iterable[int]) -> None:
        """Set the rate with the lowest L(d2 | d1) on held-out pairs of the tuning worlds."""
        worlds = list(worlds)
        tried = {
            rate: [self.synthesizer("pairs", world, learning_rate=rate) for world in worlds]
            for rate in self.plan.synthesizer_rates
        }
        frame = self.lab.train(
            [spec for specs in tried.values() for spec in specs],
            title=f"{self.name}, tuning the synthesizer",
        )
        losses = frame.fillna({"validation_loss": np.inf}).groupby("learning_rate")
        self.synthesizer_rate = float(losses["validation_loss"].mean().idxmin())

    def writer_spec(self, writer: Writer, world: int, width: int | None = None) -> RunSpec:
        """Return the run whose model writes.

        Args:
            writer: which model.
            world: seed of the documents.
            width: of the model; by default that of the plan's synthesizers.
        """
        if writer == "baseline":
            return self.spec("baseline", world, width=width)
        return self.synthesizer(writer, world, width)

    def _pairs(self, world: int, *, random: bool) -> np.ndarray:
        """Pair the real documents, int [n_pairs, 2] positions among them."""
        from models.augment.sbp.embeddings import LSA
        from models.augment.sbp.neighbors import find_pairs

        real = self.source.texts(world).real
        if random:
            return random_pairs(len(real), n_neighbors=self.plan.n_neighbors, seed=world)
        texts = [self.source.spell(world, document) for document in real]
        return find_pairs(LSA.fit(texts).embed(texts), alpha=0.0, k=self.plan.n_neighbors)

    def held_out_pairs(self, world: int, part: str) -> np.ndarray:
        """Return each held-out document after its nearest real one, positions [n, 2]."""
        from models.augment.sbp.embeddings import LSA
        from models.augment.sbp.neighbors import nearest_among

        texts = self.source.texts(world)
        real, held_out = (
            [self.source.spell(world, document) for document in documents]
            for documents in (texts.real, getattr(texts, part))
        )
        lsa = LSA.fit(real)
        nearest = nearest_among(lsa.embed(held_out), lsa.embed(real), k=1).ids[:, 0]
        return np.column_stack([nearest, len(real) + np.arange(len(held_out))])

    def documents(self, writer: Writer, world: int, width: int | None = None) -> list[np.ndarray]:
        """Return the synthetic documents of a writer, token ids [n] with the end-of-text token.

        Those of one real document are joined, and all are read, as often as the plan says.

        Args:
            writer: which model.
            world: seed of the documents.
            width: of the model; by default that of the plan's synthesizers.

        Raises:
            ValueError: the baseline's are to be joined, which have no source.
        """
        if writer == "baseline" and self.plan.stitched > 1:
            raise ValueError("samples without a source cannot be joined by it: stitched must be 1")
        sources, written = self.written(writer, world, width)
        kept = [at for at, document in enumerate(written) if len(document) > 1]
        documents = joined_by_source(
            [written[at] for at in kept], sources[kept], self.plan.stitched
        )
        return documents * self.plan.synthetic_passes

    def written(
        self, writer: Writer, world: int, width: int | None = None
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return which real document each synthetic one was written from [n], and the documents.

        Args:
            writer: which model.
            world: seed of the documents.
            width: of the model; by default that of the plan's synthesizers.
        """
        plan, spec = self.plan, self.writer_spec(writer, world, width)
        n_samples = -(-self._n_written // self.source.length)
        fills = ["fills"] if plan.fills_share else []
        identity = ["written", spec.run_id, plan.temperature, n_samples, *fills]
        label = f"{self.name}, written by {writer}, world {world}"
        data = plan_stream(
            self.lab, label, self._identity(world, identity),
            lambda: Stream(tokens=self._sample(writer, spec, world, n_samples), held_out={}),
        )  # fmt: skip
        tokens = read_stream(self.lab.store.root, data).tokens
        ends = np.flatnonzero(tokens < 0)
        sources = ~tokens[ends]
        documents = np.split(tokens, ends)[1:]
        return sources, [np.append(document[1:], 0) for document in documents]

    @property
    def _n_written(self) -> int:
        """Synthetic tokens that are wanted."""
        return round(self.plan.share * self.n_tokens / self.plan.synthetic_passes)

    def _sample(self, writer: Writer, spec: RunSpec, world: int, n_samples: int) -> np.ndarray:
        """Sample documents; each follows the position of its source, as its complement."""
        found = self._sampled(writer, spec, world, n_samples)
        # Without their ends, which joined documents lack.
        while self.plan.fills_share and (n := sum(len(ids) for _, ids in found)) < self._n_written:
            missing = len(found) * (self._n_written - n) / max(n, 1)
            more = len(found) + 1 + int(1.05 * missing)
            found += self._sampled(writer, spec, world, more, first=len(found))
        return np.concatenate([np.append(~source, ids) for source, ids in found])

    def _sampled(
        self, writer: Writer, spec: RunSpec, world: int, n_samples: int, *, first: int = 0
    ) -> list[tuple[int, np.ndarray]]:
        """Return samples from the first one on, each with the position of its source."""
        from models.augment.sbp.synthesizer import sample_related
        from models.language.generate import generate
        from models.language.language_model import LanguageModel

        real, params = self.source.texts(world).real, self.lab.store.params(spec)
        n_tokens, temperature = real.shape[1], self.plan.temperature
        if writer == "baseline":
            drawn = generate(
                [(spec.model, params)], n_tokens=n_tokens, n_samples=n_samples, seed=world,
                temperature=temperature, stop_at_end=True,
            )  # fmt: skip
            return [(0, ids[ids != 0]) for ids in drawn.texts()][first:]
        synthesizer = LanguageModel(model=spec.model, params=params)
        samples = sample_related(
            synthesizer, bare(real), n_samples, seed=world, n_tokens=n_tokens,
            temperature=temperature, first_sample=first,
        )  # fmt: skip
        return [(sample.source, sample.ids) for sample in samples]


def bare(documents: np.ndarray) -> list[np.ndarray]:
    """Return documents [n, length] without their end-of-text tokens, as synthesizers take them."""
    return list(documents[:, :-1])
