"""Published values to set beside ours: Kim, Kotha, Liang, Hashimoto 2025, arXiv 2509.14786.

All at 200M unique tokens of DCLM, losses in nats per token of the Llama-3 tokenizer. Nothing here
was measured by this project.
"""

from __future__ import annotations

import pandas as pd

SOURCE = "Kim et al. 2025, arXiv 2509.14786"

STANDARD = pd.DataFrame(
    {
        "n_params": [150e6, 300e6, 600e6, 1.4e9],
        "loss": [3.83752, 3.78538, 3.74974, 3.76432],
        "n_epochs": [8, 8, 4, 4],
    }
)
"""Standard recipe, weight decay 0.1, best epochs and learning rate (authors' code)."""

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
        "n_params": [150e6, 300e6, 600e6, 1.4e9],
        "loss": [3.494941, 3.272981, 3.212228, 3.173966],
    }
)
"""Loss of infinitely many members at each size, members by the heuristic (authors' code)."""

REGULARIZED_LAW = {"E": 3.43, "A": 0.05, "alpha": 1.02, "scale": 1e9}
"""L(N) = 3.43 + 0.05 / (N / 1e9)^1.02 (paper)."""

ENSEMBLE_LAW = {"E": 3.34, "A": 0.25, "alpha": 1.02}
"""L(K) = 3.34 + 0.25 / K^1.02 for members of 300M, tuned for one model (paper)."""

JOINT_LIMIT = 3.17
STANDARD_BEST = 3.75
