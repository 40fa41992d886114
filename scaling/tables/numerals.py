"""Numbers as people write them: decimal commas, thousands, 1.3B, 43 %, and words such as NaN."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

NO_NUMBER = frozenset(
    {"", "-", "na", "n/a", "#n/a", "nan", "none", "null", "inf", "+inf", "-inf"}
    | {"infinity", "+infinity", "-infinity"}
)
"""Cells of a numeric column without a finite number, in lower case; diverged runs have them."""
POWERS = {"": 0, "%": -2, "k": 3, "m": 6, "b": 9, "g": 9, "t": 12}
SAMPLED = 50
"""Number of cells that are read first: if none is a number, the column holds labels."""
MOSTLY = 0.5
"""Smallest share of numbers among the distinct cells of a numeric column."""
SMALL = 1000.0
"""Beside 7M and 1.3B, a smaller number probably lacks its unit, if none is in thousands (10k)."""
_FORM = re.compile(
    r"([+\-\u2212]?)(\d[\d.,_'\u2019\u00a0\u202f ]*|[.,]\d+)([eE][+-]?\d+)?\s*([kKmMbBgGtT%]?)"
)
_PLAIN = re.compile(r"0|[1-9]\d*|")
_GROUPED = re.compile(r"[1-9]\d{0,2}([,._'\u2019\u00a0\u202f ])\d{3}(?:\1\d{3})*")
_ZERO = re.compile(r"^[+-]?0\d", flags=re.MULTILINE)
"""A leading zero, as in labels such as 007."""
_POINT = re.compile(r"^[+-]?(?:0|\d{4,}|)\.|\.(?!\d{3}$)", flags=re.MULTILINE)
"""A point that cannot group thousands."""


@dataclass(frozen=True, slots=True)
class Numeral:
    """A text as a number: its value by each decimal sign, and how it is written.

    Attributes:
        values: decimal sign -> value, for the signs by which it is a number.
        grouped: the signs by which its thousands are grouped.
        unit: what follows the digits: "", "%", "k", "M" and so on.
    """

    values: dict[str, float]
    grouped: frozenset[str]
    unit: str


def read_numeral(text: str) -> Numeral | None:
    """The number that a text stands for, or None if it is not a number."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    sign, body, exponent, unit = found.groups(default="")
    minus = "-" if sign in ("-", "\u2212") else ""
    power = int(exponent[1:] or 0) + POWERS[unit.lower()]
    values, grouped = {}, set()
    for decimal in (".", ","):
        whole, _, part = body.strip().partition(decimal)
        groups = None if exponent else _GROUPED.fullmatch(whole)
        if groups and groups[1] != decimal:
            grouped.add(decimal)
        elif not _PLAIN.fullmatch(whole):
            continue
        if re.fullmatch(r"\d*", part) and (whole or part):
            digits = re.sub(r"\D", "", whole)
            values[decimal] = float(f"{minus}{digits}.{part}e{power}")
    return Numeral(values, frozenset(grouped), unit) if values else None


