"""`datawall claims`: the talk's claims, tested on the runs of a world."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from experiments.cli.options import readable
from experiments.cli.world_options import WorldOptions

if TYPE_CHECKING:
    from experiments.claims.claim import Claim


def _plain(claim: Claim) -> dict[str, object]:
    """Return a claim as JSON types; an end that an interval does not have is null."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(claim).items()
    }


@readable
@dataclass(frozen=True, kw_only=True)
class Claims(WorldOptions):
    """Print each claim with its verdict, measured value and interval (trains what is missing)."""

    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        """Test and print."""
        from experiments.claims.claim import claims_table, judge_claims
        from experiments.display.tables import print_table
        from experiments.story.story import tell

        with self.open_executor() as executor:
            story = tell(
                self.world, corpus=self.corpus, runs=self.runs, executor=executor, shipped=True
            )
        claims = judge_claims(story)
        if self.json:
            print(json.dumps([_plain(claim) for claim in claims], indent=1, allow_nan=False))
        else:
            print_table(claims_table(claims), title=f"claims, world {self.world}")
        return 0
