"""Training and sampling: text, tokens, language models, ensembles.

The map::

    load_corpus(name), tokenize_corpus(name, vocab_size=512)   text and its tokens
    ModelConfig.from_width(64, ...), OptimizerConfig, TrainConfig   what to train, and how
    train_members(tokens, tokenizer, ...)      models that differ in their seed, on all devices
    LanguageModel, Ensemble                    predictors; every evaluation takes one
    read_choices, read_minimal_pairs, read_lambada    benchmarks from their published files
    evaluate_texts, evaluate_choices, evaluate_minimal_pairs, evaluate_lambada
    fit_mixture_weights, fit_logit_weights     learned weights, certified optimal
    NgramModel                                 Kneser-Ney, the classical ensemble member
    sample_teacher, distill_soft               distillation
    import_llama, export_llama                 exchange with Hugging Face

Sampling is `models.language.generate.generate`; a sweep's jobs, meshes and checkpoints are in
`models.training.job_list`, `models.training.sharding` and `models.training.checkpoint`.

Names are loaded on first use, because jax and flax take seconds to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.analytic.ngram import NgramModel as NgramModel
    from models.config import ModelConfig as ModelConfig
    from models.config import OptimizerConfig as OptimizerConfig
    from models.config import TrainConfig as TrainConfig
    from models.ensembles.logit_weights import fit_logit_weights as fit_logit_weights
    from models.ensembles.mixture import fit_mixture_weights as fit_mixture_weights
    from models.evals.choice_formats import read_choices as read_choices
    from models.evals.choices import evaluate_choices as evaluate_choices
    from models.evals.lambada import evaluate_lambada as evaluate_lambada
    from models.evals.lambada import read_lambada as read_lambada
    from models.evals.minimal_pairs import evaluate_minimal_pairs as evaluate_minimal_pairs
    from models.evals.minimal_pairs import read_minimal_pairs as read_minimal_pairs
    from models.evals.perplexity import evaluate_texts as evaluate_texts
    from models.language.distill import distill_soft as distill_soft
    from models.language.distill import sample_teacher as sample_teacher
    from models.language.huggingface import export_llama as export_llama
    from models.language.huggingface import import_llama as import_llama
    from models.language.language_model import Ensemble as Ensemble
    from models.language.language_model import LanguageModel as LanguageModel
    from models.language.members import train_members as train_members
    from models.text.corpora import load_corpus as load_corpus
    from models.text.stock import draw_chunks as draw_chunks
    from models.text.tokens import draw_unique_tokens as draw_unique_tokens
    from models.text.tokens import tokenize_corpus as tokenize_corpus

_HOMES = {
    "evals.choice_formats": ["read_choices"],
    "evals.choices": ["evaluate_choices"],
    "config": ["ModelConfig", "OptimizerConfig", "TrainConfig"],
    "text.corpora": ["load_corpus"],
    "language.distill": ["distill_soft", "sample_teacher"],
    "language.huggingface": ["export_llama", "import_llama"],
    "evals.lambada": ["evaluate_lambada", "read_lambada"],
    "language.language_model": ["Ensemble", "LanguageModel"],
    "ensembles.logit_weights": ["fit_logit_weights"],
    "language.members": ["train_members"],
    "evals.minimal_pairs": ["evaluate_minimal_pairs", "read_minimal_pairs"],
    "ensembles.mixture": ["fit_mixture_weights"],
    "analytic.ngram": ["NgramModel"],
    "evals.perplexity": ["evaluate_texts"],
    "text.stock": ["draw_chunks"],
    "text.tokens": ["draw_unique_tokens", "tokenize_corpus"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'models' has no attribute {name!r}")
    return getattr(import_module(f"models.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
