"""The page shows, where a claim opens, which runs and records its verdict rests on."""

import re

import pytest

from experiments.claims.claim import Claim, claim_html
from experiments.lab.recipe import Evidence, Results
from experiments.recipes.continued.recipe import continued
from experiments.report.report import render_page
from experiments.runs.store import RunStore
from experiments.story.story import Story
from experiments.worlds.registry import WORLDS

CLAIM = Claim(
    id="P18", statement="It helps.", verdict="supported", quantity="gain", value=0.5, low=0.25,
    high=0.75, detail="", rule="Above zero.", n_samples=3, recipes=("continued",),
    runs=("ab", "cd"), records=("continued/ef",),
)  # fmt: skip


@pytest.fixture
def story(tmp_path, sample):
    store = RunStore(tmp_path)
    sample.train(store, sample.spec())
    evidence = Evidence(runs=CLAIM.runs, records=CLAIM.records)
    return Story(
        world=WORLDS["tiny"], corpus_sha256="ab" * 32, bytes_per_token=2.0,
        text_scope="A text of the test.",
        results=Results("tiny", {continued: None}, {continued: evidence}), runs=store.frame(),
        records={}, n_trained=0,
    )  # fmt: skip


def test_a_claim_links_to_the_runs_and_records_that_it_rests_on(story):
    page = render_page(story, [CLAIM], [])
    assert "Rests on 2 runs and 1 records of continued." in page
    assert '<a href="#runs">Their ids</a>' in page
    listed = re.search(r'<details id="runs-continued">(.*?)</details>', page, re.DOTALL)[1]
    assert "ab cd" in listed
    assert "continued/ef" in listed


def test_a_claim_without_runs_says_so():
    alone = Claim(**{**vars(CLAIM), "recipes": (), "runs": (), "records": ()})
    assert "No run is needed." in claim_html(alone)
