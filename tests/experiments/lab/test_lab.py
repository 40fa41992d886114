"""Measurements are kept with the code that made them, and shipped as evidence whatever the code."""

import dataclasses

import pytest

from experiments.lab.lab import Lab
from experiments.lab.recipe import recipe, run_recipes
from experiments.lab.shipping import write_archive
from experiments.runs.archive import Archive, NotShipped
from experiments.runs.store import RunStore
from experiments.runs.texts import TextFacts
from experiments.worlds.registry import WORLDS

FACTS = TextFacts(
    corpus="stdlib", vocab_size=512, sha256="ab" * 32, corpus_sha256="cd" * 32,
    n_tokens=dict.fromkeys(("train", "validation", "test"), 1_000_000), bytes_per_token=2.0,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Mean:
    loss: float


@pytest.fixture
def lab(tmp_path, sample):
    store = RunStore(tmp_path / "runs" / "tiny")
    for seed in range(2):
        sample.train(store, sample.spec(seed))
    return Lab(WORLDS["tiny"], store, facts=FACTS)


@pytest.fixture
def measured():
    """The calls of the function that measures."""
    return []


@pytest.fixture
def mean(sample, measured):
    @recipe()
    def mean(lab: Lab) -> Mean:
        specs = [sample.spec(seed) for seed in range(2)]
        runs = lab.train(specs, title="finished before")

        def measure() -> float:
            measured.append(1)
            return float(runs["validation_loss"].mean())

        return Mean(lab.remember("means", [spec.run_id for spec in specs], measure))

    return mean


def test_a_record_is_measured_once_by_the_same_code_and_again_by_other_code(
    lab, mean, measured, monkeypatch
):
    for _ in range(2):
        assert run_recipes(lab, [mean])[mean] == Mean(3.5)
    assert len(measured) == 1
    monkeypatch.setattr("experiments.lab.lab.source_of", lambda function: "other code")
    assert run_recipes(lab, [mean])[mean] == Mean(3.5)
    assert len(measured) == 2


def test_shipped_results_are_read_whatever_the_code_and_rest_on_the_same_evidence(
    lab, mean, measured, sample, tmp_path, monkeypatch
):
    live = run_recipes(lab, [mean])
    write_archive(lab, tmp_path / "shipped", recipes=["mean"])
    archive = Archive(tmp_path / "shipped", "tiny")
    monkeypatch.setattr("experiments.lab.lab.source_of", lambda function: "other code")
    other = Lab(WORLDS["tiny"], archive, facts=archive.facts)
    shipped = run_recipes(other, [mean])
    assert shipped[mean] == live[mean]
    assert len(measured) == 1
    assert shipped.evidence(mean) == live.evidence(mean)
    assert set(live.evidence(mean).runs) == {sample.spec(seed).run_id for seed in range(2)}
    (record,) = live.evidence(mean).records
    assert record.startswith("means/")
    with pytest.raises(NotShipped, match="lack scores asked for"):
        other.remember("scores", ["unknown"], lambda: 1)
    assert other.remember("fits", ["unknown"], lambda: 1, from_losses=True) == 1


def test_results_are_shipped_again_beside_new_ones(lab, mean, sample, measured, tmp_path):
    run_recipes(lab, [mean])
    write_archive(lab, tmp_path / "shipped", recipes=["mean"])
    world = dataclasses.replace(lab.world, recipes=("mean",))
    old = Archive(tmp_path / "shipped", "tiny")
    kept = Lab(world, old, facts=FACTS)
    run_recipes(kept, [mean])

    @recipe()
    def other(lab: Lab) -> Mean:
        loss = lab.train([sample.spec(seed) for seed in (1, 2)], title="new")[
            "validation_loss"
        ].sum()
        again = [spec.run_id for spec in map(sample.spec, range(2))]
        lab.remember("means", again, lambda: "measured again")
        return Mean(lab.remember("others", ["third"], lambda: float(loss)))

    fresh = Lab(lab.world, RunStore(tmp_path / "fresh" / "tiny"), facts=FACTS)
    for seed in (1, 2):
        sample.train(fresh.store, sample.spec(seed))
    new = run_recipes(fresh, [other])[other]
    write_archive(fresh, tmp_path / "again", recipes=["other"], kept=kept)
    archive = Archive(tmp_path / "again", "tiny")
    assert archive.recipes == ("other", "mean")
    of_mean = {"recipes": ["mean"], "provenance": old.about["provenance"]}
    assert archive.about["kept"] == [of_mean]
    # Shipped once more, each recipe still has the provenance of its own shipping.
    both = dataclasses.replace(world, recipes=("mean", "other"))
    kept = Lab(both, archive, facts=FACTS)
    run_recipes(kept, [mean, other])
    nothing = Lab(lab.world, RunStore(tmp_path / "nothing" / "tiny"), facts=FACTS)
    write_archive(nothing, tmp_path / "third", recipes=[], kept=kept)
    third = Archive(tmp_path / "third", "tiny").about["kept"]
    assert third == [{"recipes": ["other"], "provenance": archive.about["provenance"]}, of_mean]
    shipped = run_recipes(Lab(lab.world, archive, facts=archive.facts), [mean, other])
    assert (shipped[mean], shipped[other]) == (Mean(3.5), new)
    assert len(archive.runs) == 3
    assert len(measured) == 1
    # Of the run that both asked for, what was kept is shipped, under both names.
    labels = archive.runs.set_index("run_id")["recipes"]
    assert [labels[sample.spec(seed).run_id] for seed in range(3)] == [
        "mean",
        "mean,other",
        "other",
    ]


def test_what_a_record_is_measured_from_is_not_evidence_beside_it(lab):
    def outer():
        return lab.remember("inner", ["a"], lambda: 1) + 1

    with lab.labeling("nested"):
        assert lab.remember("outer", ["a"], outer) == 2
    assert [place.split("/")[0] for place in lab.account.read["nested"]] == ["outer"]