def is_number(text: str) -> bool:
    """Whether a text is a number in any form."""
    return read_numeral(text) is not None


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Columns with their numbers.

    Attributes:
        columns: column -> numbers (n_rows,), or the cells of a column that does not hold numbers.
        notes: how the cells were interpreted, in a few words each.
        doubts: column -> (row, why) of a number that is ambiguous, for an error if it is used.
    """

    columns: dict[str, Any]
    notes: tuple[str, ...]
    doubts: dict[str, tuple[int, str]]


def convert(
    columns: Mapping[str, list[Any]], *, decimal: str | None = None, local: bool = False
) -> Converted:
    """Columns with numbers in place of text, if most of their cells are numbers.

    The decimal sign of a column is the one that all its cells allow. A column that allows both,
    such as 3,905 and 2,517, has the one that other columns show; else it is in doubt.

    Args:
        columns: column -> cells (n_rows,), text or other values.
        decimal: the decimal sign, "." or ",", if it is known.
        local: whether the file may come from a program that writes decimal commas, so that 3.905
            may be 3905.

    Raises:
        ValueError: `decimal` is another sign.
    """
    if decimal not in (None, ".", ","):
        raise ValueError(f"`decimal` must be . or a comma; not {decimal!r}")
    read = {name: _read(cells, quick=decimal != ",") for name, cells in columns.items()}
    evidence = {sign for column in read.values() if len(column.signs) == 1 for sign in column.signs}
    done: dict[str, Any] = {}
    doubts: dict[str, tuple[int, str]] = {}
    kinds: dict[str, list[str]] = {}
    for name, column in read.items():
        sign, doubt = _decided(column, decimal, evidence, local)
        if doubt or column.doubt:
            row = column.cells.index(column.example) if column.example else 0
            doubts[name] = row, doubt or column.doubt
            done[name] = column.cells
        elif column.quick is not None and sign == ".":
            done[name] = column.quick
        elif column.is_numeric:
            done[name], used = column.numbers(sign)
            for kind in used:
                kinds.setdefault(kind, []).append(name)
        else:
            done[name] = _labels(column.cells)
    notes = tuple(f"{kind} in {', '.join(kinds[kind])}" for kind in sorted(kinds))
    return Converted(columns=done, notes=notes, doubts=doubts)


@dataclass(frozen=True, kw_only=True)
class _Column:
    """The cells of a column, read as far as the column alone can show.

    Attributes:
        cells: as written.
        quick: its numbers with a decimal point, if Python reads all its cells.
        numerals: text -> its number, or None if it is not a number.
        signs: the decimal signs that all its numbers allow; empty if both give the same values.
        example: a number that both signs read differently, or that is in doubt.
        doubt: why its numbers are ambiguous, whatever the sign.
    """

    cells: list[Any]
    quick: Any = None
    numerals: dict[str, Numeral | None] = field(default_factory=dict)
    signs: frozenset[str] = frozenset()
    example: str = ""
    doubt: str = ""

    @property
    def is_numeric(self) -> bool:
        """Whether the column holds numbers."""
        return self.quick is not None or bool(self.numerals)

    def numbers(self, sign: str) -> tuple[Any, set[str]]:
        """The numbers by a decimal sign, other cells as written, and the forms that were found."""
        found: dict[str, Any] = {}
        kinds = set()
        for text, numeral in (self.numerals or _numerals(self.cells)).items():
            if numeral is None or sign not in numeral.values:
                word = text.lower()
                missing = math.nan if "inf" not in word else math.inf * (-1 if "-" in word else 1)
                found[text] = missing if word in NO_NUMBER else text
                continue
            found[text] = numeral.values[sign]
            if sign == "," and "," in text:
                kinds.add("decimal comma")
            if sign in numeral.grouped:
                kinds.add("thousands separators")
            if numeral.unit:
                kinds.add("percent as fractions" if numeral.unit == "%" else "units (1M = 1e6)")
        values = [found[cell] if isinstance(cell, str) else cell for cell in self.cells]
        if not any(isinstance(value, str) for value in values):
            return np.array([math.nan if value is None else value for value in values]), kinds
        return values, kinds


def _decided(
    column: _Column, decimal: str | None, evidence: set[str], local: bool
) -> tuple[str, str]:
    """The decimal sign of a column, and why it is in doubt, if it is."""
    if decimal is not None:
        wrong = column.signs and decimal not in column.signs
        return decimal, f"its cells are not numbers with decimal {decimal!r}" if wrong else ""
    if len(column.signs) < 2:
        return next(iter(column.signs), "."), ""
    # other columns can confirm a decimal sign, but not that a sign groups thousands
    sign = "," if "," in column.example else "."
    if evidence == {sign} or not (evidence or local or sign == ","):
        return sign, ""
    return ".", (
        f"{column.example!r} may be thousands or a decimal number: give the decimal sign, "
        "`--decimal .` or `--decimal ,`"
    )


def _labels(cells: list[Any]) -> list[Any]:
    """The cells as labels or switches, None where they are empty."""
    switches = ("true", "false")
    if all(isinstance(cell, str) and cell.lower() in switches for cell in cells):
        return [cell.lower() == "true" for cell in cells]
    if cells and isinstance(cells[0], str) and "" not in cells:
        return cells
    return [None if isinstance(cell, str) and not cell else cell for cell in cells]


def _read(cells: list[Any], *, quick: bool) -> _Column:
    if quick and (found := _quick(cells)) is not None:
        return found
    numerals = _numerals(cells)
    if not numerals:
        return _Column(cells=cells)
    numbers = [numeral for numeral in numerals.values() if numeral is not None]
    signs = frozenset(sign for sign in ".," if all(sign in numeral.values for numeral in numbers))
    differ = [
        text
        for text, numeral in numerals.items()
        if numeral is not None and len(set(numeral.values.values())) > 1
    ]
    units = {numeral.unit for numeral in numbers}
    odd = doubt = ""
    large = {unit for unit in units if POWERS[unit.lower()] >= POWERS["m"]}
    if not signs or len({sign for text in differ for sign in text if sign in ".,"}) > 1:
        odd = next(t for t, found in numerals.items() if found and ("," in t or t.count(".") > 1))
        doubt = f"{odd!r} has another decimal sign than other cells"
    elif "%" in units and len(units) > 1:
        odd = _first(numerals, lambda numeral: numeral.unit == "%")
        doubt = f"{odd!r} is in percent and other cells are not"
    elif large & units and not {"k", "K"} & units and (small := _first_small(numerals)):
        odd, doubt = small, f"{small!r} has no unit and other cells have"
    elif "m" in units and units <= {"m", ""}:
        odd = _first(numerals, lambda numeral: numeral.unit == "m")
        doubt = f"{odd!r} may be millions or minutes: write millions with M"
    return _Column(
        cells=cells,
        numerals=numerals,
        signs=signs if differ or len(signs) < 2 else frozenset(),
        example=odd or max(differ, key=lambda text: "," in text, default=""),
        doubt=doubt,
    )


def _first_small(numerals: Mapping[str, Numeral | None]) -> str:
    """The first number without a unit that is too small to stand beside millions, or ""."""
    for text, numeral in numerals.items():
        if numeral and not numeral.unit and 0 < max(map(abs, numeral.values.values())) < SMALL:
            return text
    return ""


def _first(numerals: Mapping[str, Numeral | None], chosen: Callable[[Numeral], bool]) -> str:
    """The first text whose number has a property."""
    return next(text for text, numeral in numerals.items() if numeral and chosen(numeral))


def _quick(cells: list[Any]) -> _Column | None:
    """A column that Python reads as numbers, or None."""
    try:
        text = "\n".join(cells)
        labels = "\n0" in f"\n{text}" and _ZERO.search(text)
        if "_" in text or labels:
            return None
        filled = [cell or "nan" for cell in cells] if "" in cells else cells
        values = np.fromiter(map(float, filled), float, len(cells))
    except (TypeError, ValueError):
        return None
    if "." not in text:
        whole = np.isfinite(values).all() and (np.abs(values) < 2**53).all()
        plain = whole and "e" not in text and "E" not in text
        return _Column(cells=cells, quick=values.astype(np.int64) if plain else values)
    if _POINT.search(text):
        return _Column(cells=cells, quick=values, signs=frozenset("."))
    example = next(cell for cell in cells if "." in cell)
    return _Column(cells=cells, quick=values, signs=frozenset(".,"), example=example)


def _numerals(cells: list[Any]) -> dict[str, Numeral | None]:
    """The distinct texts of a column and their numbers; empty unless most of them are numbers."""
    words = (c for c in cells if isinstance(c, str) and c.lower() not in NO_NUMBER)
    first = list(islice(words, SAMPLED))
    if not first:
        # words such as NaN among the numbers of JSON
        numbers = any(type(cell) in (int, float) for cell in cells)
        return {cell: None for cell in cells if isinstance(cell, str)} if numbers else {}
    if not any(map(is_number, first)):
        return {}
    numerals = {cell: read_numeral(cell) for cell in dict.fromkeys(cells) if isinstance(cell, str)}
    known = [text for text in numerals if text.lower() not in NO_NUMBER]
    share = sum(numerals[text] is not None for text in known) / len(known)
    return numerals if share >= MOSTLY else {}
