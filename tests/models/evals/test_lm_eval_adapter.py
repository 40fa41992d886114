from types import SimpleNamespace

import numpy as np
import pytest

lm_eval = pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")

from models.evals.continuations import encode_continuation, score_continuations  # noqa: E402
from models.evals.lm_eval_adapter import HarnessModel  # noqa: E402
from models.evals.perplexity import evaluate_texts  # noqa: E402
from models.language.language_model import LanguageModel  # noqa: E402


def asked(*args):
    return SimpleNamespace(args=args)


def test_scores_are_those_of_the_evaluations_here(predictor):
    harness = HarnessModel(predictor)
    pairs = [("ab", " cd"), ("", "word"), ("a context too long", " end")]
    found = harness.loglikelihood([asked(*pair) for pair in pairs])
    scored = score_continuations(
        predictor, [encode_continuation(predictor, *pair) for pair in pairs]
    )
    assert found == [(one.total, one.greedy.all()) for one in scored]
    [rolled] = harness.loglikelihood_rolling([asked("a text of some length")])
    expected = evaluate_texts(predictor, ["a text of some length"])
    assert -rolled / 21 == pytest.approx(expected.loss.value, abs=1e-4)


def test_generated_text_is_greedy_and_stops(predictor):
    harness = HarnessModel(predictor)
    [text] = harness.generate_until([asked("some context", {"max_gen_toks": 4, "until": []})])
    ids = [0, *predictor.encode("some context")]
    for _ in range(4):
        ids.append(int(predictor.next_token_log_probs(np.array([ids[-12:]]))[0, -1].argmax()))
    assert text == predictor.tokenizer.decode(ids[-4:])
    stop = text[1:2]
    [cut] = harness.generate_until([asked("some context", {"max_gen_toks": 4, "until": [stop]})])
    assert cut == text[: text.index(stop)]
    with pytest.raises(ValueError, match="greedy"):
        harness.generate_until([asked("a", {"do_sample": True, "temperature": 1.0})])


def test_the_harness_runs_a_task_of_its_own(three_models, tmp_path):
    (tmp_path / "items.jsonl").write_text(
        '{"query": "ab", "choices": ["cd", "e"], "gold": 0}\n'
        '{"query": "x", "choices": ["y", "zzz"], "gold": 1}\n'
    )
    task = {
        "task": "two_items",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "items.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{query}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "gold",
        "metric_list": [{"metric": "acc"}],
    }
    one = three_models[0]
    done = lm_eval.simple_evaluate(
        model=HarnessModel(one),
        tasks=[task],
        bootstrap_iters=0,
        log_samples=False,
    )
    right = 0
    for query, choices, gold in [("ab", ["cd", "e"], 0), ("x", ["y", "zzz"], 1)]:
        requests = [encode_continuation(one, query, f" {choice}") for choice in choices]
        right += np.argmax([s.total for s in score_continuations(one, requests)]) == gold
    assert done["results"]["two_items"]["acc,none"] == right / 2


def test_a_model_without_tokenizer_is_refused(three_models):
    one = three_models[0]
    with pytest.raises(ValueError, match="tokenizer"):
        HarnessModel(LanguageModel(model=one.model, params=one.params))
