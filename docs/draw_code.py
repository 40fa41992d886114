"""Update the map of the code: the picture `pictures/code.svg` and the tables of `code.md`.

python docs/draw_code.py
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from statistics import fmean

import networkx as nx

HOUSE = Path(__file__).parent.parent
PAGE = HOUSE / "docs" / "code.md"
PICTURE = HOUSE / "docs" / "pictures" / "code.svg"
PACKAGES = ("paper_figs", "models", "scaling", "graphsim")
"""Packages that are one box; of `experiments`, each folder is a box."""
TABLE = re.compile(r"(<!-- folders of (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
WIDTH, HEIGHT, GAP, RISE = 96, 30, 16, 62
"""Size of a box, and the distance to the next one to the right and above, in pixels."""
COLORS = {"experiments": "#0072B2", "paper_figs": "#D55E00"}


def import_graph() -> nx.DiGraph:
    """Return which boxes import which others directly, without arrows that follow from others."""
    graph: nx.DiGraph = nx.DiGraph()
    for package in ("experiments", *PACKAGES):
        for path in (HOUSE / package).rglob("*.py"):
            box = _box(".".join(path.relative_to(HOUSE).parts))
            imported = {_box(name) for name in _imported(path)} - {"", box}
            if box:
                graph.add_edges_from((box, other) for other in imported)
    return nx.transitive_reduction(graph)


def _box(module: str) -> str:
    """Return the box that a module is in; empty for modules of other projects."""
    first, _, rest = module.partition(".")
    if first == "experiments":
        folder = rest.split(".")[0]
        return f"experiments/{folder}" if (HOUSE / "experiments" / folder).is_dir() else ""
    return first if first in PACKAGES else ""


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
    return names


def draw(graph: nx.DiGraph) -> str:
    """Return the picture as SVG, with each box above those that it imports."""
    rows = [list(row) for row in nx.topological_generations(graph.reverse())]
    level = {box: i for i, row in enumerate(rows) for box in row}
    chains: nx.DiGraph = nx.DiGraph()  # an arrow has a point in each row between its ends
    chains.add_nodes_from(graph)
    for box, other in sorted(graph.edges):
        title = f"{box} imports {other}"
        between = {f"{title}, row {i}": i for i in range(level[other] + 1, level[box])}
        for point, i in between.items():
            rows[i].append(point)
        nx.add_path(chains, [other, *between, box], title=title)
    centers = _centers(chains, rows)
    width = max(centers.values()) + WIDTH // 2 + GAP
    height = len(rows) * RISE + GAP
    top = {name: height - (i + 1) * RISE for i, row in enumerate(rows) for name in row}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#777777"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for other, box, title in sorted(chains.edges(data="title")):
        x, y, to_x, to_y = centers[box], top[box], centers[other], top[other]
        start = y + HEIGHT if box in graph else y  # a point has no height: draw through its row
        middle, end = (y + HEIGHT + to_y) // 2, ' marker-end="url(#tip)"' if other in graph else ""
        parts.append(
            f'<path d="M{x} {start}V{y + HEIGHT}C{x} {middle} {to_x} {middle} {to_x} {to_y}" '
            f'fill="none" stroke="#777777"{end}><title>{title}</title></path>'
        )
    for box in sorted(graph):
        package, _, folder = box.partition("/")
        parts.append(
            f'<rect x="{centers[box] - WIDTH // 2}" y="{top[box]}" width="{WIDTH}" '
            f'height="{HEIGHT}" rx="5" fill="white" stroke="{COLORS.get(package, "#009E73")}" '
            f'stroke-width="1.5"/><text x="{centers[box]}" y="{top[box] + 20}" '
            f'text-anchor="middle">{folder or package}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _centers(chains: nx.DiGraph, rows: list[list[str]]) -> dict[str, int]:
    """Return the horizontal centre of each name, with rows ordered so that few arrows cross."""
    centers: dict[str, int] = {}
    for row in [*rows, *rows[::-1], *rows]:  # upwards, downwards, upwards
        order = {
            name: fmean(
                [centers[near] for near in nx.all_neighbors(chains, name) if near in centers] or [0]
            )
            for name in row
        }
        row.sort(key=lambda name: (order[name], name))
        widths = [WIDTH if " " not in name else 0 for name in row]
        left = 300 - (sum(widths) + GAP * (len(row) - 1)) // 2
        for name, width in zip(row, widths, strict=True):
            centers[name] = left + width // 2
            left += width + GAP
    leftmost = min(centers[name] - (WIDTH // 2 if " " not in name else 0) for name in centers)
    return {name: center - leftmost + GAP for name, center in centers.items()}


def with_tables(page: str) -> str:
    """Return the page with current tables: a line per folder, from the docstring of its package."""
    return TABLE.sub(lambda found: found[1] + _table(found[2]) + found[3], page)


def _table(package: str) -> str:
    rows = [
        f"| `{path.parent.relative_to(HOUSE).as_posix()}/` | {_first_line(path)} |\n"
        for path in sorted((HOUSE / package).rglob("__init__.py"))
    ]
    return "".join(["\n| folder | contents |\n|---|---|\n", *rows, "\n"])


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].replace("|", r"\|")


if __name__ == "__main__":
    PICTURE.write_text(draw(import_graph()), encoding="utf-8")
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
