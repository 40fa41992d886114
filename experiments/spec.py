"""What a run is: everything that changes its result, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from models.config import ModelConfig, OptimizerConfig, TrainConfig

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The text of a run.

    Attributes:
        corpus: name given to `models.corpora.load_corpus`; for people, the hash decides.
        sha256: hash of the tokenized corpus: text, split and vocabulary.
        n_unique_tokens: D, the unique tokens trained on.
        draw_seed: which D tokens of the training part.
        n_eval_tokens: tokens of the validation and of the test part that are scored.
    """

    corpus: str
    sha256: str
    n_unique_tokens: int
    draw_seed: int = 0
    n_eval_tokens: int


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Settings of one training run; equal settings have equal `run_id`.

    Neither the recipe that asked for a run nor the machine, folder or device it ran on is part of
    it: a run that two recipes need is trained once.
    """

    model: ModelConfig
    data: DataConfig
    optimizer: OptimizerConfig
    train: TrainConfig
    seed: int

    @cached_property
    def run_id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        identity = self.to_dict()
        # The hash of the tokens identifies the text; how it was named on this machine does not.
        del identity["data"]["corpus"]
        canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain values, with the schema's version."""
        return {"schema": SCHEMA_VERSION, **dataclasses.asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunSpec:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: another schema version.
            TypeError: a setting is missing or unknown.
        """
        if values.get("schema") != SCHEMA_VERSION:
            raise ValueError(
                f"this spec has schema {values.get('schema')!r}; readable is {SCHEMA_VERSION}"
            )
        return cls(
            model=ModelConfig(**values["model"]),
            data=DataConfig(**values["data"]),
            optimizer=OptimizerConfig(**values["optimizer"]),
            train=TrainConfig(**values["train"]),
            seed=values["seed"],
        )
