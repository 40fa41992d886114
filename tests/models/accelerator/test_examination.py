"""Results of an examination are kept, gone on with, and refused with a reason."""

import json
import os
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from models.accelerator import checks, command, examination, kernels, requirements
from models.accelerator.examination import Item, examine
from models.accelerator.outcome import Outcome
from models.accelerator.requirements import AcceleratorError
from models.accelerator.sizes import FULL, SMOKE


@pytest.fixture
def items(monkeypatch):
    """Two items that count their calls; the second one fails."""
    calls = []

    def run(name, passed):
        def item(sizes):
            calls.append(name)
            return Outcome(passed=passed, figures={"speed, tokens/s": 12_345.6})

        return item

    made = {
        "good": Item(title="works", run=run("good", True)),
        "bad": Item(title="does not", run=run("bad", False)),
    }
    monkeypatch.setattr(examination, "items_of", lambda sizes: made)
    return calls


def test_what_is_done_is_not_done_again_for_the_same_versions(items, tmp_path, monkeypatch):
    path = tmp_path / "found.json"
    found = examine(SMOKE, path, isolated=False, only=["good"])
    assert found["left"] == ["bad"]
    found = examine(SMOKE, path, isolated=False)
    assert items == ["good", "bad"]
    assert examination.failures(found["results"]) == ["bad"]
    assert json.loads(path.read_text())["results"]["good"]["passed"] is True
    table = path.with_suffix(".md").read_text()
    assert "| good | passed | speed, tokens/s | 1.235e+04 |" in table
    assert "| bad | FAILED |" in table
    examine(SMOKE, path, isolated=False, again=True, only=["good"])
    assert items == ["good", "bad", "good"]
    monkeypatch.setattr(examination, "_versions", lambda sizes: {"sizes": "SMOKE", "jax": "9"})
    examine(SMOKE, path, isolated=False)
    assert items == ["good", "bad", "good", "good", "bad"]


def test_an_item_that_kills_the_process_twice_is_not_tried_a_third_time(items, tmp_path):
    path = tmp_path / "found.json"
    for n_attempts in (0, 1, 2):
        examine(SMOKE, path, isolated=False, only=["good"])
        content = json.loads(path.read_text())
        content["results"]["good"] = {"state": "started", "attempts": n_attempts}
        path.write_text(json.dumps(content))
    assert items == ["good"] * 3
    found = examine(SMOKE, path, isolated=False, only=["good"])
    assert items == ["good"] * 3
    assert examination.failures(found["results"]) == ["good"]


def test_an_error_is_a_result_and_time_that_is_up_leaves_the_rest(items, tmp_path, monkeypatch):
    def run(sizes):
        raise MemoryError("600M weights need about 80 GiB")

    made = {"large": Item(title="", run=run), "next": Item(title="", run=run)}
    monkeypatch.setattr(examination, "items_of", lambda sizes: made)
    found = examine(SMOKE, tmp_path / "a.json", isolated=False, only=["large"])
    assert found["results"]["large"]["error"] == "MemoryError: 600M weights need about 80 GiB"
    assert examine(SMOKE, tmp_path / "b.json", isolated=False, minutes=-1)["left"] == [*made]
    with pytest.raises(ValueError, match="unknown: lost; the items are large, next"):
        examine(SMOKE, tmp_path / "b.json", isolated=False, only=["lost"])


def test_a_check_that_has_nothing_to_check_is_skipped_and_does_not_fail():
    results = {
        name: {"state": "done", "passed": passed, "figures": figures}
        for name, passed, figures in [
            ("sharding", None, {}), ("machine", None, {"GB/s": 1.0}), ("losses", False, {}),
        ]
    }  # fmt: skip
    verdicts = [examination.verdict(result) for result in results.values()]
    assert verdicts == ["skipped", "measured", "FAILED"]
    assert examination.failures({**results, "memory": {"state": "started"}}) == ["losses", "memory"]


def test_without_an_accelerator_one_sentence_says_what_was_looked_for(items, monkeypatch):
    monkeypatch.setattr(requirements, "nvidia_driver", lambda: "H100, 81559 MiB, 580.159")
    with pytest.raises(AcceleratorError) as refused:
        examine(FULL, isolated=False)
    said = str(refused.value)
    assert f"JAX {jax.__version__}, its plugins (" in said
    assert "the NVIDIA driver (H100, 81559 MiB, 580.159)" in said
    assert "--smoke" in said


