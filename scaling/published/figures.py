"""Published laws and numbers, each with its citation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PublishedLaw:
    """A law as published.

    Attributes:
        law: its name in `LAWS`.
        params: published parameters by name.
        units: units of the columns and of the loss.
        source: paper, and equation or table.
    """

    law: str
    params: dict[str, float]
    units: str
    source: str


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """A number as published, with its interval if one was given."""

    value: float
    interval: tuple[float, float] | None = None
    source: str = ""


KIM = "Kim, Kotha, Liang, Hashimoto 2025, arXiv 2509.14786"
KIM_UNITS = "parameters in billions, members counted, 200M tokens, nats per token"

PUBLISHED_LAWS: dict[str, PublishedLaw] = {
    "chinchilla": PublishedLaw(
        law="chinchilla",
        params={"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28},
        units="parameters, tokens, nats per token",
        source="Hoffmann et al. 2022, arXiv 2203.15556, eq. 10",
    ),
    "chinchilla_replication": PublishedLaw(
        law="chinchilla",
        params={"E": 1.81686, "A": 482.01, "B": 2085.43, "alpha": 0.34781, "beta": 0.36585},
        units="parameters, tokens, nats per token",
        source="Besiroglu et al. 2024, arXiv 2404.10102, table 1",
    ),
    "data_constrained": PublishedLaw(
        law="data_constrained",
        params={
            "E": 1.8691,
            "A": 520.82,
            "B": 1487.7,
            "alpha": 0.3526596,
            "beta": 0.3526596,
            "R_N": 5.309743,
            "R_D": 15.387756,
        },
        units="parameters, tokens, unique tokens, nats per token",
        source="Muennighoff et al. 2023, arXiv 2305.16264",
    ),
    "regularized": PublishedLaw(
        law="power",
        params={"E": 3.43, "A": 0.05, "alpha": 1.02},
        units=KIM_UNITS,
        source=f"{KIM}: regularized models of growing size",
    ),
    "ensembles_300m": PublishedLaw(
        law="power",
        params={"E": 3.34, "A": 0.25, "alpha": 1.02},
        units=KIM_UNITS.replace("parameters in billions, ", "of 300M parameters, "),
        source=f"{KIM}: ensembles of 300M members, tuned for one model",
    ),
}
"""Published laws by name."""

PUBLISHED_FIGURES: dict[str, PublishedFigure] = {
    "standard_loss": PublishedFigure(
        value=3.75, source=f"{KIM}: best standard recipe, 200M tokens"
    ),
    "joint_limit": PublishedFigure(value=3.17, source=f"{KIM}: N and K to infinity, 200M tokens"),
    "data_law_asymptote": PublishedFigure(
        value=1.94, interval=(1.89, 1.96), source=f"{KIM}: standard recipe; range over recipes"
    ),
    "data_law_exponent": PublishedFigure(
        value=0.235, interval=(0.23, 0.24), source=f"{KIM}: standard recipe; range over recipes"
    ),
    "multiplier_regularized": PublishedFigure(value=2.29, source=f"{KIM}: regularized asymptote"),
    "multiplier_ensembles": PublishedFigure(value=3.03, source=f"{KIM}: 300M ensembles"),
    "multiplier_joint": PublishedFigure(value=5.17, source=f"{KIM}: joint asymptote"),
    "multiplier_single_1.4b": PublishedFigure(
        value=2.09, source=f"{KIM}: one regularized model of 1.4B parameters"
    ),
    "multiplier_five_1.4b": PublishedFigure(
        value=3.75, source=f"{KIM}: ensemble of five models of 1.4B parameters"
    ),
    "single_loss": PublishedFigure(value=3.57, source=f"{KIM}: one regularized 300M model"),
    "synthetic_only_loss": PublishedFigure(
        value=4.07, source=f"{KIM}: 300M student of one, on synthetic text alone"
    ),
    "synthetic_one_to_one_loss": PublishedFigure(
        value=3.44, source=f"{KIM}: 300M student of one, real and synthetic text one to one"
    ),
    "distilled_loss": PublishedFigure(
        value=3.3635, source=f"{KIM} (code): 300M student of eight 300M members"
    ),
    "self_distilled_loss": PublishedFigure(
        value=3.43243, source=f"{KIM} (code): 300M student of one 300M model"
    ),
    "member_loss": PublishedFigure(
        value=3.71, source=f"{KIM}: one 300M model, tuned as a member of an ensemble"
    ),
    "eight_members_loss": PublishedFigure(
        value=3.32, source=f"{KIM}: ensemble of eight 300M models, tuned as members"
    ),
    "kaplan_exponent": PublishedFigure(
        value=0.8353, interval=(0.8235, 0.8460), source="Porian et al. 2024, arXiv 2406.19146"
    ),
    "tuned_exponent": PublishedFigure(
        value=0.4969, interval=(0.4907, 0.5045), source="Porian et al. 2024, arXiv 2406.19146"
    ),
}
"""Published numbers by name."""

MEMBER_LIMITS: dict[str, dict[float, float]] = {
    "209M": {0.15: 3.494941, 0.3: 3.272981, 0.6: 3.212228, 1.4: 3.173966},
    "419M": {0.15: 3.399930, 0.3: 3.150397, 0.6: 3.051904, 1.4: 3.002521},
    "839M": {0.15: 3.357578, 0.3: 3.101899, 0.6: 2.905831, 1.4: 2.868014},
    "1.68B": {0.15: 3.299586, 0.3: 3.017242, 0.6: 2.826233, 1.4: 2.752376},
}
"""Unique tokens -> parameters in billions -> loss at infinitely many members.

From the public code of Kim et al. 2025: marin-community/marin,
experiments/data_efficiency/plotting.py (commit 0a3a119).
"""

MEMBER_EPOCHS: dict[str, dict[float, int]] = {
    "209M": {0.15: 32, 0.3: 32, 0.6: 16, 1.4: 16},
    "419M": {0.15: 64, 0.3: 32, 0.6: 16, 1.4: 16},
    "839M": {0.15: 128, 0.3: 32, 0.6: 32, 1.4: 16},
    "1.68B": {0.15: 128, 0.3: 64, 0.6: 32, 1.4: 16},
}
"""Unique tokens -> parameters in billions -> epochs of a member, twice those of a single model.

From the same code, whose heuristic for members is twice the epochs and half the weight decay of a
single model.
"""

PUBLISHED_TOKENS = 209_715_200
"""Exact number behind "200M tokens": 50 x 4096 x 1024, the smallest data set of Kim et al. 2025."""
