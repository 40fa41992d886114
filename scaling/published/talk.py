"""Published values that the talk shows, typed in with their sources.

Nothing here was measured by this project. Unless another source is named, values are those of Kim,
Kotha, Liang, Hashimoto 2025 (arXiv 2509.14786) at 200M unique tokens of DCLM: losses in nats per
token of the Llama-3 tokenizer, `n_params` in units of one. Single laws and limits come from
`scaling.published.figures`.
"""

from __future__ import annotations

import pandas as pd

from scaling.published.datasets import load_dataset
from scaling.published.figures import (
    MEMBER_LIMITS,
    PUBLISHED_FIGURES,
    PUBLISHED_LAWS,
    PUBLISHED_TOKENS,
)

HEREL = "Herel and Mikolov 2023, arXiv 2312.03735"
SBP_PAPER = "Yang et al. 2025, Synthetic bootstrapped pretraining, arXiv 2509.15248"
ENTIGRAPH_PAPER = "Yang et al. 2024, Synthetic continued pretraining, arXiv 2409.07431"

BILLION = 1e9
N_UNIQUE_TOKENS = 200e6
"""D of the talk."""
STOCK_TOKENS = {stock: PUBLISHED_TOKENS * 2**i for i, stock in enumerate(MEMBER_LIMITS)}
"""Unique tokens of each stock of Kim et al., by its name in `MEMBER_LIMITS`."""

STOCK_LABELS = dict(zip(STOCK_TOKENS.values(), ("200M", "400M", "800M", "1.6B"), strict=True))
"""The name of each stock in the talk and the paper, by its tokens: 200M are 209,715,200 tokens."""

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

TUNED_DECAY = pd.DataFrame(
    [
        (n_params, tokens, decay)
        for n_params, decays in {
            150e6: (0.8, 0.8, 0.4, 0.1),
            300e6: (1.6, 0.8, 0.4, 0.4),
            600e6: (3.2, 1.6, 0.4, 0.8),
            1.4e9: (3.2, 3.2, 1.6, 0.8),
            3.2e9: (6.4,),
        }.items()
        for tokens, decay in zip(STOCK_TOKENS.values(), decays, strict=False)
    ],
    columns=["n_params", "n_unique_tokens", "weight_decay"],
)
"""Best weight decay of single models by size and stock (authors' code)."""

ENSEMBLE_LIMITS = pd.DataFrame(
    {
        "n_params": [BILLION * billions for billions in MEMBER_LIMITS["209M"]],
        "loss": list(MEMBER_LIMITS["209M"].values()),
    }
)
"""Loss of infinitely many members at each size, members by the heuristic (authors' code)."""

_LIMITS_TUNED_AS_ONE = {
    150e6: (3.519, 3.435, None, None),
    300e6: (3.336, 3.196, 3.102, 3.079),
    600e6: (3.297, 3.098, 2.906, 2.826),
    1.4e9: (3.341, 3.091, 2.888, 2.800),
}
MEMBER_SETTINGS = pd.DataFrame(
    [
        (tokens, n_params, chosen, of_stock)
        for n_params, limits in _LIMITS_TUNED_AS_ONE.items()
        for (stock, tokens), limit in zip(STOCK_TOKENS.items(), limits, strict=True)
        for chosen, of_stock in (
            ("heuristic", MEMBER_LIMITS[stock][n_params / BILLION]),
            ("single", limit),
        )
    ],
    columns=["n_unique_tokens", "n_params", "chosen_for", "loss"],
).dropna(ignore_index=True)
"""Loss of infinitely many members by size and stock, with the hyperparameters of the heuristic (as
in `ENSEMBLE_LIMITS`) and with those that are best for one model (authors' code)."""

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
    ]
    + [
        ("8-ensemble distill student", 300e6, 1, 0.6219),
        ("self-distill student", 300e6, 1, 0.6054),
    ],
    columns=["recipe", "n_params", "n_members", "accuracy"],
)
"""Mean accuracy on ARC-Easy, PIQA and SciQ (authors' code); `n_params` of one member."""

EPOCH_ACCURACY = pd.DataFrame(
    {
        "n_epochs": [1, 2, 4, 8, 16, 32, 64, 128],
        0.1: [0.3467, 0.3855, 0.4833, 0.5387, 0.5544, 0.5406, 0.5335, 0.5337],
        1.6: [0.3773, 0.4789, 0.5445, 0.5685, 0.5781, 0.5865, 0.5721, 0.5668],
    }
).melt(id_vars="n_epochs", var_name="weight_decay", value_name="accuracy")
"""The same accuracy of a 300M model by epochs and weight decay (authors' code)."""

