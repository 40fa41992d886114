"""Published values to set beside ours: Kim, Kotha, Liang, Hashimoto 2025, arXiv 2509.14786.

All at 200M unique tokens of DCLM, losses in nats per token of the Llama-3 tokenizer, `n_params` in
units of one. Nothing here was measured by this project; laws and limits come from
`scaling.published`, the two tables are typed in with their source.
"""

from __future__ import annotations

import pandas as pd

from scaling.published import MEMBER_LIMITS, PUBLISHED_FIGURES, PUBLISHED_LAWS

BILLION = 1e9

STANDARD = pd.DataFrame(
    {
        "n_params": [150e6, 300e6, 600e6, 1.4e9],
        "loss": [3.83752, 3.78538, 3.74974, 3.76432],
        "n_epochs": [8, 8, 4, 4],
        "learning_rate": [3e-3, 1e-3, 1e-3, 3e-4],
    }
)
"""Standard recipe, weight decay 0.1, best epochs and learning rate (authors' code, talk)."""

TUNED = pd.DataFrame(
    {
        "n_params": [150e6, 300e6, 600e6, 1.4e9],
        "learning_rate": [3e-3, 3e-3, 1e-3, 1e-3],
        "n_epochs": [16, 16, 8, 8],
        "weight_decay": [0.8, 1.6, 3.2, 3.2],
    }
)
"""Regularised recipe: the hyperparameters tuned at each size (talk)."""

ENSEMBLE_LIMITS = pd.DataFrame(
    {
        "n_params": [BILLION * billions for billions in MEMBER_LIMITS["209M"]],
        "loss": list(MEMBER_LIMITS["209M"].values()),
    }
)
"""Loss of infinitely many members at each size, members by the heuristic (authors' code)."""

REGULARIZED_LAW = PUBLISHED_LAWS["regularized"].params
"""L(N) = E + A / (N / 1e9)^alpha (paper)."""

ENSEMBLE_LAW = PUBLISHED_LAWS["ensembles_300m"].params
"""L(K) = E + A / K^alpha for members of 300M, tuned for one model (paper)."""

JOINT_LIMIT = PUBLISHED_FIGURES["joint_limit"].value
STANDARD_BEST = PUBLISHED_FIGURES["standard_loss"].value

DATED_TRAINING_SETS = pd.DataFrame(
    [
        ("GPT-3", 2020.49, 3.74e11),
        ("FLAN", 2021.66, 1.87e12),
        ("PaLM", 2022.26, 5.85e11),
        ("Falcon 180B", 2023.75, 2.625e12),
        ("DBRX", 2024.27, 12e12),
        ("Llama 3", 2024.36, 15e12),
    ],
    columns=["system", "year", "tokens"],
)
"""Training sets that Villalobos et al. 2024 (arXiv 2211.04325, figure 1 and code) set beside the
stock of text."""
