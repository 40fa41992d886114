"""Published values for comparison: Kim, Kotha, Liang, Hashimoto 2025, arXiv 2509.14786.

Unless another source is given, all values are for 200M unique tokens of DCLM, with losses in nats
per token of the Llama-3 tokenizer and `n_params` in units of one. Nothing here was measured by this
project. Laws and limits come from `scaling.published.figures`.
"""

from __future__ import annotations

import pandas as pd

from scaling.published.figures import MEMBER_LIMITS, PUBLISHED_FIGURES, PUBLISHED_LAWS

BILLION = 1e9
N_UNIQUE_TOKENS = 200e6
"""Unique tokens of the talk's experiments."""

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
"""Regularized recipe: the hyperparameters tuned at each size (talk)."""

ENSEMBLE_LIMITS = pd.DataFrame(
    {
        "n_params": [BILLION * billions for billions in MEMBER_LIMITS["209M"]],
        "loss": list(MEMBER_LIMITS["209M"].values()),
    }
)
"""Loss of infinitely many members at each size, with members tuned by the heuristic (authors'
code)."""

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
"""Training sets that Villalobos et al. 2024 (arXiv 2211.04325, figure 1 and code) compare with the
stock of text."""

_MEMBER_ACCURACY = {
    150e6: (0.562, 0.575, 0.584, 0.591, 0.594),
    300e6: (0.585, 0.604, 0.618, 0.624, 0.630),
    600e6: (0.591, 0.611, 0.620, 0.625, 0.635),
    1.4e9: (0.589, 0.626, 0.637, 0.643, 0.644),
}
_SINGLE_ACCURACY = {
    "standard": (0.5435, 0.5534, 0.5342, 0.5414),
    "regularized": (0.551, 0.584, 0.599, 0.607),
}

DOWNSTREAM = pd.DataFrame(
    [
        (recipe, n_params, 1, accuracy)
        for recipe, of_sizes in _SINGLE_ACCURACY.items()
        for n_params, accuracy in zip(_MEMBER_ACCURACY, of_sizes, strict=True)
    ]
    + [
        ("ensemble", n_params, n_members, accuracy)
        for n_params, of_members in _MEMBER_ACCURACY.items()
        for n_members, accuracy in enumerate(of_members, start=1)
    ],
    columns=["recipe", "n_params", "n_members", "accuracy"],
)
"""Mean accuracy on ARC-Easy, PIQA and SciQ (authors' code); `n_params` of one member."""

MIXTURE = pd.DataFrame(
    {
        "model": [
            "QRNN", "KN-5", "fast weights", "EGRU", "AWD-LSTM-MoS", "Transformer-XL",
            "AWD-LSTM-DOC",
        ],
        "perplexity": [58.43, 141.46, 56.45, 57.18, 54.00, 55.41, 52.38],
        "weight": [0.00, 0.01, 0.11, 0.15, 0.19, 0.20, 0.34],
    }
)  # fmt: skip
"""Test perplexity on the Penn Treebank and weight in the mixture (Herel and Mikolov 2023, arXiv
2312.03735)."""

MIXTURE_PERPLEXITY = 47.31
"""Test perplexity of the mixture in `MIXTURE`."""