MIXTURE = pd.DataFrame(
    {
        "model": [
            "QRNN", "KN-5", "fast weights", "EGRU", "AWD-LSTM-MoS", "Transformer-XL",
            "AWD-LSTM-DOC",
        ],
        "valid": [60.38, 148.41, 58.49, 61.21, 56.04, 57.93, 54.12],
        "perplexity": [58.43, 141.46, 56.45, 57.18, 54.00, 55.41, 52.38],
        "weight": [0.00, 0.01, 0.11, 0.15, 0.19, 0.20, 0.34],
    }
)  # fmt: skip
"""Penn Treebank perplexity of single models and their weights in the mixture (Herel and Mikolov);
probabilities mixed, weights fitted on the validation part. The talk gives the test perplexities;
those on the validation part are exp(mean of -ln p) of the probability of each word that the authors
publish (github.com/DavidHerel/sota_lm, commit 4e6f62f), which gives the talk's test perplexities to
both decimals too."""
MIXTURE_PERPLEXITY = {"valid": 48.92, "test": 47.31}
"""Of the mixture with those weights (same source)."""

MIXTURE_WIKITEXT = pd.DataFrame(
    {
        "model": list(MIXTURE["model"]),
        "valid": [69.23, 233.93, 69.51, 69.40, 63.92, 67.41, 60.27],
        "perplexity": [66.61, 219.27, 66.49, 67.20, 61.54, 64.85, 58.01],
        "weight": [0.00, 0.01, 0.03, 0.22, 0.17, 0.16, 0.41],
    }
)
"""The same on WikiText-2, with validation perplexities (same source; table of the talk)."""
MIXTURE_WIKITEXT_PERPLEXITY = {"valid": 55.40, "test": 53.73}
"""Of the mixture with those weights (same source)."""

CONTINUED = pd.DataFrame(
    {
        "benchmark": ["GSM8K (8-shot)", "MATH (4-shot)", "MathQA (8-shot)", "average"],
        "base": [28.23, 6.90, 35.07, 24.25],
        "default": [38.44, 14.38, 38.96, 30.59],
        "lower batch": [44.50, 17.64, 41.31, 34.48],
        "epochs, K = 1": [44.05, 19.74, 42.58, 35.82],
        "K = 2": [49.28, 21.84, 45.12, 38.79],
        "K = 4": [51.80, 23.04, 46.06, 40.35],
        "K = 8": [52.99, 23.50, 45.26, 40.58],
        "73B tokens": [49.51, 23.40, 44.79, 39.23],
    }
)
"""Accuracy in % after continued pre-training of Llama 3B on 4B MegaMath tokens (talk; Kim et al.
2025); the last column trained on all 73B. The averages are as printed; see `CONTINUED_MEANS`."""
CONTINUED_MEANS = CONTINUED.iloc[:-1].drop(columns="benchmark").mean()
"""Means of the three benchmarks, computed here. The printed averages of the base model and of one,
two and four members differ from them by .04 to .85 points, more than by rounding."""

DOMAIN_CORPORA = pd.DataFrame(
    [
        ("Minerva", "STEM", "8B, 62B, 540B", 26e9, 38.5e9),
        ("MediTron", "Medicine", "7B, 70B", 46.7e9, 46.7e9),
        ("Code Llama", "Code", "7B, 13B, 34B", 520e9, 620e9),
        ("Llemma", "Math", "7B, 34B", 50e9, 55e9),
        ("DeepSeekMath", "Math", "7B", 500e9, 500e9),
        ("SaulLM-7B", "Law", "7B", 30e9, 30e9),
        ("SaulLM-{54, 141}B", "Law", "54B, 141B", 520e9, 520e9),
        ("HEAL", "Medicine", "13B", 14.9e9, 14.9e9),
        ("this setting", "Articles & Books", "7B", 1.3e6, 1.3e6),
    ],
    columns=["study", "domain", "parameters", "low", "high"],
)
"""Models and unique tokens of studies of continued pre-training, with names as printed (Yang et al.
2024, table 1; talk)."""

SBP = pd.DataFrame(
    [
        ("OpenWebText2", "perplexity", 5.74, -0.53, -1.02, 4.51, -0.02, -0.12),
        ("LAMBADA", "perplexity", 6.87, -0.85, -1.86, 4.33, -0.03, -0.22),
        ("MMLU (5-shot)", "perplexity", 3.83, -0.36, -0.51, 3.17, -0.06, -0.05),
        ("ARC-Challenge", "accuracy", 35.32, 1.28, 2.82, 42.66, 1.62, 3.84),
        ("ARC-Easy", "accuracy", 68.94, 2.65, 4.29, 75.63, 0.42, 2.11),
        ("SciQ", "accuracy", 90.50, 1.00, 2.40, 93.20, 0.80, 0.50),
        ("Winogrande", "accuracy", 60.14, 1.90, 5.53, 65.19, 1.42, 2.92),
        ("TriviaQA", "accuracy", 22.51, 3.36, 7.37, 36.07, 0.25, 0.59),
        ("WebQS", "accuracy", 8.56, 3.74, 10.83, 19.34, 0.54, 0.44),
        ("average of QA", "accuracy", 47.66, 2.32, 5.54, 55.35, 0.84, 1.73),
    ],
    columns=[
        "benchmark", "metric", "repeated_200B", "sbp_200B", "unique_200B", "repeated_1T", "sbp_1T",
        "unique_1T",
    ],
)  # fmt: skip
"""Synthetic bootstrapped pre-training at two scales of training (Yang et al. 2025; talk):
`repeated` is the score of real data repeated, `sbp` and `unique` are differences from it, of
synthetic data beside the real and of unlimited unique data."""
SBP_UNIQUE_TOKENS = {"200B": 10e9, "1T": 50e9}
"""Unique real tokens at each scale (same source)."""
SBP_TRAINING_TOKENS = {"200B": 200e9, "1T": 1000e9}

