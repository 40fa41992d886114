"""The settings of a run: everything that changes its result, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args, get_type_hints

from models.config import ModelConfig, OptimizerConfig, TrainConfig, check_together
from models.text.mixing import mixed_steps_per_epoch, synthetic_per_batch

SCHEMA_VERSION = 6
"""Version of the files of a run. 2 added `recipes`, and settings marked `metadata={"since": 2}`;
3 added `init_from` and `synthetic`; 4 added `DataConfig.chunk_tokens` and
`SyntheticConfig.prompt`; 5 added `score_every` and the levers of `models.config`; 6 added
looped blocks, further tokens, masked diffusion, `begin_of_text_id`, `warmup_steps`,
`final_noise` and `momentum`."""


STREAM_PREFIX = "stream:"
"""Prefix of `DataConfig.corpus` of a text that a recipe wrote, see `experiments.runs.texts`."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The text of a run.

    Attributes:
        corpus: name given to `models.text.corpora.load_corpus`; only `sha256` identifies the text.
        sha256: hash of the tokenized corpus: text, split and vocabulary.
        n_unique_tokens: D, the unique tokens trained on.
        draw_seed: random seed of the choice of D tokens in the training part.
        n_eval_tokens: tokens of the validation and of the test part that are scored.
        chunk_tokens: minimum tokens of each chunk if D tokens are drawn as chunks of many
            documents (see `models.text.stock`), and the scored tokens are spread over all held-out
            documents; 0 reads whole documents and scores the beginning of each part, as all runs
            did before this setting existed.

    Raises:
        ValueError: a negative `chunk_tokens`.
    """

    corpus: str
    sha256: str
    n_unique_tokens: int
    draw_seed: int = 0
    n_eval_tokens: int
    chunk_tokens: int = dataclasses.field(default=0, metadata={"since": 4})

    def __post_init__(self) -> None:
        if self.chunk_tokens < 0:
            raise ValueError(f"chunk_tokens must be a whole number >= 0; not {self.chunk_tokens!r}")

    @property
    def is_stream(self) -> bool:
        """Whether a recipe wrote the text, which is then in the store and not a corpus."""
        return self.corpus.startswith(STREAM_PREFIX)


Prompt = Literal["end_of_text", "stock"]


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """Text sampled from other runs, which a run reads in addition to its own.

    Attributes:
        teachers: ids of the finished runs that it is sampled from, in order.
        pooled: sample an equal share from each teacher; otherwise all of it from the ensemble of
            the teachers, whose logits are averaged.
        n_tokens: sampled tokens, rounded up to whole windows.
        temperature: sampling temperature.
        seed: random seed of the sampling.
        share: synthetic share of the windows of every batch, rounded to whole windows; 1 reads no
            real text.
        prompt: first token of every window: `stock`, a token that begins a training window of its
            teacher; `end_of_text`, that token, which a teacher may never have read.

    Raises:
        ValueError: no teacher or one named twice, fewer than one token, a negative temperature,
            a share outside (0, 1], an unknown prompt.
    """

    teachers: tuple[str, ...]
    n_tokens: int
    share: float
    pooled: bool = False
    temperature: float = 1.0
    seed: int = 0
    prompt: Prompt = dataclasses.field(default="end_of_text", metadata={"since": 4})

    def __post_init__(self) -> None:
        if self.prompt not in get_args(Prompt):
            raise ValueError(f"prompt must be one of {get_args(Prompt)}; not {self.prompt!r}")
        if not self.teachers or len(set(self.teachers)) < len(self.teachers):
            raise ValueError(f"teachers must be one or more distinct runs; not {self.teachers}")
        if self.n_tokens < 1:
            raise ValueError(f"n_tokens must be a whole number >= 1; not {self.n_tokens!r}")
        if not self.temperature >= 0:
            raise ValueError(f"temperature must be >= 0; not {self.temperature!r}")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie in (0, 1]; not {self.share!r}")

    @cached_property
    def text_id(self) -> str:
        """Hash that identifies the text, equal for all runs that read it, in any share."""
        identity = {name: value for name, value in _identity(self).items() if name != "share"}
        return digest(identity)


PARTS: dict[str, type[Any]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "optimizer": OptimizerConfig,
    "train": TrainConfig,
}
"""The fields of a spec that are dataclasses of settings."""


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Settings of one training run; equal settings have equal `run_id`.

    The recipes that need a run, and the machine, folder and device that it ran on, are not part of
    its identity: a run that two recipes need is trained once, and has both labels.

    Attributes:
        model: architecture.
        data: training text.
        optimizer: learning rate and decay.
        train: epochs, batches, order.
        seed: random seed of the weights and of the order of the data.
        init_from: id of a finished run of the same architecture whose weights training starts from;
            by default they are drawn from the seed.
        synthetic: sampled text to read as well; an epoch remains one pass over the real text.
        recipes: labels of the recipes that need the run, not part of its identity.
        score_every: epochs between validation losses along the run, 0 for none, see
            `models.training.jobs.Job.scores_along`; not part of its identity, as no result changes.

    Raises:
        ValueError: a synthetic share that rounds to no window of a batch, a negative `score_every`,
            more `warmup_steps` than the run has, or settings that make no sense together.
    """

    model: ModelConfig
    data: DataConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    seed: int
    init_from: str | None = None
    synthetic: SyntheticConfig | None = None
    recipes: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    score_every: float = dataclasses.field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        check_together(self.model, self.train)
        if self.optimizer.warmup_steps:
            self.optimizer.rate_steps(self.n_steps)
        if not 0 <= self.score_every < math.inf:
            raise ValueError(
                f"score_every must be a number of epochs >= 0; not {self.score_every!r}"
            )
        if self.synthetic and not synthetic_per_batch(self.train.batch_size, self.synthetic.share):
            raise ValueError(
                f"synthetic share {self.synthetic.share:g} rounds to 0 of the "
                f"{self.train.batch_size} windows in a batch; use more than "
                f"{0.5 / self.train.batch_size:g}"
            )

    @cached_property
    def run_id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical JSON of what identifies it.

        Settings of later schemas are included only if they differ from their default, so that runs
        of earlier versions keep their ids.
        """
        return digest(self._described)

    @property
    def _described(self) -> dict[str, Any]:
        """What identifies the run, as JSON."""
        identity: dict[str, Any] = {
            "schema": 1,
            **{part: _identity(getattr(self, part)) for part in PARTS},
            "seed": self.seed,
        }
        # The hash of the tokens identifies the text; its name on this machine does not.
        del identity["data"]["corpus"]
        if self.init_from is not None:
            identity["init_from"] = self.init_from
        if self.synthetic is not None:
            identity["synthetic"] = _identity(self.synthetic)
        if self.optimizer.name == "muon":  # before, heads, gate and up were not cut apart
            identity["muon"] = 2
        return identity

    @property
    def trunk_id(self) -> str | None:
        """Hash of what a run shares with those that differ only in when its learning rate falls.

        None unless the schedule is `wsd`, the warm-up a number of steps, and nothing else depends
        on the length of the run: no changing decay or noise, and no mean of the last epochs.
        """
        optimizer, train = self.optimizer, self.train
        steady = optimizer.final_decay == 1 and train.final_noise == 1
        if optimizer.schedule != "wsd" or not optimizer.warmup_steps or not steady:
            return None
        if train.weight_average == "snapshots":
            return None
        identity = self._described
        del identity["train"]["n_epochs"]
        identity["optimizer"].pop("cooldown_fraction", None)
        return digest(identity)

    @property
    def parents(self) -> tuple[str, ...]:
        """Ids of the runs that must be finished before this one can start."""
        teachers = self.synthetic.teachers if self.synthetic else ()
        return tuple(dict.fromkeys([*([self.init_from] if self.init_from else []), *teachers]))

    @property
    def n_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.train.n_epochs * mixed_steps_per_epoch(
            self.data.n_unique_tokens,
            context=self.model.context,
            train=self.train,
            share=self.synthetic.share if self.synthetic else 0.0,
        )

    @property
    def tokens_per_step(self) -> int:
        """Tokens read in one step."""
        return self.train.batch_size * self.model.context

    @property
    def train_flops(self) -> float:
        """Training floating-point operations of the whole run."""
        return self.n_steps * self.tokens_per_step * self.model.train_flops_per_token

    def labeled(self, recipes: Iterable[str]) -> RunSpec:
        """Return the same run with these labels added."""
        return dataclasses.replace(self, recipes=tuple(sorted({*self.recipes, *recipes})))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as nested plain values, with the version of the schema."""
        values = {"schema": SCHEMA_VERSION, **dataclasses.asdict(self)}
        return {**values, "recipes": list(self.recipes)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunSpec:
        """Return the run that `to_dict` of this or an earlier version described.

        Raises:
            ValueError: a later schema, or a setting that is missing, unknown or out of range.
        """
        schema = values.get("schema")
        if schema not in range(1, SCHEMA_VERSION + 1):
            raise ValueError(f"this spec has schema {schema!r}; readable are 1 to {SCHEMA_VERSION}")
        known = {"schema", "seed", "init_from", "synthetic", "recipes", "score_every", *PARTS}
        _refuse_unknown("a spec", set(values) - known, known)
        missing = [name for name in (*PARTS, "seed") if name not in values]
        if missing:
            raise ValueError(f"this spec lacks {', '.join(missing)}")
        synthetic = values.get("synthetic")
        return cls(
            **{part: _settings(kind, values[part]) for part, kind in PARTS.items()},
            seed=values["seed"],
            init_from=values.get("init_from"),
            synthetic=_settings(SyntheticConfig, synthetic) if synthetic else None,
            recipes=tuple(values.get("recipes", ())),
            score_every=values.get("score_every", 0.0),
        )


def digest(identity: Any) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of canonical JSON."""
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _identity(settings: Any) -> dict[str, Any]:
    """Return the settings that are part of the identity of a run."""
    return {
        field.name: _canonical(field, getattr(settings, field.name))
        for field in dataclasses.fields(settings)
        if field.metadata.get("since", 1) == 1 or getattr(settings, field.name) != field.default
    }


def _canonical(field: dataclasses.Field[Any], value: Any) -> Any:
    """Return a setting as JSON, integers given for float settings as floats."""
    if dataclasses.is_dataclass(value):
        return _identity(value)
    return float(value) if field.type in (float, "float") else value


def _settings(kind: type[Any], values: Any) -> Any:
    """Return settings of one kind, with defaults for fields that an earlier version lacked."""
    if not isinstance(values, dict):
        raise ValueError(f"{kind.__name__} must be an object of settings; not {values!r}")
    fields = {field.name for field in dataclasses.fields(kind)}
    _refuse_unknown(kind.__name__, set(values) - fields, fields)
    values = {name: _nested(kind, name, value) for name, value in values.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}") from error


def _nested(kind: type[Any], name: str, value: Any) -> Any:
    """Return a nested setting: dataclasses for objects, tuples for the lists of JSON."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, dict):
        return value
    hint = get_type_hints(kind)[name]
    for part in (hint, *get_args(hint)):
        if isinstance(part, type) and dataclasses.is_dataclass(part):
            return _settings(part, value)
    return value


def _refuse_unknown(where: str, unknown: set[str], known: set[str]) -> None:
    if unknown:
        raise ValueError(
            f"{where} has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}"
        )
