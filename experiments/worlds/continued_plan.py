"""Sizes of the experiment on going on in a small domain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ContinuedPlan:
    """Sizes of the experiment.

    Attributes:
        width: of the model.
        general_tokens: of the first training, at most.
        n_tokens: D, tokens of the domain.
        many_times: how many times as many the reference has.
        usual_batch: windows in a step of the usual recipe.
        small_batch: in a step of all others.
        epochs: passes over the domain that are tried.
        replay: replayed windows for each window of the domain.
        base_learning_rate: of the first training.
        learning_rates: tried on every rung alike.
        weight_decay: of all runs.
        n_members: most members of an ensemble.
        n_draws: draws of the domain that are reported.
    """

    width: int = 64
    general_tokens: int = 400_000
    n_tokens: int = 4_096
    many_times: int = 16
    usual_batch: int = 8
    small_batch: int = 2
    epochs: tuple[int, ...] = (1, 2, 4, 8)
    replay: float = 0.1
    base_learning_rate: float = 5e-3
    learning_rates: tuple[float, ...] = (1e-3, 2e-3, 4e-3)
    weight_decay: float = 0.1
    n_members: int = 8
    n_draws: int = 3
