"""Identity and storage of the settings of a run."""

import dataclasses
import json

import pytest

from experiments.runs import spec as spec_module
from experiments.runs.archive import SHIPPED
from experiments.runs.rows import SETTINGS, read_compact
from experiments.runs.spec import SCHEMA_VERSION, RunSpec, SyntheticConfig
from models.config import OptimizerConfig

GOLDEN_ID = "2c35c3f70e426f7d"
"""Of `sample.spec()`, computed by the version before schema 2. It may never change."""
SCHEMA_1 = {
    "schema": 1,
    "model": {
        "vocab_size": 30,
        "width": 16,
        "n_layers": 2,
        "n_heads": 1,
        "mlp_width": 48,
        "context": 8,
        "tied_embeddings": False,
    },
    "data": {
        "corpus": "stdlib",
        "sha256": "ab" * 32,
        "n_unique_tokens": 1024,
        "draw_seed": 0,
        "n_eval_tokens": 64,
    },
    "optimizer": {
        "learning_rate": 0.01,
        "weight_decay": 0.8,
        "beta1": 0.9,
        "beta2": 0.95,
        "epsilon": 1e-08,
        "warmup_fraction": 0.05,
    },
    "train": {
        "n_epochs": 2,
        "batch_size": 4,
        "data_order": "reshuffled",
        "window_jitter": True,
    },
    "seed": 0,
}
"""As the version before schema 2 wrote it."""
SAMPLED = SyntheticConfig(teachers=("0123456789abcdef",), n_tokens=10, share=0.5)


def test_a_spec_of_schema_1_still_reads_and_keeps_its_name(sample):
    spec = RunSpec.from_dict(SCHEMA_1)
    assert spec == sample.spec()
    assert spec.run_id == sample.spec().run_id == GOLDEN_ID


def test_shipped_runs_keep_their_names_and_read_what_they_read():
    """Part 2's texts whole, from before stocks were cut; those of Part 1 in chunks, shorter ones
    where the stock is smaller."""
    runs = read_compact(SHIPPED / "small.parquet")
    specs = [RunSpec.from_dict(json.loads(spec)) for spec in runs["spec"]]
    assert [spec.run_id for spec in specs] == runs["run_id"].tolist()
    assert {spec.data.chunk_tokens for spec in specs} == {0, 256, 512}
    assert {spec.synthetic.prompt for spec in specs if spec.synthetic} == {"stock"}


def test_sampled_text_of_schema_3_begins_with_the_end_of_text(sample):
    values = {**sample.spec(synthetic=SAMPLED).to_dict(), "schema": 3}
    values["synthetic"].pop("prompt")
    spec = RunSpec.from_dict(values)
    assert spec.synthetic == dataclasses.replace(SAMPLED, prompt="end_of_text")


def test_run_id_changes_with_every_setting_that_changes_the_result(sample):
    base = sample.spec()
    changed = [
        sample.spec(seed=1),
        sample.spec(model=dataclasses.replace(base.model, tied_embeddings=True)),
        sample.spec(data=dataclasses.replace(base.data, draw_seed=1)),
        sample.spec(data=dataclasses.replace(base.data, chunk_tokens=256)),
        sample.spec(synthetic=SAMPLED),
        sample.spec(synthetic=dataclasses.replace(SAMPLED, prompt="stock")),
        sample.spec(data=dataclasses.replace(base.data, sha256="cd" * 32)),
        sample.spec(optimizer=dataclasses.replace(base.optimizer, weight_decay=0.4)),
        sample.spec(train=dataclasses.replace(base.train, window_jitter=False)),
        sample.spec(train=dataclasses.replace(base.train, data_order="documents")),
        sample.spec(model=dataclasses.replace(base.model, qk_norm=True)),
        sample.spec(optimizer=dataclasses.replace(base.optimizer, schedule="linear")),
        sample.spec(optimizer=dataclasses.replace(base.optimizer, clip_norm=1.0)),
        sample.spec(optimizer=dataclasses.replace(base.optimizer, final_decay=0.0)),
        sample.spec(optimizer=dataclasses.replace(base.optimizer, warmup_steps=2)),
        sample.spec(model=dataclasses.replace(base.model, n_loops=2)),
        sample.spec(model=dataclasses.replace(base.model, objective="masked_diffusion")),
        sample.spec(
            model=dataclasses.replace(base.model, future_tokens=1),
            train=dataclasses.replace(base.train, future_loss=0.3),
        ),
        sample.spec(train=dataclasses.replace(base.train, masked_share=0.125, final_noise=0.5)),
        *(
            sample.spec(train=dataclasses.replace(base.train, **{lever: 0.125}))
            for lever in (
                *("z_loss", "replaced_share", "masked_share"),
                *("reversed_share", "stochastic_depth"),
            )
        ),
    ]
    assert len({spec.run_id for spec in (base, *changed)}) == len(changed) + 1


