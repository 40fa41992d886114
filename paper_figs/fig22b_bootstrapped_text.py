"""Figure 22b: the arms of bootstrapping on excerpts of real text."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from experiments.recipes.bootstrapped_text import bootstrapped_text
from experiments.story.story import Story
from experiments.worlds.plans import USUAL_DECAY
from paper_figs.fig22_bootstrapped import draw_arms
from paper_figs.layout import Place, panel

NAME = "fig22b"
CLAIMS = ("N9",)
NEEDS = (bootstrapped_text,)
TITLE = "Baseline, bootstrapping and an oracle on excerpts of the world's own text"
CAPTION = (
    "Test loss at equal training tokens. Each grey dot is a draw of excerpts; points are means "
    "with 95 % intervals over draws. Weight decay is chosen for each arm on another draw from the "
    f"same candidates. Hollow: baseline and SBP with the usual weight decay of {USUAL_DECAY}. "
    "The text was not designed to favour bootstrapping: related excerpts share a subject or a book."
)


def draw(story: Story, ax: Place = None) -> tuple[Axes, pd.DataFrame]:
    """Draw one position per arm.

    The columns of the frame are those of `draw_arms`.
    """
    ax = panel(ax)
    return ax, draw_arms(
        [ax], story[bootstrapped_text], {"test_loss": "test loss (nats per token)"}
    )
