"""Imports run downwards only and in no circle, and nothing heavy is loaded before it is needed."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
MAY_IMPORT = {
    "scaling": {"scaling"},
    "models": {"models"},
    "graphsim": {"graphsim"},
    "experiments": {"experiments", "scaling", "models", "graphsim"},
    "paper_figs": {"paper_figs", "experiments", "scaling", "models", "graphsim"},
}
ROOT_OF_COMPOSITION = HOUSE / "experiments" / "cli"
"""Commands may name every package."""
MOST_MODULES = 15
"""In a folder, not counting its `__init__`; of `paper_figs`, a module a figure, any number."""
LAYERS = (
    *("display", "runs", "tuning", "worlds", "sweeps", "lab", "analysis"),
    *("recipes", "story", "claims", "planner", "report", "cli"),
)
"""The folders of `experiments`; each imports itself and those before it."""
MODULES = {
    ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__"): path
    for package in MAY_IMPORT
    for path in (HOUSE / package).rglob("*.py")
}


def modules_imported(path: Path) -> set[str]:
    """Return the modules of ours that one imports anywhere: at its top, in functions, for types."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in inside}
    return found & MODULES.keys()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_modules_import_each_other_in_a_circle(package):
    graph = {
        module: modules_imported(path) - {module}
        for module, path in MODULES.items()
        if module.split(".")[0] == package
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_folders_of_experiments_import_only_those_before_them():
    folders = {path.name for path in (HOUSE / "experiments").iterdir() if any(path.glob("*.py"))}
    assert folders == {*LAYERS}
    for module, path in MODULES.items():
        if module.startswith("experiments."):
            allowed = LAYERS[: LAYERS.index(module.split(".")[1]) + 1]
            for other in modules_imported(path):
                if other.startswith("experiments."):
                    assert other.split(".")[1] in allowed, f"{module} imports {other}"


def test_folders_are_small_enough_to_read_at_a_glance():
    sizes = Counter(path.parent for path in MODULES.values() if path.name != "__init__.py")
    large = {
        folder.relative_to(HOUSE).as_posix(): size
        for folder, size in sizes.items()
        if size > MOST_MODULES and "paper_figs" not in folder.parts
    }
    assert not large, f"{large}: put those of one subject into a folder"


def names_imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    """Return the packages that a module imports, by the first part of their names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def imported_packages(path: Path, *, top_level_only: bool = False) -> set[str]:
    return names_imported(path, top_level_only=top_level_only) & MAY_IMPORT.keys()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_what_lies_below(package):
    for path in (HOUSE / package).rglob("*.py"):
        if not path.is_relative_to(ROOT_OF_COMPOSITION):
            assert imported_packages(path) <= MAY_IMPORT[package], path


def test_commands_import_figures_only_inside_functions():
    for path in ROOT_OF_COMPOSITION.rglob("*.py"):
        assert "paper_figs" not in imported_packages(path, top_level_only=True), path


DISTRIBUTIONS = {"PIL": "pillow", "faiss": "faiss-cpu", "sklearn": "scikit-learn"}
"""Of packages that are installed under another name than they are imported by."""


def test_what_is_imported_is_declared():
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    needs = [*project["dependencies"]]
    needs += [
        need for name in extras.keys() - {"test", "docs", "benchmark"} for need in extras[name]
    ]
    declared = {re.match(r"[\w-]+", need)[0].lower() for need in needs}
    for package in MAY_IMPORT:
        for path in (HOUSE / package).rglob("*.py"):
            imported = names_imported(path) - MAY_IMPORT.keys() - sys.stdlib_module_names
            wanted = {DISTRIBUTIONS.get(name, name.replace("_", "-").lower()) for name in imported}
            assert wanted <= declared, path


def loaded_after(code: str) -> set[str]:
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import scaling", {"jax", "matplotlib", "scipy.stats"}),
        ("import experiments.story.story, paper_figs.fig06_regularized", {"jax", "scipy.stats"}),
        ("import graphsim", {"jax", "matplotlib"}),
        ("import models.text.corpora, models.text.tokens, models.config", {"jax", "matplotlib"}),
        ("import models.language.huggingface", {"torch", "transformers", "matplotlib"}),
        (
            "import experiments.cli.app\n"
            "try: experiments.cli.app.main(['--help'])\n"
            "except SystemExit: pass",
            {"jax", "flax", "matplotlib", "scipy", "pandas", "numba", "rich", "typeguard"},
        ),
        (
            "import experiments.cli.app\n"
            "try: experiments.cli.app.main(['augment', 'sbp', '--help'])\n"
            "except SystemExit: pass",
            {"jax", "flax", "matplotlib", "scipy", "pandas", "numba", "experiments.cli.laws.fit"},
        ),
        ("import experiments.cli.app\nexperiments.cli.app.main(['--version'])", {"tyro", "rich"}),
    ],
)
def test_heavy_packages_load_only_when_needed(code, heavy):
    assert not loaded_after(code) & heavy


def test_the_public_names_of_models_are_those_that_type_checkers_see():
    import models

    tree = ast.parse((HOUSE / "models" / "__init__.py").read_text(encoding="utf-8"))
    declared = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("models.")
        for alias in node.names
    }
    assert declared == set(models.__all__)
    for name in models.__all__:
        assert getattr(models, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = models.nothing


def test_lock_files_agree_and_name_no_index():
    pins: dict[str, set[str]] = {}
    for path in HOUSE.glob("requirements*.lock"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert re.match(r"[\w.-]+==\S+( ; .+)?$", line), f"{path.name}: {line}"
            name, _, pin = line.partition("==")
            pins.setdefault(name + pin.partition(" ;")[2], set()).add(pin)
    assert len(pins) > 150
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}
