"""Every block of Python in the README runs, and every command it names exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from models.data_home import data_home

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(block, capsys):
    if "blimp" in block and not (data_home() / "evals" / "blimp").is_dir():
        pytest.skip("BLiMP is not there: set DATAWALL_DATA")
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out


def test_blocks_are_found():
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("command", sorted(set(re.findall(r"datawall ([a-z]+)", README))))
def test_commands_exist(command):
    call = [sys.executable, "-m", "experiments.cli", command, "--help"]
    assert subprocess.run(call, capture_output=True).returncode == 0
