"""What a recipe is, and how several are run with what they need."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from experiments.lab.lab import Lab

Result = TypeVar("Result")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


class NotRun(ValueError):
    """A result was asked for of a recipe that the world does not run."""


@dataclass(frozen=True, eq=False)
class Recipe(Generic[Result]):
    """A recipe: a function that trains what is missing in a lab and returns what it found.

    Attributes:
        run: takes a lab and the results of `needs`, in their order; returns a frozen dataclass.
        needs: recipes whose results it is given.
        part: of the talk: 1, using data better, or 2, making new data.
    """

    run: Callable[..., Result]
    needs: tuple[Recipe[Any], ...]
    part: int

    @property
    def name(self) -> str:
        """The name of the function, and of its file or folder in `experiments.recipes`."""
        return self.run.__name__

    @property
    def with_needs(self) -> dict[Recipe[Any], None]:
        """All that it builds on and the recipe itself, in an order in which they can be run."""
        return {one: None for need in self.needs for one in need.with_needs} | {self: None}


@overload
def recipe(*, part: int = 1) -> Callable[[Callable[[Lab], Result]], Recipe[Result]]: ...
@overload
def recipe(
    first: Recipe[A], /, *, part: int = 1
) -> Callable[[Callable[[Lab, A], Result]], Recipe[Result]]: ...
@overload
def recipe(
    first: Recipe[A], second: Recipe[B], /, *, part: int = 1
) -> Callable[[Callable[[Lab, A, B], Result]], Recipe[Result]]: ...
@overload
def recipe(
    first: Recipe[A], second: Recipe[B], third: Recipe[C], /, *, part: int = 1
) -> Callable[[Callable[[Lab, A, B, C], Result]], Recipe[Result]]: ...
def recipe(*needs: Recipe[Any], part: int = 1) -> Callable[[Callable[..., Any]], Recipe[Any]]:
    """Return a decorator that makes a recipe of a function.

    Args:
        needs: recipes whose results the function is given after the lab, in this order.
        part: of the talk: 1, using data better, or 2, making new data.
    """

    def register(run: Callable[..., Any]) -> Recipe[Any]:
        return Recipe(run=run, needs=needs, part=part)

    return register


@dataclass(frozen=True)
class Evidence:
    """What a result rests on.

    Attributes:
        runs: ids of the runs whose losses or weights were used.
        records: keys of what was measured on them, as "kind/key"; see `experiments.runs.records`.
    """

    runs: tuple[str, ...] = ()
    records: tuple[str, ...] = ()


class Results:
    """What recipes found in one world; `results[recipe]` has the type that the recipe returns.

    Args:
        world: name of the world.
        found: the result of each recipe.
        evidence: what each recipe asked for itself, without the recipes that it needs.
    """

    def __init__(
        self,
        world: str,
        found: Mapping[Recipe[Any], Any],
        evidence: Mapping[Recipe[Any], Evidence] | None = None,
    ) -> None:
        self.world = world
        self._found, self._evidence = dict(found), dict(evidence or {})
        self._read: dict[Recipe[Any], None] = {}

    def __getitem__(self, recipe: Recipe[Result]) -> Result:
        """Return what a recipe found.

        Raises:
            NotRun: the world does not run it.
        """
        self.require(recipe)
        result: Result = self._found[recipe]
        return result

    def require(self, *recipes: Recipe[Any]) -> None:
        """Note recipes as read.

        Raises:
            NotRun: the world does not run one of them.
        """
        for one in recipes:
            if one not in self._found:
                raise NotRun(f"world {self.world} does not run the recipe {one.name}")
            self._read[one] = None

    def __repr__(self) -> str:
        return f"results of world {self.world}: {', '.join(one.name for one in self)}"

    def __contains__(self, recipe: Recipe[Any]) -> bool:
        return recipe in self._found

    def __iter__(self) -> Iterator[Recipe[Any]]:
        return iter(self._found)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Mapping[Recipe[Any], None]]:
        """Give the recipes whose results are read in this block, in that order."""
        before, self._read = self._read, {}
        try:
            yield self._read
        finally:
            self._read = before | self._read

    def evidence(self, recipe: Recipe[Any]) -> Evidence:
        """Return the runs and records that a recipe asked for itself."""
        return self._evidence.get(recipe, Evidence())


class LazyResults(Results):
    """Results of recipes, each of which is run in a lab when its result is first read.

    Args:
        lab: where runs are trained and kept.
        recipes: in any order; all that they build on are included.
        known: results of other labs of the world, on which these recipes may build.
    """

    def __init__(
        self, lab: Lab, recipes: Iterable[Recipe[Any]], known: Results | None = None
    ) -> None:
        known = known or Results(lab.world.name, {})
        super().__init__(
            lab.world.name,
            {one: known[one] for one in known},
            {one: known.evidence(one) for one in known},
        )
        self._lab = lab
        self._recipes: dict[Recipe[Any], None] = {}
        for one in recipes:
            self._include(one)

    def _include(self, recipe: Recipe[Any]) -> None:
        """Add a recipe after all that it builds on and that is not known."""
        if recipe in self._found:
            return
        for need in recipe.needs:
            self._include(need)
        self._recipes[recipe] = None

    def require(self, *recipes: Recipe[Any]) -> None:
        """Run recipes that have not been run, and note them as read.

        Raises:
            NotRun: the world does not run one of them.
        """
        for one in recipes:
            self._run(one)
        super().require(*recipes)

    def __contains__(self, recipe: Recipe[Any]) -> bool:
        return recipe in self._recipes

    def __iter__(self) -> Iterator[Recipe[Any]]:
        return iter(self._recipes)

    def evidence(self, recipe: Recipe[Any]) -> Evidence:
        """Return the runs and records that a recipe asked for itself."""
        self._run(recipe)
        return super().evidence(recipe)

    def _run(self, recipe: Recipe[Any]) -> None:
        """Run a recipe and all that it builds on; runs and records carry the recipes' names."""
        if recipe not in self or recipe in self._found:
            return
        for need in recipe.needs:
            self._run(need)
        account = self._lab.account
        with self._lab.labeling(recipe.name):
            needed = [self._found[need] for need in recipe.needs]
            self._found[recipe] = recipe.run(self._lab, *needed)
        self._evidence[recipe] = Evidence(
            runs=tuple(
                sorted(id for id, spec in account.runs.items() if recipe.name in spec.recipes)
            ),
            records=tuple(sorted(account.read.get(recipe.name, ()))),
        )


def run_recipes(lab: Lab, recipes: Iterable[Recipe[Any]], known: Results | None = None) -> Results:
    """Return the results of recipes and of all that they build on; runs carry the recipes' names.

    Args:
        lab: where runs are trained and kept.
        recipes: in any order.
        known: results of other labs of the world, on which these recipes may build.

    Returns:
        The result of each that is not known, with what it rests on.
    """
    results = LazyResults(lab, recipes, known)
    results.require(*results)
    return results
