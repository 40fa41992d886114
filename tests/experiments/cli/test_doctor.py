import json
import subprocess
from importlib import metadata

import pytest

from experiments.cli import installation as doctor
from experiments.cli.app import main
from experiments.worlds.registry import WORLDS

STARTED = '{"version": "0.10", "platform": "cpu", "devices": ["cpu", "cpu"]}\n'


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    (folder / "evals" / "blimp").mkdir(parents=True)
    monkeypatch.setenv("DATAWALL_DATA", str(folder))
    monkeypatch.setenv("DATAWALL_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    return folder


@pytest.fixture
def quick_jax(monkeypatch):
    """Answer for JAX, which takes seconds to start."""
    answer = subprocess.CompletedProcess([], 0, stdout=STARTED, stderr="")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *args, **kwargs: answer)
    return answer


def test_a_sound_installation_has_no_problems_and_names_what_there_is(capsys, monkeypatch, data):
    monkeypatch.setenv("COLUMNS", "200")
    compiled = data.parent / "cache" / "compiled"
    compiled.mkdir(parents=True)
    (compiled / "jit_step-0123-cache").write_bytes(bytes(2048))
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problems"] == []
    assert found["jax"]["version"] == metadata.version("jax")
    assert found["machine"]["cores"] >= 1
    assert found["texts"]["data_folder"] == str(data)
    assert found["texts"]["evaluations"] == ["blimp"]
    assert found["cache"]["compiled_programs"] == 1
    assert found["cache"]["compiled_bytes"] == 2048
    assert {"dask", "hf", "lm-eval", "llm", "embed", "faiss", "notebook", "parquet"} <= set(
        found["parts"]
    )
    dask = found["parts"]["dask"]
    assert dask["installed"] == (None not in dask["packages"].values())
    assert 'pip install "datawall[dask]"' in dask["install"]


def test_an_accelerator_that_cannot_be_examined_ends_with_two(monkeypatch, capsys):
    monkeypatch.setattr("models.accelerator.requirements.PACKAGES", ("no_such_package",))
    assert main(["doctor", "--accelerator"]) == 2
    assert "not installed" in capsys.readouterr().err
    assert main(["doctor", "--accelerator", "--json"]) == 2


def test_it_prints_within_eighty_columns_what_may_wrap(capsys, monkeypatch, quick_jax):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "0.10 on cpu: 2 cpu" in said
    assert "All required parts work." in said
    assert max(len(line) for line in said.splitlines() if "pip install" not in line) <= 80


def test_jax_that_does_not_start_is_a_problem(capsys, quick_jax):
    quick_jax.returncode, quick_jax.stderr = 1, "Traceback\nRuntimeError: no device"
    assert main(["doctor"]) == 1
    assert "broken: JAX does not start: RuntimeError: no device" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("DATAWALL_DATA", "is not a folder"),
        ("DATAWALL_CACHE", "set DATAWALL_CACHE to another folder"),
        ("JAX_COMPILATION_CACHE_DIR", "set JAX_COMPILATION_CACHE_DIR to another folder"),
    ],
)
def test_folders_that_cannot_be_used_are_problems(tmp_path, monkeypatch, quick_jax, variable, said):
    file = tmp_path / "a file"
    file.touch()
    monkeypatch.setenv(variable, str(file / "below"))
    (problem,) = doctor.examine().problems
    assert said in problem
    assert str(file) in problem


def test_an_old_package_is_a_problem_and_a_missing_part_is_not(monkeypatch, quick_jax):
    wants = ["numpy>=999", "no-such-package>=2; extra == 'hf'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: wants)
    health = doctor.examine()
    (problem,) = health.problems
    assert f"but version {metadata.version('numpy')} is installed" in problem
    (part,) = health.parts
    assert (part.name, part.installed) == ("hf", False)


def test_too_little_memory_or_disk_is_a_problem(monkeypatch, quick_jax):
    tiny = WORLDS["tiny"].memory_bytes()
    memory = type("Memory", (), {"available": tiny - 1, "total": 2 * tiny})
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    usage = type("Usage", (), {"free": doctor.LEAST_FREE_DISK - 1})
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: usage)
    problems = doctor.examine().problems
    assert ["smallest world" in problem for problem in problems] == [True, False, False]
    assert all("delete some files" in problem for problem in problems[1:])


def test_parts_are_the_extras_of_the_distribution(quick_jax):
    extras = set(metadata.metadata("datawall").get_all("Provides-Extra") or [])
    assert {part.name for part in doctor.examine().parts} == extras & doctor.PARTS.keys()
