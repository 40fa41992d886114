"""The talk's claims as statements that runs can support or contradict.

A claim is one function, in one of `MODULES`: its docstring is the decision rule.
The rules were written before any run was looked at. Those that a degenerate case could pass (a
limit that is not identified, a single seed, a reference chosen on the test part) were tightened
after a first run, and those of N4, N6, N7 and P10 were changed after a first look at the tiny
world, whose verdicts on them therefore count for nothing. Intervals are 95 %, over what the claim
says; hyperparameters are selected on the validation part and losses reported on the test part, in
nats per token.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from experiments.analysis.intervals import Estimate, rounded
from experiments.display.tables import text_table
from experiments.story.story import NotTold, Story
from experiments.tuning.search import Tuned
from scaling.results import markup

MODULES = (
    "stock",
    "scaling",
    "members",
    "data",
    "distillation",
    "guides",
    "continued",
    "entigraph",
    "bootstrapped",
    "calibration",
)
"""Where claims are registered."""

Verdict = Literal["supported", "contradicted", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim with its verdict.

    Attributes:
        id: as in the list of claims (P Part 1, S Part 2, N new here).
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

    @property
    def measurement(self) -> str:
        """The value with its interval, or why it could not be measured."""
        if math.isnan(self.value):
            return self.detail
        value, low, high = (rounded(number, 3) for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"

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


Test = Callable[[Story], Claim]
_TESTS: dict[str, Test] = {}
_PARTS = "PSN"
"""First letters of ids: Part 1, Part 2, new here."""


def claim(id: str, statement: str) -> Callable[[Callable[[Story], dict]], Test]:
    """Register a function that measures a claim; its docstring becomes the claim's rule.

    The function takes a Story and returns `verdict`, `quantity`, `estimate` (an Estimate) and
    `detail`, and `interval_of` where the interval is not over seeds; see `Claim`.
    """

    def register(judge: Callable[[Story], dict]) -> Test:
        rule = " ".join((inspect.getdoc(judge) or "").split())

        def test(story: Story) -> Claim:
            found = judge(story)
            estimate: Estimate = found.pop("estimate")
            return Claim(
                id=id, statement=statement, rule=rule, value=estimate.value, low=estimate.low,
                high=estimate.high, n_samples=estimate.n, **found,
            )  # fmt: skip

        _TESTS[id] = test
        return test

    return register


def judge_claims(story: Story) -> Claims:
    """Test every claim that the runs of a story can test, in the order of the talk.

    A claim on a recipe that the world does not run is left out.
    """
    for module in MODULES:  # importing one registers its claims
        importlib.import_module(f"experiments.claims.{module}")
    claims = []
    for test in _TESTS.values():
        with contextlib.suppress(NotTold):
            claims.append(test(story))
    return Claims(sorted(claims, key=lambda it: (_PARTS.index(it.id[0]), int(it.id[1:]))))


def verdict(*, supported: bool, contradicted: bool) -> Verdict:
    """Turn the two halves of a rule into a verdict; neither or both is inconclusive."""
    if supported == contradicted:
        return "inconclusive"
    return "supported" if supported else "contradicted"


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """Lay claims out as a table: one row each, in the order of the talk."""
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
    """Show claims, a row each."""
    return markup.fragment(f"{len(claims)} claims", tables=[text_table(claims_table(claims))])


def claim_html(claim: Claim) -> str:
    """Show one claim with its rule."""
    return markup.fragment(
        f"{claim.id}: {claim.statement}",
        verdict=f"{claim.verdict}: {claim.headline}",
        notes=[f"{claim.n_samples} {claim.interval_of}. Rule: {claim.rule}"],
    )


def cell(found: Tuned) -> str:
    """Write weight decay and epochs of an optimum."""
    return f"{found.best['weight_decay']:g} x {found.best['n_epochs']:g}"


def uncertified(members: Mapping[int, Tuned]) -> str:
    """Say which sizes' members have an optimum without certificate, and why."""
    doubtful = [
        f"width {width} ({', '.join(found.flaws)})"
        for width, found in sorted(members.items())
        if not found.certified
    ]
    return f" Members' optimum not certified: {'; '.join(doubtful)}." if doubtful else ""
