"""What to run and what came out: worlds, recipes, run store, claims, report, command line.

`open_results()` returns the results of the small world that come with the package; it is loaded on
first use, because what it needs takes seconds to import.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.story.story import open_results as open_results

__all__ = ["open_results"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'experiments' has no attribute {name!r}")
    from experiments.story.story import open_results

    return open_results
