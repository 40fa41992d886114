"""One true table written in many ways: its numbers come back, or the file is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling import LAWS, read_runs
from scaling.fitting.table import read_table

SIZES = [1_234_000, 3_000_000, 10_500_000, 30_000_000, 123_456_000, 1_000_000_000, 2_345]
LOSSES = [4.31, 3.905, 3.56, 3.312, 3.105, 2.96, 5.5]
TRUTH = dict(zip(SIZES, LOSSES, strict=True))
NOTES = ["", "a; b", "a, b", 'say "x"', "1,5", "NA", "two\nlines", "caf\u00e9", "# 3", "1.3B"]
NOT_A_NUMBER = ["", "nan", "NaN", "Infinity", "-", "null"]


def grouped(value: float, digits: int, sign: str, decimal: str) -> str:
    text = f"{value:,.{digits}f}"
    return text.translate(str.maketrans({",": sign, ".": decimal}))


@st.composite
def tables(draw) -> tuple[bytes, set[int]]:
    """The table in some way of writing, and the sizes whose loss is not a number in it."""
    pick = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    decimal, style = pick(".", ","), pick("plain", "grouped", "units", "scientific", "point")
    group = pick("'", "\u202f", " ", "_", "." if decimal == "," else ",")
    separator = pick(",", ";", "\t", "|")
    order = draw(st.permutations(SIZES))
    lost = draw(st.sets(st.sampled_from(SIZES), max_size=3))
    digits = pick(None, 2, 3)

    def size(n: int) -> str:
        written = {
            "plain": f"{n}",
            "point": f"{n:.1f}".replace(".", decimal),
            "grouped": grouped(n, 0, group, decimal),
            "scientific": f"{n:e}".replace(".", decimal),
            "units": f"{n / 1e6:.12g}{pick('M', ' M')}".replace(".", decimal),
        }
        return written[style]

    def loss(n: int) -> str:
        if n in lost:
            return pick(*NOT_A_NUMBER)
        value = TRUTH[n]
        text = repr(value) if digits is None else f"{value:.{max(digits, len(repr(value)) - 2)}f}"
        return text.replace(".", decimal)

    header = ["n_params", "loss", "note"]
    rows = [[size(n), loss(n), pick(*NOTES)] for n in order]
    places = draw(st.permutations(range(3)))
    header, *rows = ([row[at] for at in places] for row in [header, *rows])
    if pick(False, False, False, True):
        return as_json(header, rows, pick, numbers=decimal == "."), lost
    if pick(False, False, True):
        header = [f" {cell} " if draw(st.booleans()) else cell for cell in header]
    extra = pick("", "", "", "end", "short", "twice", "header again", "open header")
    if extra == "twice":
        header = [*header, "loss"]
        rows = [[*row, "9.5"] for row in rows]
    elif extra == "end":
        rows = [[*row, ""] for row in rows]
    elif extra == "short":
        rows[2] = rows[2][:-1]
    elif extra == "header again":
        rows.insert(3, header)
    elif extra == "open header":
        header = [*header, ""]
    quoting = pick(csv.QUOTE_MINIMAL, csv.QUOTE_ALL, None)
    end = pick("\n", "\r\n")
    if quoting is None:
        text = "".join(separator.join(row) + end for row in [header, *rows])
    else:
        file = io.StringIO()
        csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting).writerows(
            [header, *rows]
        )
        text = file.getvalue()
    text = pick("", "", "\n", "# exported\n", f"sep={separator}\n", "My runs\n") + text
    content = text.encode(pick("utf-8", "utf-8-sig", "utf-16", "cp1252"), "replace")
    return gzip.compress(content, 1) if pick(False, False, True) else content, lost


def as_json(header: list[str], rows: list[list[str]], pick, *, numbers: bool) -> bytes:
    """The same cells as JSON, with numbers or with texts."""

    def cell(text: str):
        try:
            return float(text) if numbers and "_" not in text and pick(True, False) else text
        except ValueError:
            return text

    objects = [dict(zip(header, map(cell, row), strict=True)) for row in rows]
    form = pick("lines", "list", "indented", "keyed", "columns")
    if form == "lines":
        return "\n".join(map(json.dumps, objects)).encode()
    if form == "keyed":
        return json.dumps({f"r{at}": row for at, row in enumerate(objects)}).encode()
    if form == "columns":
        return json.dumps({key: [row[key] for row in objects] for key in header}).encode()
    return json.dumps(objects, indent=1 if form == "indented" else None).encode()


def check(table: tuple[bytes, set[int]], path) -> str:
    """Check what a fit reads of a table; return "read", or how the table is refused."""
    content, lost = table
    path.write_bytes(content)
    try:
        frame = read_runs(path)
    except ValueError as error:
        said = str(error)
    else:
        try:
            fitted = read_table(frame, LAWS["power"], x="n_params", leave_out=True)
        except ValueError as error:
            return f"not fitted: {error}"
        found = dict(zip(fitted.columns["n_params"], fitted.y, strict=True))
        assert found == {n: y for n, y in TRUTH.items() if n not in lost}
        assert sum(fitted.excluded.values()) == len(lost)
        return "read"
    assert said.startswith("runs.csv")
    return f"refused: {said}"


HEALTH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@given(table=tables())
@settings(max_examples=100, deadline=None, suppress_health_check=HEALTH)
def test_a_table_is_read_as_it_was_written_or_refused(tmp_path, table):
    check(table, tmp_path / "runs.csv")


@pytest.mark.long
@pytest.mark.parametrize("n_tables", [600, pytest.param(2000, marks=pytest.mark.exhaustive)])
def test_many_tables_are_read_as_written_or_refused_and_most_are_read(tmp_path, n_tables):
    outcomes: list[str] = []

    @given(table=tables())
    @settings(max_examples=n_tables, deadline=None, suppress_health_check=HEALTH, database=None)
    def each(table):
        outcomes.append(check(table, tmp_path / "runs.csv"))

    each()
    assert len(outcomes) >= n_tables
    # cp1252, titles and rows cut off are always refused, decimal signs without evidence mostly
    assert outcomes.count("read") > 0.3 * len(outcomes)
