import dataclasses
import json
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from experiments.cli.app import COMMANDS, load_command, main
from experiments.runs.files import write_text
from experiments.sweeps.executors import open_executor
from experiments.worlds.registry import WORLDS
from experiments.worlds.settings import read_settings


def run(*arguments, **options):
    command = [sys.executable, "-m", "experiments.cli.app", *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_version_and_help():
    assert re.fullmatch(r"datawall \d+\.\d+\.\d+\n", run("--version").stdout)
    said = run("--help").stdout
    for command in COMMANDS:
        assert command in said


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_without_None_or_torn_lines(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert load_command(name).__doc__
    with pytest.raises(SystemExit) as done:
        main([name, "--help"])
    assert done.value.code == 0
    said = capsys.readouterr().out
    assert f"usage: datawall {name}" in said
    assert "None" not in said
    assert "--no-json" not in said


def test_a_line_of_help_breaks_only_where_the_terminal_ends(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    assert "in local processes or in Dask workers." in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_completion_script_completes_commands_and_options(tmp_path):
    script = tmp_path / "datawall.bash"
    script.write_text(run("completion", "bash").stdout)

    def completed(*words):
        asked = (
            f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
            "$(complete -p datawall | sed -E 's/.*-F ([^ ]+).*/\\1/'); echo ${COMPREPLY[@]}"
        )
        done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True)
        return done.stdout.split()

    assert completed("datawall", "gra") == ["graphsim"]
    assert completed("datawall", "graphsim", "--mean") == ["--mean-degree"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["reproduce", "--world", "huge"],
            f"world must be one of {', '.join(WORLDS)}; not 'huge' (a world of your own is a file",
        ),
        (["reproduce", "--corpus", "nonsense"], "nonsense"),
        (["claims", "--corpus", "files:/nowhere/at/all"], "/nowhere/at/all"),
        (["tune", "--widths", "15"], "width must be"),
        (["figures", "fig99"], "figure must be one of"),
        (["show", "/nowhere/at/all"], "holds no runs"),
    ],
)
def test_a_users_mistake_is_one_sentence_without_a_traceback(capsys, arguments, said, tmp_path):
    extra = [] if arguments[0] == "show" else ["--runs", str(tmp_path / "runs")]
    assert main([*arguments, *extra]) in (1, 2)
    err = capsys.readouterr().err
    assert err.startswith("datawall: ")
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def runs_csv(tmp_path):
    table = tmp_path / "runs.csv"
    table.write_text("n_params,loss\n6700,4.36\n24000,4.23\n100000,4.16\n390000,4.13\n")
    return table


def only_sentence(capsys) -> str:
    """What was said on stderr, which must be one sentence."""
    err = capsys.readouterr().err
    assert err.startswith("datawall: ")
    assert err.count("\n") == 1
    assert "Errno" not in err
    return err


def test_what_the_system_refuses_is_said_of_the_file_that_was_asked_for(capsys, tmp_path):
    assert main(["graphsim", "--edges", str(tmp_path / "no.txt")]) == 1
    assert only_sentence(capsys) == f"datawall: {tmp_path / 'no.txt'}: no such file or directory\n"


def test_a_file_in_place_of_a_folder_is_told_of_before_the_work(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert main(["graphsim", "--entities", "50", "--out", str(tmp_path / "file")]) == 1
    assert "file: expected a folder, found a file" in only_sentence(capsys)


def test_a_bad_size_of_graph_leaves_no_folder(capsys, tmp_path):
    assert main(["graphsim", "--entities", "1", "--out", str(tmp_path / "out")]) == 2
    assert "at least 2" in only_sentence(capsys)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_table(capsys, tmp_path):
    assert main(["fit", str(tmp_path)]) == 2
    assert "is a folder, not a file" in only_sentence(capsys)


def test_a_fit_that_could_not_be_saved_is_not_begun(capsys, tmp_path, runs_csv, monkeypatch):
    monkeypatch.setattr("experiments.cli.output.os.access", lambda path, mode: False)
    assert main(["fit", str(runs_csv), "--out", str(tmp_path / "fit.json")]) == 2
    assert "fit.json is not writable" in only_sentence(capsys)


def test_a_temporary_file_is_never_named(monkeypatch, tmp_path):
    def refuse(**where):
        raise PermissionError(13, "Permission denied", str(tmp_path / ".abc123"))

    monkeypatch.setattr("models.text.data_home.tempfile.mkstemp", refuse)
    with pytest.raises(PermissionError) as refused:
        write_text(tmp_path / "table.csv", "a")
    assert refused.value.filename == str(tmp_path / "table.csv")


def test_the_address_of_a_scheduler_needs_a_port():
    with pytest.raises(ValueError, match=r"scheduler must be an address .*'nonsense'"):
        open_executor("dask", scheduler="nonsense")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "magic"], "standard"),
        (["reproduce", "--wrld", "quick"], "--wrld"),
        (["nonsense"], "Available subcommands"),
        (["doctor", "--jso"], "Perhaps you meant"),
        (["completion", "ksh"], "'fish'"),
    ],
)
def test_unknown_recipes_and_options_list_what_there_is(arguments, said):
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.fixture
def tiny(monkeypatch):
    """The world tiny with one size."""
    monkeypatch.setitem(WORLDS, "tiny", dataclasses.replace(WORLDS["tiny"], widths=(8,)))


@pytest.mark.long
def test_run_and_show_print_the_cells(tiny, tmp_path, capsys):
    assert main(["run", "standard", "--world", "tiny", "--runs", str(tmp_path)]) == 0
    assert "standard, world tiny" in capsys.readouterr().out
    table = tmp_path / "runs.csv"
    assert main(["show", str(tmp_path / "tiny"), "--csv", str(table)]) == 0
    frame = pd.read_csv(table)
    assert len(frame) == 3 * 2
    assert frame["test_loss"].between(1, 10).all()
    specs = [json.loads(p.read_text()) for p in (tmp_path / "tiny").glob("*/spec.json")]
    assert {spec["optimizer"]["weight_decay"] for spec in specs} == {0.1}


@pytest.mark.long
def test_tune_prints_optima_margins_and_what_they_cost(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["tune", "--world", "tiny", "--widths", "8", "--runs", str(tmp_path)]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "loss ± s.e." in table
    assert "decay +" in table
    assert max(map(len, table.splitlines())) <= 80
    assert main([*arguments, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert f"{found['loss']:.3f} ± {found['stderr']:.3f}" in table
    assert f"{found['n_runs']} runs" in table
    assert found["certified"] == (not found["flaws"])
    assert found["n_runs"] == len(list(tmp_path.glob("tiny/*/result.json")))
    assert main(["show", str(tmp_path / "tiny")]) == 0
    assert table in capsys.readouterr().out
    assert main([*arguments, "--save", str(tmp_path / "mine.settings.json")]) == 0
    tuned = read_settings("mine", tmp_path).tuned
    assert {objective: [*found] for objective, found in tuned.items()} == {
        "standard": [8], "single": [8],
    }  # fmt: skip
