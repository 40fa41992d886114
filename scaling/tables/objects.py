"""JSON as tools write it: objects one after another, lists, runs by name, columns, logs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaling.tables.raw import RawTable

NESTED = ("config", "summary", "summary_metrics")
"""Columns of wandb whose parts are columns of their own."""
WALL_TIME = 1e9
"""Smallest number that is taken for a wall time, in seconds since 1970."""
SPLIT = {"columns", "data"}
"""Keys of a table in which pandas or wandb stores column names and rows separately."""

Row = Mapping[str, Any]


def read_objects(name: str, text: str) -> RawTable:
    """Cells of JSON: nested objects become columns with dotted names.

    It may be objects one after another (JSON lines, also over several lines each), a list of
    objects, an object with one list of objects (`log_history` of a Hugging Face Trainer), runs by
    name, columns by name, or what TensorBoard saves of a scalar.

    Raises:
        ValueError: the text has another form, or an object has a key twice; the message names the
            line.
    """
    text = text.rstrip()
    values = list(_values(name, text))
    if len(values) == 1 and isinstance(values[0][1], list):
        values = list(_values(name, text, inside=text.index("[") + 1))
        if found := _events(values):
            return RawTable(
                name=name, columns=found, lines=[line for line, _ in values],
                notes=("lists as wall time, step and value of TensorBoard",),
            )  # fmt: skip
    elif len(values) == 1:
        return _one_object(name, *values[0])
    for line, value in values:
        if not isinstance(value, dict):
            raise ValueError(f"{name}, line {line}: not an object: {json.dumps(value)[:40]}")
    return nested_rows(name, [value for _, value in values], [line for line, _ in values])


def _values(name: str, text: str, inside: int | None = None) -> Iterator[tuple[int, Any]]:
    """Yield the values of a text, or of a list in it, each with the line that it starts at."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    skip = re.compile(r"[\s,]*" if inside else r"\s*")
    position, line, counted = inside or 0, 1, 0
    while True:
        position = skip.match(text, position).end()  # type: ignore[union-attr]
        line, counted = line + text.count("\n", counted, position), position
        if position >= len(text) or (inside and text[position] == "]"):
            return
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            at = line + text.count("\n", counted, error.pos)
            raise ValueError(f"{name}, line {at}: not JSON: {error.msg}") from error
        except (_TwiceError, RecursionError) as error:
            raise ValueError(f"{name}, line {line}: {error}") from error
        yield line, value


