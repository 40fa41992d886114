"""Progress of work: what the lines say, without a terminal."""

import re

import pytest

from experiments.display import progress
from experiments.display.progress import WorkProgress


@pytest.fixture
def lines(monkeypatch, capsys):
    """Print a line at every change; return those printed since the last call."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    return lambda: capsys.readouterr().err.splitlines()


def test_skipped_work_counts_neither_as_done_nor_as_left(lines):
    with WorkProgress("training", n_jobs=2, work=20) as shown:
        shown.advance(5)
        assert lines()[-1].startswith("training: 0/2 done, 25% of the work")
        shown.skip(10)
        assert "50% of the work" in lines()[-1]
        shown.advance(-2.5)
        assert "25% of the work" in lines()[-1]
        shown.advance(7.5)
        shown.note = "1 elsewhere"
        shown.finish_job()
        assert lines()[-1].startswith("training: 1/2 done, 100% of the work, 1 elsewhere")
        assert shown.work_done == 10
    (last,) = lines()
    assert re.fullmatch(r"training: 1 done in \d+ s", last)


def test_work_that_fails_ends_without_a_sentence(lines):
    with pytest.raises(ZeroDivisionError), WorkProgress("training", n_jobs=1, work=1):
        raise ZeroDivisionError
    assert lines() == []


def test_the_speed_is_that_of_the_second_unit():
    shown = WorkProgress("training", n_jobs=1, work=10)
    assert shown.speed == 0
    for _ in range(3):
        shown.advance(1, other=1000)
    assert shown.speed > 0
    before = shown.speed
    shown.advance(1)
    assert shown.speed == before
