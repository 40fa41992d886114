"""The talk's claims as statements that runs can support or contradict.

A claim is one function in a module of this folder, found by listing it; its docstring is the
decision rule. A rule is written before any run is looked at, and must be able to fail and to pass;
one that was changed later has a line with its date and reason in docs/claims-rules.md. A limit that
is not identified makes a claim inconclusive. Intervals are 95 %, over what the claim says;
hyperparameters are selected on the validation part and losses reported on the test part, in nats
per token.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from experiments.analysis.intervals import Estimate, rounded
from experiments.display.tables import text_table
from experiments.lab.recipe import NotRun, Recipe
from experiments.story.limits import standard_is_tuned
from experiments.story.story import Story
from experiments.tuning.search import Tuned
from scaling.results import markup

Verdict = Literal["supported", "contradicted", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim with its verdict.

    Attributes:
        id: as in the list of claims (P Part 1, S Part 2, N new here), with a letter where a
            statement has several sentences that are judged apart.
        statement: what the talk says.
        verdict: supported, contradicted or inconclusive.
        quantity: what was measured.
        value: the measurement.
        low: lower end of its 95 % interval.
        high: upper end.
        detail: the figures behind the verdict, and why it is inconclusive where it is.
        rule: how the verdict was decided.
        n_samples: independent samples behind the interval.
        interval_of: what it is over: seeds, members, sizes or graphs.
        recipes: names of the recipes whose results were read, and of those that they build on.
        runs: ids of the runs that these recipes trained or found.
        records: keys of what was measured on them, see `experiments.runs.records`.
    """

    id: str
    statement: str
    verdict: Verdict
    quantity: str
    value: float
    low: float
    high: float
    detail: str
    rule: str
    n_samples: int
    interval_of: str = "seeds"
    recipes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    records: tuple[str, ...] = ()

    @property
    def measurement(self) -> str:
        """The value with its interval, or why it could not be measured."""
        if math.isnan(self.value):
            return self.detail
        if math.isinf(self.low) and math.isinf(self.high):
            return "not identified"
        low = rounded(self.low, 3) if math.isfinite(self.low) else "no lower end"
        high = rounded(self.high, 3) if math.isfinite(self.high) else "no upper end"
        return f"{rounded(self.value, 3)} [{low}, {high}]"

    @property
    def sentence(self) -> str:
        """Id, verdict and statement, such as "P9 supported: Ensemble loss falls about as 1/K."."""
        return f"{self.id} {self.verdict}: {self.statement}"

    @property
    def headline(self) -> str:
        """The measurement in a line, and the figures behind it."""
        if math.isnan(self.value):
            return f"{self.quantity}: {self.detail}"
        return f"{self.quantity}: {self.measurement}. {self.detail}".rstrip()

    def _repr_html_(self) -> str:
        return claim_html(self)


class Claims(list[Claim]):
    """Claims in the order of the talk, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return claims_html(self)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a claim's function measured; the fields are those of `Claim`.

    Attributes:
        verdict: see the function `verdict`.
        quantity: what was measured.
        estimate: the measurement with its interval.
        detail: the figures behind the verdict.
        interval_of: what the interval is over.
    """

    verdict: Verdict
    quantity: str
    estimate: Estimate
    detail: str
    interval_of: str = "seeds"


Test = Callable[[Story], Claim]
_TESTS: dict[str, Test] = {}
_PARTS = "PSN"
"""First letters of ids: Part 1, Part 2, new here."""


def claim(id: str, statement: str) -> Callable[[Callable[[Story], Finding]], Test]:
    """Return a decorator that registers a function as a claim; its docstring becomes the rule.

    Args:
        id: as in the list of claims: P Part 1, S Part 2, N new here; a letter at the end counts the
            sentences that are judged apart, such as P18a.
        statement: what the talk says.

    Raises:
        ValueError: the id has another form, or is that of another claim.
    """
    _order(id)

    def register(judge: Callable[[Story], Finding]) -> Test:
        taken = _TESTS.get(id, judge)
        if (taken.__module__, taken.__qualname__) != (judge.__module__, judge.__qualname__):
            raise ValueError(
                f"claim id {id} is already that of {taken.__module__}.{taken.__qualname__}"
            )
        rule = " ".join((inspect.getdoc(judge) or "").split())

        @functools.wraps(judge)
        def test(story: Story) -> Claim:
            found = judge(story)
            return Claim(
                id=id, statement=statement, rule=rule, verdict=found.verdict,
                quantity=found.quantity, value=found.estimate.value, low=found.estimate.low,
                high=found.estimate.high, detail=found.detail, n_samples=found.estimate.n,
                interval_of=found.interval_of,
            )  # fmt: skip

        _TESTS[id] = test
        return test

    return register


def _tests() -> dict[str, Test]:
    """Return the function of every claim by its id; importing a module registers its claims."""
    for path in Path(__file__).parent.glob("[!_]*.py"):
        importlib.import_module(f"experiments.claims.{path.stem}")
    return _TESTS


