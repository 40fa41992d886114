"""Docstrings of public functions name their arguments and describe the arrays they return."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent
PACKAGES = [
    *("scaling", "graphsim", "models"),
    *("experiments/runs", "experiments/sweeps", "experiments/display"),
]
"""Packages that are checked."""

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
"""Beginnings of words that are not used in prose -> those that are."""
CODE = re.compile(
    r"```.*?```|`[^`]*`|\{[^{}]*\}|\b[A-Z]\w*[A-Z]\w*|https?://\S+"
    r"|^ +\*{0,2}\w+(?: \(.*\))?:(?=[ \n])",
    flags=re.MULTILINE | re.DOTALL,
)
"""Code, addresses and names of arguments, which keep their own spelling."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def is_public(path: Path) -> bool:
    return not any(part.startswith("_") and part != "__init__.py" for part in path.parts)


def files(package: str, *suffixes: str) -> list[Path]:
    return sorted(path for end in suffixes for path in (HOUSE / package).rglob(f"*{end}"))


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


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Sentences with the lines they begin at: a page, or the comments and strings of a module."""
    if path.suffix == ".md":
        yield 1, path.read_text(encoding="utf-8")
        return
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING) and " " in token.string:
                yield token.start[0], token.string


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


@pytest.mark.parametrize("package", PACKAGES)
def test_each_word_has_one_spelling(package):
    beginnings = re.compile("|".join(rf"\b{word}" for word in SPELLINGS), flags=re.IGNORECASE)
    faults = []
    for path in files(package, ".py", ".md"):
        for line, text in prose(path):
            for found in beginnings.findall(CODE.sub("", text)):
                better = SPELLINGS[found.lower()]
                faults.append(f"{path.relative_to(HOUSE)}:{line}: {found}: write {better}")
    assert not faults, "\n".join(faults)


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