class _TwiceError(Exception):
    """A key occurs twice in an object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"the key {twice!r} appears more than once in an object")
    return found


def _events(values: Sequence[tuple[int, Any]]) -> dict[str, list[Any]] | None:
    """Columns of the JSON that TensorBoard saves of a scalar, or None if it is something else."""
    for _, value in values:
        if not (isinstance(value, list) and len(value) == 3):
            return None
        if not all(type(part) in (int, float) for part in value[:2]) or value[0] < WALL_TIME:
            return None
    columns = zip(*(value for _, value in values), strict=True)
    return {
        column: list(cells)
        for column, cells in zip(("Wall time", "Step", "Value"), columns, strict=True)
    }


def _one_object(name: str, line: int, value: Any) -> RawTable:
    """Rows of a file that is one object."""
    if not isinstance(value, dict):
        raise ValueError(f"{name}, line {line}: not an object: {json.dumps(value)[:40]}")
    if value.keys() >= SPLIT and all(isinstance(value[key], list) for key in SPLIT):
        return _split(name, value["columns"], value["data"])
    lists = {key: part for key, part in value.items() if _is_rows(part)}
    if len(lists) == 1 and not (set(value) & set(NESTED)):
        [(key, rows)] = lists.items()
        return nested_rows(
            name, rows, range(1, len(rows) + 1), notes=(f"the objects of {key!r} as rows",)
        )
    parts = list(value.values())
    if parts and not (set(value) & set(NESTED)):
        if all(isinstance(part, list) for part in parts):
            if len({len(part) for part in parts}) > 1:
                raise ValueError(f"{name}: the lists, one per column, differ in length")
            return RawTable(name=name, columns=value, lines=range(1, len(parts[0]) + 1))
        if all(isinstance(part, dict) and part for part in parts):
            return _by_name(name, value)
    return nested_rows(name, [value], [line])


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _split(name: str, columns: list[Any], rows: list[Any]) -> RawTable:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != len(columns):
            raise ValueError(f"{name}, row {number} of `data`: not {len(columns)} cells")
    if len(set(map(str, columns))) < len(columns):
        raise ValueError(f"{name}: `columns` names a column more than once")
    return RawTable(
        name=name,
        columns={str(column): [row[at] for row in rows] for at, column in enumerate(columns)},
        lines=range(1, len(rows) + 1),
    )


def _by_name(name: str, value: dict[str, dict[str, Any]]) -> RawTable:
    """Rows of an object of objects: columns by row number, as pandas writes them, or runs by name.

    Columns have the same keys, 0 to the number of rows.
    """
    keys = [str(number) for number in range(len(next(iter(value.values()))))]
    if len(keys) > 1 and all(list(part) == keys for part in value.values()):
        return RawTable(
            name=name,
            columns={column: list(part.values()) for column, part in value.items()},
            lines=range(1, len(keys) + 1),
            notes=("one object per column",),
        )
    rows = [part if "run" in part else {"run": run, **part} for run, part in value.items()]
    return nested_rows(
        name, rows, range(1, len(rows) + 1), notes=("the key of each object as its run",)
    )


def nested_rows(
    name: str, rows: Sequence[Row], lines: Sequence[int], *, notes: tuple[str, ...] = ()
) -> RawTable:
    """Table of nested objects, with dotted names and without the wrappers of wandb.

    The parts of `config`, `summary` and `{"value": v}` have their own names. Names that occur twice
    keep `config.` or `summary.` in front, unless all values are the same.

    Args:
        name: name of the file, for messages.
        rows: one object per row.
        lines: line of each row (n_rows,).
        notes: how the file was interpreted so far.

    Raises:
        ValueError: two parts of an object have the same dotted name.
    """
    flat = [_flat(name, line, row) for line, row in zip(lines, rows, strict=True)]
    origins: dict[str, dict[str, None]] = {}
    for row in flat:
        for origin, column in row:
            origins.setdefault(column, {})[origin] = None
    columns: dict[str, list[Any]] = {}
    for column, found in origins.items():
        cells = {origin: [row.get((origin, column)) for row in flat] for origin in found}
        first, *others = cells.values()
        if all(other == first for other in others):
            columns[column] = first
            continue
        for origin, values in cells.items():
            columns[f"{origin}.{column}" if origin else column] = values
    of_runs = any(origin for row in flat for origin, _ in row)
    return RawTable(name=name, columns=columns, lines=lines, notes=notes, of_runs=of_runs)


def _flat(name: str, line: int, row: Row) -> dict[tuple[str, str], Any]:
    """Parts of an object by the wrapper that they are in, or "", and their dotted name."""
    flat: dict[tuple[str, str], Any] = {}
    for column, value in row.items():
        wrapped = column in NESTED and isinstance(value, dict)
        for path, part in _leaves("" if wrapped else column, value):
            place = (column if wrapped else "", path)
            if place in flat:
                raise ValueError(f"{name}, line {line}: {path!r} appears more than once")
            flat[place] = part
    return flat


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if _is_rows(value) and all("key" in part and "value" in part for part in value):
        for part in value:  # as MLflow's server gives metrics, parameters and tags
            yield from _leaves(f"{path}.{part['key']}", part["value"])
    elif not isinstance(value, dict):
        yield path, value
    elif path and (set(value) == {"value"} or set(value) == {"value", "desc"}):
        yield from _leaves(path, value["value"])
    else:
        for key, part in value.items():
            yield from _leaves(f"{path}.{key}" if path else key, part)


def with_objects_read(table: RawTable) -> RawTable:
    """The table with the dictionaries in `config` and `summary` as columns.

    They may be printed by Python or written as JSON, as in tables made from wandb's API.

    Raises:
        ValueError: a cell is not a dictionary; the message names the line.
    """
    wrapped = [
        column
        for column in NESTED
        if any(str(cell).startswith("{") for cell in table.columns.get(column, ()))
    ]
    if not wrapped:
        return table
    columns = {
        column: [
            _dictionary(f"{table.name}, line {line}", cell)
            for line, cell in zip(table.lines, cells, strict=True)
        ]
        if column in wrapped
        else cells
        for column, cells in table.columns.items()
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    notes = (*table.notes, f"the parts of {' and '.join(wrapped)} as columns")
    found = nested_rows(table.name, rows, table.lines, notes=notes)
    return RawTable(**{**vars(found), "separator": table.separator})


def _dictionary(where: str, cell: Any) -> Any:
    if not isinstance(cell, str) or not cell:
        return cell or {}
    try:
        return json.loads(cell, object_pairs_hook=_object)
    except _TwiceError as error:
        raise ValueError(f"{where}: {error}") from error
    except (json.JSONDecodeError, RecursionError):
        pass
    plain = re.sub(r"(?<![\w'\".])-?(nan|inf)(?![\w'\"])", "None", cell)
    try:
        return dict(ast.literal_eval(plain))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{where}: this is not a dictionary: {cell[:40]}") from error
