"""`datawall augment`: write new texts, filter, compare and join them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from experiments.cli.augment.filter import Filter
from experiments.cli.augment.methods import Entigraph, Rationales, Rephrase
from experiments.cli.augment.sbp import Sbp
from experiments.cli.augment.written import QualityCommand, Stitch
from experiments.cli.options import readable


@readable
@dataclass(frozen=True, kw_only=True)
class Augment:
    """Generate new texts from a folder of texts."""

    method: tyro.conf.OmitSubcommandPrefixes[
        Annotated[Entigraph, tyro.conf.subcommand("entigraph")]
        | Annotated[Rephrase, tyro.conf.subcommand("rephrase")]
        | Annotated[Rationales, tyro.conf.subcommand("rationales")]
        | Annotated[Filter, tyro.conf.subcommand("filter")]
        | Annotated[QualityCommand, tyro.conf.subcommand("quality")]
        | Annotated[Sbp, tyro.conf.subcommand("sbp")]
        | Annotated[Stitch, tyro.conf.subcommand("stitch")]
    ]

    def run(self) -> int:
        """Run the method."""
        return self.method.run()