SBP_QUALITY = pd.DataFrame(
    {
        "failure": [
            "repetition", "duplicate at 1M", "non-factual", "unrelated to its seed",
            "copy of its seed",
        ],
        "200B": [4.3, 0.8, 15.1, 25.6, 0.1],
        "1T": [3.9, 0.8, 8.7, 7.8, 0.9],
        "real": [1.8, 0.7, 1.8, float("nan"), float("nan")],
    }
)  # fmt: skip
"""Failures of synthesized documents in % (Yang et al. 2025; talk); the last two are none of real
documents'."""

ENTIGRAPH_ACCURACY = {
    "base": 39.49,
    "raw": 38.15,
    "paraphrases": 46.89,
    "EntiGraph": 56.22,
    "base with retrieval": 60.35,
    "EntiGraph with retrieval": 62.60,
    "GPT-3.5": 44.81,
    "GPT-4": 51.30,
}
"""Accuracy in % on QuALITY, closed book unless said (Yang et al. 2024, section 4)."""
ENTIGRAPH_TOKENS = {"unique": 1.3e6, "paraphrases": 33e6, "EntiGraph": 455e6}
"""Tokens of the source and of the synthetic texts (same source)."""


ENTIGRAPH_POINTS = {
    "entigraph": pd.DataFrame(
        [
            (0.182, 40.15), (0.3185, 41.15), (0.455, 41.21), (0.5915, 41.73), (0.728, 42.6),
            (0.8645, 43.02), (0.91, 42.96), (1.1375, 43.39), (1.82, 43.48), (2.73, 44.14),
            (3.64, 45.22), (4.55, 45.65), (5.46, 45.7), (6.37, 47.25), (8.19, 47.18), (9.1, 47.57),
            (13.65, 49.46), (22.75, 50.33), (25.025, 50.33), (29.575, 50.74), (38.675, 50.88),
            (45.5, 51.23), (68.25, 52.18), (113.75, 52.52), (159.25, 52.76), (191.1, 53.13),
            (204.75, 53.43), (236.6, 53.84), (250.25, 54.26), (295.75, 54.56), (327.6, 54.9),
            (341.25, 54.85), (373.1, 55.03), (414.05, 56), (441.35, 55.83), (450.45, 56.22),
        ],
        columns=["n_million_tokens", "accuracy"],
    ),
    "paraphrase": pd.DataFrame(
        [
            (0.168, 38.78), (0.336, 40.05), (0.672, 40.85), (0.84, 41.19), (1.008, 41.22),
            (1.68, 41.93), (2.016, 41.64), (2.352, 41.89), (2.688, 42), (4.032, 43.1),
            (6.048, 43.86), (6.72, 43.89), (8.064, 43.95), (9.408, 44.87), (11.424, 45.31),
            (13.44, 45.64), (16.8, 46.07), (21.84, 46.22), (24.192, 46.42), (33.264, 46.89),
        ],
        columns=["n_million_tokens", "accuracy"],
    ),
}  # fmt: skip
"""Closed-book accuracy in % on QuALITY against millions of synthetic tokens (Yang et al. 2024,
figure 2; values of notebooks/nb_main_plot.ipynb at commit d56a84e of the authors' code, as the copy
github.com/leo-liuzy/Synthetic_Continued_Pretraining keeps it)."""


def infinite_compute(kind: str, *, metric: str | None = None) -> pd.DataFrame:
    """Return the rows of one kind of the public table of Kim et al.

    Args:
        kind: value of the column `kind`, such as "benchmark" or "fitted_asymptote".
        metric: value of the column `metric`; all by default.

    Returns:
        Rows with the columns of `load_dataset("infinite_compute")`; counts, epochs, weight decay
        and `value` are numbers.

    Raises:
        FileNotFoundError: the table is not in the data folder.
    """
    table = load_dataset("infinite_compute")
    rows = table[table["kind"] == kind]
    if metric is not None:
        rows = rows[rows["metric"] == metric]
    numbers = ["value", "n_members", "n_unique_tokens", "n_epochs", "weight_decay"]
    return rows.assign(**{name: pd.to_numeric(rows[name]) for name in numbers})