def claim_ids() -> frozenset[str]:
    """Return the ids of all claims."""
    return frozenset(_tests())


def judge_claims(story: Story) -> Claims:
    """Return every claim that the runs of a story can test, in the order of the talk.

    A claim on a recipe that the world does not run is left out.
    """
    claims = []
    for id in _tests():
        with contextlib.suppress(NotRun):
            claims.append(judge_claim(story, id))
    return Claims(sorted(claims, key=lambda it: _order(it.id)))


def judge_claim(story: Story, id: str) -> Claim:
    """Return one claim; of shipped results, only the recipes that it reads are evaluated.

    Args:
        story: results of a world.
        id: as in the list of claims, such as "P8".

    Raises:
        ValueError: there is no such claim.
        NotRun: the world does not run a recipe that it reads.
    """
    if id not in _tests():
        known = ", ".join(in_order(claim_ids()))
        raise ValueError(f"claim must be one of {known}; not {id!r}")
    with story.results.reading() as read:
        return _with_evidence(_tests()[id](story), story, read)


def in_order(ids: Iterable[str]) -> list[str]:
    """Return ids of claims in the order of the talk."""
    return sorted(ids, key=_order)


def _order(id: str) -> tuple[int, int, str]:
    """Return the place of an id: by part, number and letter."""
    parts = re.fullmatch(rf"([{_PARTS}])(\d+)([a-z]?)", id)
    if parts is None:
        raise ValueError(
            f"a claim's id is one of {_PARTS}, a number and perhaps a letter; not {id!r}"
        )
    return _PARTS.index(parts[1]), int(parts[2]), parts[3]


def _with_evidence(claim: Claim, story: Story, read: Iterable[Recipe[Any]]) -> Claim:
    """Return a claim with the runs and records of the recipes that its function read."""
    behind = {one: None for recipe in read for one in recipe.with_needs}
    evidence = [story.results.evidence(one) for one in behind]
    return replace(
        claim,
        recipes=tuple(one.name for one in behind),
        runs=tuple(sorted({run for of in evidence for run in of.runs})),
        records=tuple(sorted({record for of in evidence for record in of.records})),
    )


def verdict(*, supported: bool, contradicted: bool) -> Verdict:
    """Return the verdict of the two halves of a rule; neither or both is inconclusive."""
    if supported == contradicted:
        return "inconclusive"
    return "supported" if supported else "contradicted"


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """Return a row a claim, with columns `id`, `the talk says`, `verdict`, `measured`, `n`."""
    return pd.DataFrame(
        [
            {
                "id": claim.id,
                "the talk says": claim.statement,
                "verdict": claim.verdict,
                "measured": claim.headline,
                "n": claim.n_samples,
            }
            for claim in claims
        ]
    )


def claims_html(claims: Sequence[Claim]) -> str:
    """Return claims as HTML, a row each."""
    return markup.fragment(f"{len(claims)} claims", tables=[text_table(claims_table(claims))])


def claim_html(claim: Claim) -> str:
    """Return one claim with its rule as HTML."""
    return markup.fragment(
        f"{claim.id}: {claim.statement}",
        verdict=f"{claim.verdict}: {claim.headline}",
        notes=[f"{claim.n_samples} {claim.interval_of}. Rule: {claim.rule}", evidence(claim)],
    )


def evidence(claim: Claim) -> str:
    """Return in a sentence how many runs and records of which recipes a verdict rests on."""
    if not claim.recipes:
        return "No run is needed."
    return (
        f"Rests on {len(claim.runs):,} runs and {len(claim.records):,} records of "
        f"{', '.join(claim.recipes)}."
    )


def losses(runs: pd.DataFrame, column: str = "test_loss", **where: Any) -> np.ndarray:
    """Return a column of the runs of some settings, [n_runs].

    Args:
        runs: a row a run.
        column: to return.
        where: value of other columns, by name.
    """
    for name, value in where.items():
        runs = runs[runs[name] == value]
    return runs[column].to_numpy(float)


def cell(found: Tuned) -> str:
    """Return weight decay and epochs of an optimum as text."""
    return f"{found.best['weight_decay']:g} x {found.best['n_epochs']:g}"


def rate_of_standard(story: Story) -> str:
    """Return a sentence if validation did not select the standard recipe's learning rate."""
    if standard_is_tuned(story):
        return ""
    return " A rule, and not validation, set the learning rate of the standard recipe."


def uncertified(members: Mapping[int, Tuned]) -> str:
    """Return a sentence on the sizes whose members have an optimum without certificate, and why."""
    doubtful = [
        f"width {width} ({', '.join(found.flaws)})"
        for width, found in sorted(members.items())
        if not found.certified
    ]
    return f" Members' optimum not certified: {'; '.join(doubtful)}." if doubtful else ""