def test_runs_of_muon_are_not_taken_for_those_of_earlier_versions(sample):
    """There it orthogonalised fused matrices as one, with another momentum."""
    muon = dataclasses.replace(sample.spec().optimizer, name="muon")
    assert sample.spec(optimizer=muon).run_id != "fdcb04f4826179f3"  # that of revision 574e4ae
    faster = dataclasses.replace(muon, momentum=0.9)
    assert sample.spec(optimizer=faster).run_id != sample.spec(optimizer=muon).run_id


def test_run_id_depends_neither_on_the_name_of_the_text_nor_on_recipes(sample):
    renamed = dataclasses.replace(sample.spec().data, corpus="files:elsewhere")
    assert sample.spec(data=renamed).run_id == GOLDEN_ID
    labeled = sample.spec().labeled(["standard"]).labeled(["ensembles", "standard"])
    assert labeled.recipes == ("ensembles", "standard")
    assert labeled.run_id == GOLDEN_ID
    assert labeled == sample.spec()


def test_equal_settings_have_equal_ids_whole_or_real(sample):
    whole, real = (
        sample.spec(optimizer=OptimizerConfig(learning_rate=one, weight_decay=one))
        for one in (1, 1.0)
    )
    assert whole == real
    assert whole.run_id == real.run_id


def test_a_setting_of_a_later_schema_counts_only_where_it_is_used(sample, monkeypatch):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Later(OptimizerConfig):
        flavour: str = dataclasses.field(default="plain", metadata={"since": 2})

    monkeypatch.setitem(spec_module.PARTS, "optimizer", Later)
    base = vars(sample.spec().optimizer)
    assert sample.spec(optimizer=Later(**base)).run_id == GOLDEN_ID
    other = sample.spec(optimizer=Later(**base, flavour="sour"))
    assert other.run_id != GOLDEN_ID
    assert RunSpec.from_dict(json.loads(json.dumps(other.to_dict()))) == other
    assert RunSpec.from_dict(SCHEMA_1).optimizer.flavour == "plain"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stretch:
    factor: float
    ends: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nested(OptimizerConfig):
    stretch: Stretch | None = dataclasses.field(default=None, metadata={"since": 2})


def test_settings_within_settings_round_trip_and_identify(sample, monkeypatch):
    monkeypatch.setitem(spec_module.PARTS, "optimizer", Nested)
    base = vars(sample.spec().optimizer)
    specs = [
        sample.spec(optimizer=Nested(**base, stretch=stretch))
        for stretch in (
            None,
            Stretch(factor=2),
            Stretch(factor=2.0),
            Stretch(factor=3),
            Stretch(factor=2, ends=(1, 2)),
        )
    ]
    ids = [spec.run_id for spec in specs]
    assert ids[0] == GOLDEN_ID
    assert ids[1] == ids[2]
    assert len(set(ids)) == 4
    for spec in specs:
        assert RunSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_spec_round_trips(sample):
    spec = sample.spec().labeled(["standard"])
    values = json.loads(json.dumps(spec.to_dict()))
    assert values["schema"] == SCHEMA_VERSION
    assert RunSpec.from_dict(values) == spec
    assert RunSpec.from_dict(values).recipes == ("standard",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": 99}, "schema 99; readable are 1 to 6"),
        ({"schema": None}, "schema None; readable are 1 to 6"),
        ({"colour": "red"}, "a spec has no colour; it has data, init_from, model, optimizer"),
        (
            {"model": {**SCHEMA_1["model"], "depth": 3}},
            "ModelConfig has no depth; it has .*context",
        ),
        ({"train": {}}, "TrainConfig: .*n_epochs"),
        ({"data": {**SCHEMA_1["data"], "chunk_tokens": -1}}, "chunk_tokens must be .*; not -1"),
        (
            {
                "model": {**SCHEMA_1["model"], "attend_across_documents": False},
                "train": {**SCHEMA_1["train"], "reversed_share": 0.5},
            },
            "reversed_share needs attend_across_documents",
        ),
        ({"data": 3}, "DataConfig must be an object of settings; not 3"),
        ({"model": {**SCHEMA_1["model"], "width": -1}}, "width must be a whole number >= 1"),
    ],
)
def test_what_cannot_be_read_is_named(change, said):
    with pytest.raises(ValueError, match=said):
        RunSpec.from_dict({**SCHEMA_1, **change})


def test_a_missing_part_is_named():
    with pytest.raises(ValueError, match="this spec lacks optimizer, seed"):
        RunSpec.from_dict({k: v for k, v in SCHEMA_1.items() if k not in ("optimizer", "seed")})


def test_no_two_settings_share_a_column():
    assert len(set(SETTINGS)) == len(SETTINGS)
