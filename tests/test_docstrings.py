"""Docstrings name arguments and describe returned arrays; each word has one spelling."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
PACKAGES = [
    "scaling",
    "graphsim",
    "models",
    "experiments",
    "paper_figs",
]
"""Packages and folders whose docstrings and words are checked."""
TEXTS = [
    *PACKAGES,
    "docs",
    "README.md",
    "tests/experiments/analysis",
    "tests/experiments/cli",
    "tests/experiments/planner",
    "tests/experiments/tuning",
    "tests/experiments/worlds",
    "tests/paper_figs",
]
"""Where words are checked: comments, docstrings, messages and pages."""
PROMPTS = "models/augment/writing/prompts.py"
"""Its wording is versioned: a changed word would change what is written."""
NOT_CHECKED = ("docs/mathematics", PROMPTS)

MANY = 3
"""Functions with at least this many arguments have an Args section."""
ARRAY = re.compile(r"\b(Array|NDArray|ndarray|Floats|Ints|DataFrame|csr_array)\b")
"""Annotations of arrays and frames, aliases included."""
SHAPE = re.compile(
    r"\(\w+(, ?\w+)+\)|\(\w+,\)|\[[\w.]+([ ,*/+-]+[\w.]+)*\]|\b(columns?|shapes?|scalars?)\b"
)
"""A shape such as [n_rows, context + 1] or (n,), or a word that introduces one."""
SPELLINGS = {
    "regularise": "regularize",
    "regularisation": "regularization",
    "synthesise": "synthesize",
    "tokenise": "tokenize",
    "normalize": "normalise",
    "minimize": "minimise",
    "maximize": "maximise",
    "linearize": "linearise",
    "optimizer": "optimiser",
    "center": "centre",
    "neighbor": "neighbour",
    "colour": "color",
    "license": "licence",
}
"""Beginnings of words that are not used -> the spelling of the code's identifiers."""
RETIRED = re.compile(
    r"\b(told|tells?|telling|foretold|anew|hears?|heard|riddles?"
    r"|bench(es)?|desks?|crews?|schools?|hand-?outs?|ladders?|rungs?)\b",
    flags=re.IGNORECASE,
)
"""Metaphors for machinery, and words that the field does not use."""
NAMES = re.compile(
    r"`[^`]*`|\{[^{}]*\}|\w+(\.\w+)+|https?://\S+"  # code in prose and f-strings, addresses
    r"|[\"']((upper|lower) center|center (left|right))[\"']|\b[A-Z]\w*[A-Z]\w*"
    r"|^ +\*{0,2}\w+(?: \(.*\))?:(?=[ \n]|$)"  # entries of Args
    r"|^\| `[\w/]+` \|.*"  # in the map of the code, docstrings of packages
)
"""Names of the code and of other projects, which keep their spelling."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_public(path: Path) -> bool:
    return not any(part.startswith("_") and part != "__init__.py" for part in path.parts)


def files(place: str, *suffixes: str, without: tuple[str, ...] = NOT_CHECKED) -> list[Path]:
    path = HOUSE / place
    found = [path] if path.is_file() else [p for end in suffixes for p in path.rglob(f"*{end}")]
    return sorted(p for p in found if not any(p.is_relative_to(HOUSE / no) for no in without))


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of the comments and strings of a module, or of a page outside its programs."""
    if path.suffix == ".md":
        is_program = False
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            is_program ^= line.startswith("```")
            if not is_program and not line.startswith(":::"):
                yield number, NAMES.sub("", line)
        return
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", None)}
    with path.open("rb") as module:
        for token in tokenize.tokenize(module.readline):
            if token.type in kinds and " " in token.string:  # one word is a name
                for i, line in enumerate(token.string.splitlines()):
                    yield token.start[0] + i, NAMES.sub("", line)


def functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """Public functions, and public methods of public classes, with their qualified names."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for part in node.body:
                if isinstance(part, Function) and not part.name.startswith("_"):
                    yield f"{node.name}.{part.name}", part


def arguments(function: Function) -> list[str]:
    """Names of all arguments except self and cls."""
    given = function.args
    named = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    named += [a.arg for a in (given.vararg, given.kwarg) if a is not None]
    return [name for name in named if name not in ("self", "cls")]


def section(docstring: str, title: str) -> str:
    """Text of a section of a docstring, up to the next one; empty if it is missing."""
    found = re.search(rf"^{title}:\n((?:    .*\n|\n)+)", docstring + "\n", flags=re.MULTILINE)
    return found[1] if found else ""


def faults_of(function: Function) -> Iterator[str]:
    docstring = ast.get_docstring(function) or ""
    decorators = {ast.unparse(decorator).partition("(")[0] for decorator in function.decorator_list}
    if decorators & {"overload", "recipe"}:  # a recipe is given the lab and results of recipes
        return
    if re.match(r"See `\w+(\.\w+)?`\.$", docstring):  # described at the method it implements
        return
    named = arguments(function)
    if len(named) >= MANY:
        described = section(docstring, "Args")
        entries = re.findall(r"^    \*{0,2}(\w+)(?: \(.*\))?:", described, flags=re.MULTILINE)
        missing = [name for name in named if name not in entries]
        if missing:
            yield f"no Args entry for {', '.join(missing)}"
    if function.returns is not None and ARRAY.search(ast.unparse(function.returns)):
        before_args, _, _ = docstring.partition("\nArgs:\n")
        if not SHAPE.search(before_args + section(docstring, "Returns")):
            yield "no shape or columns of what it returns"


@pytest.mark.parametrize("package", PACKAGES)
def test_docstrings_describe_arguments_and_arrays(package):
    faults = []
    for path in files(package, ".py"):
        relative = path.relative_to(HOUSE)
        if is_public(relative):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for name, function in functions(tree):
                faults += [f"{relative}: {name}: {fault}" for fault in faults_of(function)]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("place", TEXTS)
def test_each_word_has_one_spelling(place):
    beginnings = re.compile("|".join(rf"\b{word}" for word in SPELLINGS), flags=re.IGNORECASE)
    faults = []
    for path in files(place, ".py", ".md"):
        for number, line in prose(path):
            for found in beginnings.findall(line):
                better = SPELLINGS[found.lower()]
                faults.append(f"{path.relative_to(HOUSE)}:{number}: {found}: write {better}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("place", [*PACKAGES, "docs", "tests", "README.md", "CONTRIBUTING.md"])
def test_no_retired_word_is_used(place):
    faults = [
        f"{path.relative_to(HOUSE)}:{number}: {found[0]}"
        for path in files(place, ".py", ".md", without=(PROMPTS, "tests/test_docstrings.py"))
        for number, line in prose(path)
        for found in RETIRED.finditer(line)
    ]
    assert not faults, "\n".join(faults)


def test_words_are_found_in_comments_strings_and_pages_but_not_in_names(tmp_path):
    module, page = tmp_path / "module.py", tmp_path / "page.md"
    module.write_text('optimizer = f(color, "neighbors")  # told\ng(f"a {neighbor} colour")\n')
    page.write_text("Anew: `tell` of models.training.optimizers\n```python\noptimizer = 1\n```\n")
    text = "\n".join(line for path in (module, page) for _, line in prose(path))
    assert [found[0] for found in RETIRED.finditer(text)] == ["told", "Anew"]
    assert [word for word in SPELLINGS if word in text] == ["colour"]


def test_a_docstring_without_arguments_or_shape_is_found():
    source = '''
def fit(x: Array, y: Array, n: int) -> Array:
    """Fit.

    Args:
        x: sizes.
        y: losses.
    """
'''
    ((_, function),) = functions(ast.parse(source))
    assert list(faults_of(function)) == [
        "no Args entry for n",
        "no shape or columns of what it returns",
    ]
