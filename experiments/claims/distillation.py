"""Claims of Part 1 on distillation and on models that learn from models."""

from __future__ import annotations

from experiments.analysis import intervals
from experiments.claims.claim import Finding, claim, verdict
from experiments.lab.recipe import NotRun
from experiments.recipes.distillation import ARMS, Distillation, distillation
from experiments.story.story import Story

LEAST_GAIN = 0.05
"""Nats that the teacher must gain before a share of them, or a student, can be judged."""
PUBLISHED_SHARE = 0.83
"""Kim et al. 2025 (arXiv 2509.14786): (3.57 - 3.36) / (3.57 - 3.32)."""


@claim("P14", "An ensemble distils into one small model that keeps most of its gain (83 %).")
def _p14(story: Story) -> Finding:
    """Students of the members' size, trained on real text and text of the ensemble. The share
    kept is the way from the tuned single model to the ensemble that they have come. Supported
    when its interval lies above one half and the students beat the same number of steps on
    real text only with an interval above zero; contradicted when the interval of the share
    lies below one half; else inconclusive. Inconclusive also where the interval of the
    ensemble's gain does not lie above 0.05 nats, and where the weight decay that could overturn
    the verdict lies at an end of the candidates: the control's if supported, the students' if
    contradicted."""
    return _judge_share(story[distillation], "ensemble")


@claim("P14a", "A student of the ensemble's predictions on its own text keeps most of the gain.")
def _p14a(story: Story) -> Finding:
    """As P14, but the students learn the predictions of the ensemble (soft targets) on the same
    real and sampled text instead of the next token of it."""
    found = story[distillation]
    if "soft ensemble" not in found.arms:
        raise NotRun("the world's plan has no students of the predictions on sampled text")
    return _judge_share(found, "soft ensemble")


def _judge_share(found: Distillation, student: str) -> Finding:
    """Judge by the rule of P14 what an arm keeps of the ensemble's gain."""
    kept, gain = found.kept(student), found.over_control(student)
    teaches, at_edge = found.gain.low > LEAST_GAIN, found.at_edge
    others = ", ".join(
        f"{ARMS[arm]} {found.kept(arm)}" for arm in found.arms if arm not in (student, "real")
    )
    return Finding(
        verdict=verdict(
            supported=teaches and kept.low > 0.5 and gain.is_positive and "real" not in at_edge,
            contradicted=teaches and kept.high < 0.5 and student not in at_edge,
        ),
        quantity=f"share of the gain of {found.n_members} members kept by one student",
        estimate=kept,
        detail=f"Single {found.single.mean():.3f}, ensemble {found.teacher:.3f} (gain "
        f"{found.gain}), student "
        f"{found.losses(student).mean():.3f}; against the same steps on real text only: gain "
        f"{gain}. Share kept by other students: {others}. Published: {PUBLISHED_SHARE:.0%}."
        f"{_edges(found)}",
    )


@claim("P15", "Self-distillation at the same size helps too.")
def _p15(story: Story) -> Finding:
    """Students that read real text and text of a tuned single model of their own size, against
    the same number of steps on real text only, both at the weight decay that validation
    selects. Supported when the interval of the gain in test loss lies above zero, contradicted
    when below, else inconclusive."""
    found = story[distillation]
    gain = found.over_control("self")
    teacher = intervals.difference(found.single, found.losses("self"))
    return Finding(
        verdict=verdict(supported=gain.is_positive, contradicted=gain.is_negative),
        quantity="gain over the same steps on real text only (nats)",
        estimate=gain,
        detail=f"Over its own teacher, the tuned single model: {teacher}.{_edges(found)}",
    )


@claim("P16", "Feedback loops: real and synthetic text helps, synthetic text alone collapses.")
def _p16(story: Story) -> Finding:
    """Generations of self-training, each taught by the one before, from tuned single models
    on. Supported when the last generation on synthetic text alone is worse than the first
    teachers, and worse than its first generation, both intervals above zero, while the last on
    real and synthetic text is better than the first teachers, interval above zero;
    contradicted when the last on synthetic text alone is better than the first teachers, or
    the last on both is worse, the interval clear of zero; else inconclusive. Inconclusive also
    where the interval of an ensemble's gain over the teachers does not lie above 0.05 nats, so
    that nothing shows that students could gain, and where the weight decay that could overturn
    the verdict lies at an end of the candidates: that on synthetic text alone if supported, that
    on both if these are worse."""
    found = story[distillation]
    last = int(found.students["generation"].max())
    teaches, at_edge = found.gain.low > LEAST_GAIN, found.at_edge
    alone, first = found.losses("self only", last), found.losses("self only")
    harm = intervals.difference(alone, found.single)
    worsens = intervals.difference(alone, first)
    both = intervals.difference(found.single, found.losses("self", last))
    steps = {
        arm: ", ".join(
            f"{found.losses(arm, generation).mean():.3f}" for generation in range(1, last + 1)
        )
        for arm in ("self", "self only")
    }
    return Finding(
        verdict=verdict(
            supported=teaches
            and harm.is_positive
            and worsens.is_positive
            and both.is_positive
            and "self only" not in at_edge,
            contradicted=teaches
            and (harm.is_negative or (both.is_negative and "self" not in at_edge)),
        ),
        quantity=f"loss of generation {last} on synthetic text alone over its teachers' (nats)",
        estimate=harm,
        detail=f"Teachers {found.single.mean():.3f}, gain of an ensemble {found.gain}; generations "
        f"on real and synthetic text {steps['self']} (gain of the last {both}); on synthetic text "
        f"alone {steps['self only']} (from first to last {worsens}).{_edges(found)}",
    )


def _edges(found: Distillation) -> str:
    """Name the arms whose weight decay is an end of the candidates."""
    arms = ", ".join(found.at_edge)
    return f" Weight decay at an end of the candidates: {arms}." if arms else ""
