import pytest

from models.augment.writing.reasoning import without_reasoning


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain", "plain"),
        ("<think>a draft</think>\nThe text.", "\nThe text."),
        ("<THINKING>x</THINKING>a<reasoning>y\nz</reasoning>b", "ab"),
        ("<think>a <think>b</think> c</think>d", "d"),
        ("<think>I close <think> only once</think>d", "d"),
        ("opened by the template</think>d", "d"),
        ("<think>cut off", ""),
        ("A text.\n<think>cut off", "A text.\n"),
        ("The tag <think> opens a block.", "The tag <think> opens a block."),
        ("◁think▷x◁/think▷d", "d"),
        ("[THINK]x[/THINK]d", "d"),
        ("<|channel|>analysis<|message|>x<|end|><|channel|>final<|message|>d<|return|>", "d"),
        ("a < b > c </p>", "a < b > c </p>"),
    ],
)
def test_reasoning_is_removed_and_nothing_else(text, kept):
    assert without_reasoning(text) == kept
    assert without_reasoning(kept) == kept