@pytest.mark.parametrize(
    ("plugins", "driver", "said"),
    [
        (["jax-cuda13-plugin 0.11"], "H100, 81559 MiB, 570.1.2", "cuda13 needs 580 or newer"),
        (["jax-cuda12-plugin 0.11"], "H100, 81559 MiB, 570.1.2; H100, 81559 MiB, 570.1.2", ""),
        (["jax-cuda12-plugin 0.11", "jax-cuda13-plugin 0.11"], "A100, 1 MiB, 535.54", ""),
        ([], "H100, 81559 MiB, 580.159", "no plugin for it; install jax[cuda12] or jax[cuda13]"),
        (["jax-cuda12-plugin 0.11"], None, ""),
        (["libtpu 0.0.30"], None, ""),
    ],
)
def test_a_driver_that_does_not_fit_the_plugin_is_named(monkeypatch, plugins, driver, said):
    monkeypatch.setattr(requirements, "_plugins", lambda: plugins)
    monkeypatch.setattr(requirements, "nvidia_driver", lambda: driver)
    found = requirements.looked_for()
    assert said in found
    assert found.endswith(")") is not bool(said)


def test_missing_packages_are_named_with_the_way_to_carry_them(monkeypatch, capsys):
    monkeypatch.setattr(requirements, "PACKAGES", ("jax", "no_such_package"))
    assert command.main(["--smoke"]) == 2
    said = capsys.readouterr().err
    assert "not installed" in said
    assert "pip download" in said
    assert "--no-index --find-links wheels no_such_package" in said
    assert "cuda" not in said
    monkeypatch.setattr(requirements.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AcceleratorError, match=r"put jax\[cuda12\] or jax\[cuda13\] for jax$"):
        requirements.require_packages()


def test_it_imports_with_few_packages():
    """It needs none of the other packages that datawall declares."""
    script = """
import sys
class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name in {"docstring_parser", "jinja2", "networkx", "numba", "pandas", "PIL", "pooch",
                    "psutil", "seaborn", "sklearn", "tokenizers", "tyro", "zstandard", "orbax"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refusal())
from models.accelerator import checks, command, examination, kernels, measurements
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_differences_of_losses_are_seen():
    losses = np.linspace(5, 4, 50)
    found = {"a": (losses, None)}
    assert checks._compared(found, found)[0]
    for changed in (losses + 0.01, np.append(losses[:-1], np.nan)):
        assert not checks._compared({"a": (changed, None)}, found)[0]


@pytest.mark.long
def test_attention_that_ignores_documents_is_seen(monkeypatch):
    assert kernels.check_attention(SMOKE).passed
    plain = kernels.attend
    monkeypatch.setattr(kernels, "attend", lambda q, k, v, documents_BT: plain(q, k, v))
    assert not kernels.check_attention(SMOKE).passed


@pytest.mark.long
def test_all_checks_pass_on_eight_host_devices(tmp_path):
    path = tmp_path / "found.json"
    flags = re.sub(r"(device_count)=\d+", r"\1=8", os.environ["XLA_FLAGS"])
    checked = ["losses", "members", "resume", "attention", "sharding", "memory"]
    only = [*checked, "speed tiny"]
    arguments = ["--smoke", "--minutes", "60", "--out", str(path), "--only", *only]
    done = subprocess.run(
        [sys.executable, "-m", "models.accelerator", *arguments],
        capture_output=True, text=True, env={**os.environ, "XLA_FLAGS": flags},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(path.read_text())
    assert found["key"]["devices"] == "8 cpu"
    passed = {name: one["passed"] for name, one in found["results"].items()}
    assert [passed.pop(name) for name in checked] == [True] * 6
    assert set(passed.values()) == {None}
    assert all(found["results"][name]["figures"] for name in passed)
    speed = found["results"]["speed tiny"]["figures"]
    assert speed["tokens/s"] > 0
    assert found["results"]["resume"]["figures"]["weights, largest difference"] == 0
