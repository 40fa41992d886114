"""Every notebook runs in a kernel of its own, and shows what it should."""

import ast
import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

HOUSE = Path(__file__).parents[2]
NOTEBOOKS = sorted((HOUSE / "experiments" / "notebooks").glob("*.ipynb"))
SHOWN = {
    "1_fit_your_own_runs": ["<b>CONVERGED</b>", "image/png", "<b>NOT_IDENTIFIED</b>"],
    "2_from_a_sweep_to_a_limit": [
        "members: 7 done in", "runs/tiny: 10 done", "<b>CONVERGED</b>",
        "loss of infinitely many members: 5.",
    ],
    "3_entigraphs_law": ["expected accuracy from 500 sources", "image/png", "plateau"],
    "4_your_own_recipe": ["jitter: 12 done in", "high"],
    "5_read_the_small_world": [
        "Results of world small: 3,", "<b>CONVERGED</b>", "LAW_REJECTED",
        "P8: Ensembles of small models", "image/png",
    ],
}  # fmt: skip
"""What the outputs of each must hold."""


@pytest.fixture
def kernel_environment(monkeypatch):
    """Have kernels import this checkout."""
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(HOUSE), os.environ.get("PYTHONPATH", "")])
    )
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")


def execute(notebook, folder):
    return nbclient.NotebookClient(
        notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()


def outputs(notebook) -> str:
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "\n".join(str(dict(out.get("data", {"": out.get("text", "")}))) for out in shown)


def test_all_notebooks_are_tested():
    assert [path.stem for path in NOTEBOOKS] == list(SHOWN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_without_outputs_and_are_short(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert max(len(line) for cell in code for line in cell.source.splitlines()) <= 100
    assert sum(len(cell.source.splitlines()) for cell in code) < 80
    for cell in code:
        ast.parse(cell.source)


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path, kernel_environment):
    notebook = execute(nbformat.read(path, as_version=4), tmp_path)
    said = outputs(notebook)
    for part in SHOWN[path.stem]:
        assert part in said


@pytest.mark.long
def test_long_work_shows_a_bar_that_ends_as_a_sentence(tmp_path, kernel_environment):
    cell = """
from experiments.display.progress import WorkProgress
import experiments.display.progress as p
p.SECONDS_BETWEEN_CELLS = 0
with WorkProgress("train <b>", n_jobs=2, work=2) as progress:
    for _ in range(2):
        progress.advance(1)
        progress.finish_job()
try:
    with WorkProgress("broken", n_jobs=2, work=2):
        raise ValueError
except ValueError:
    pass
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    seen = []
    client = nbclient.NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    original = client.process_message

    def listen(message, *arguments):
        seen.append(message)
        return original(message, *arguments)

    client.process_message = listen
    client.execute()
    html = [
        message["content"]["data"]["text/html"]
        for message in seen
        if message["msg_type"] in ("display_data", "update_display_data")
    ]
    assert '<progress value="0.0000" max="1">' in html[0]
    assert any('value="0.5000"' in drawn for drawn in html)
    assert "<b>" not in "".join(html)
    first, second = notebook.cells[0].outputs
    assert "train &lt;b&gt;: 2 done in 0 s" in first["data"]["text/html"]
    assert "broken: stopped at 0/2" in second["data"]["text/html"]
    assert "<progress" not in first["data"]["text/html"] + second["data"]["text/html"]
