"""The hash of code changes with the code that a function depends on, and with nothing else."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from experiments.lab import source
from experiments.lab.scoring import score_subsets


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A package of ours: `measure` imports `models.used`, which imports `models.deep` inside."""
    files = {
        "models/__init__.py": '"""Models."""\n',
        "models/used.py": "def loss():\n    from models import deep\n    return deep.VALUE\n",
        "models/deep.py": "VALUE = 1\n",
        "models/other.py": "VALUE = 1\n",
        "experiments/lab/lab.py": "from models import other\n",
        "experiments/recipes/mine.py": "from experiments.lab.lab import Lab\nimport models.used\n"
        "def measure():\n    return models.used.loss()\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(source, "ROOT", tmp_path)
    return tmp_path


def hash_of(house):
    source._read.cache_clear()
    source._hash_from.cache_clear()
    source.linecache.clearcache()
    path = house / "experiments/recipes/mine.py"
    names = {}
    code = compile("def measure(): pass", str(path), "exec")
    exec(code, names)
    return source.source_of(names["measure"])


@pytest.fixture(autouse=True)
def fresh():
    yield
    source._read.cache_clear()
    source._hash_from.cache_clear()


@pytest.mark.parametrize(
    "file", ["experiments/recipes/mine.py", "models/used.py", "models/deep.py"]
)
def test_code_that_is_imported_counts(house, file):
    before = hash_of(house)
    with (house / file).open("a") as end:
        end.write("OTHER = 2\n")
    assert hash_of(house) != before


@pytest.mark.parametrize("file", ["models/other.py", "experiments/lab/lab.py"])
def test_other_code_and_that_of_labs_does_not_count(house, file):
    before = hash_of(house)
    with (house / file).open("a") as end:
        end.write("OTHER = 2\n")
    assert hash_of(house) == before


def test_threads_find_the_same_hash():
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: source.source_of(score_subsets), range(16)))
    assert len(found) == 1


def test_comments_docstrings_and_formatting_do_not_count(house):
    before = hash_of(house)
    (house / "models/deep.py").write_text(
        '"""Deep."""\n\n\nVALUE = (\n    1  # one\n)\n"""A value."""\n'
    )
    assert hash_of(house) == before


def test_the_scores_of_ensembles_depend_on_models_and_not_on_sweeps():
    _, imported = source._read("experiments/lab/scoring.py")
    assert "models/ensembles/ensemble.py" in imported
    found, waiting = set(), set(imported)
    while waiting:
        path = waiting.pop()
        found.add(path)
        waiting |= source._read(path)[1] - found
    assert "models/network/transformer.py" in found
    assert not [path for path in found if path.startswith("experiments/sweeps")]
    assert source.source_of(score_subsets) == source.source_of(score_subsets)


def test_the_hash_is_the_same_in_every_version_of_python():
    """Python 3.12 and 3.13 give the hash that 3.11 does, also of what they parse otherwise."""
    text = "def f(x: int) -> str:\n    'Text.'\n    return f'{x:>{2}}' + f'{x!r}' + ''\n"
    code, imported = source._parsed(text)
    assert (code, imported) == ("8a3c0870e0a1f45a", set())
