"""`datawall worth`: leakage is refused, and the multiplier is that of curves in closed form."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from experiments.analysis.intervals import mean_estimate
from experiments.analysis.multiplier import Multiplier
from experiments.cli.app import EXIT_BAD_INPUT, main
from experiments.cli.augment.worth import parse_share
from experiments.planner.worth import (
    Worth,
    WorthSettings,
    _extended,
    _Planned,
    arms_of,
    measure_worth,
    multiplier_of_arm,
)
from experiments.planner.worth_texts import WorthTokens, mixed, worth_texts
from experiments.planner.worth_words import draws_needed, limits, remedy, verdict
from experiments.runs.metrics import Line, append_line
from experiments.runs.store import RunStore
from models.augment.texts.held_out import held_out_ids, is_held_out
from models.augment.texts.records import Provenance, Record

WORDS = [f"{a}{b}" for a in "bdfgklmnprst" for b in ("al", "en", "ir", "ol", "um")]
N_DOCUMENTS = 40


def language(seed):
    """Return which words may follow each word: a language of its own for each seed."""
    rng = np.random.default_rng(seed)
    return [rng.choice(len(WORDS), 3, replace=False) for _ in WORDS]


def document(followers, rng, n_words=80):
    at, words = int(rng.integers(len(WORDS))), []
    for _ in range(n_words):
        words.append(WORDS[at])
        at = int(rng.choice(followers[at]))
    return " ".join(words)


def record(name, text, source, **changes):
    origin = Provenance(
        method="rephrase", task="easy", source_ids=(source,), model="openai:m", seed=0,
        prompt_version="7",
    )  # fmt: skip
    return Record(id=name, text=text, metadata={**origin.as_metadata(), **changes})


def write(path, records):
    path.write_text("".join(r.to_json() + "\n" for r in records), encoding="utf-8")
    return path


@pytest.fixture
def real(tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(N_DOCUMENTS):
        (folder / f"{i:02}.txt").write_text(document(language(0), rng), encoding="utf-8")
    return folder


def ids():
    return [f"{i:02}.txt" for i in range(N_DOCUMENTS)]


def training_ids():
    return sorted(set(ids()) - set(held_out_ids(ids())))


def synthetic(tmp_path, *, of=0, sources=None, **changes):
    rng = np.random.default_rng(1)
    records = [
        record(f"new{i}", document(language(of), rng), source, **changes)
        for i, source in enumerate(sources or training_ids())
    ]
    return write(tmp_path / "new.jsonl", records)


def test_held_out_documents_depend_on_ids_alone():
    found = held_out_ids(f"doc{i}" for i in range(500))
    assert all(map(is_held_out, found))
    assert 25 < len(found) < 80
    assert set(held_out_ids(reversed([f"doc{i}" for i in range(500)]))) == set(found)
    assert len(held_out_ids("abcdefgh"[:6])) >= 2


def test_parts_are_disjoint_and_synthetic_texts_come_from_training_documents(real, tmp_path):
    texts = worth_texts(real, synthetic(tmp_path))
    parts = [{r.id for r in part} for part in (texts.real, texts.validation, texts.test)]
    assert set.union(*parts) == set(ids())
    assert sum(map(len, parts)) == N_DOCUMENTS
    assert all(set(r.metadata["source_ids"]) <= parts[0] for r in texts.synthetic)
    assert texts.provenance == "rephrase by openai:m, prompts 7"


def test_leakage_is_refused_with_the_ids_or_left_out(real, tmp_path):
    held_out = held_out_ids(ids())[0]
    path = synthetic(tmp_path, sources=[*training_ids(), held_out])
    n = len(training_ids())
    with pytest.raises(ValueError, match=rf"leakage: 1 of {n + 1} .*\({held_out}\): new{n};"):
        worth_texts(real, path)
    texts = worth_texts(real, path, leave_out_overlap=True)
    assert (len(texts.synthetic), texts.n_left_out) == (n, 1)
    # A copy of a held-out document under another name is neither trained on nor written from.
    (real / "twin.txt").write_text((real / held_out).read_text())
    assert not is_held_out("twin.txt")
    texts = worth_texts(real, path, leave_out_overlap=True)
    assert "twin.txt" not in {r.id for r in texts.real}
    with pytest.raises(ValueError, match=r"twin\.txt"):
        worth_texts(real, synthetic(tmp_path, sources=["twin.txt"]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sources": ["elsewhere.txt"]}, r"come from elsewhere\.txt, which .* does not hold"),
        ({"model": ""}, "new0 of .* has no provenance"),
        ({"source_ids": []}, "has no provenance"),
        ({"source_ids": "00.txt"}, r"must be a list of ids, such as \['00.txt'\]; not '00.txt'"),
        ({"source_ids": [1]}, "must be a list of ids"),
        ({"sources": held_out_ids(ids())}, "all texts of"),
    ],
)
def test_texts_of_unknown_origin_are_refused(real, tmp_path, changes, said):
    with pytest.raises(ValueError, match=said):
        worth_texts(real, synthetic(tmp_path, **changes), leave_out_overlap=True)


def test_a_synthesizer_has_read_what_is_not_held_out_by_hash(real, tmp_path):
    texts = worth_texts(real, synthetic(tmp_path, method="sbp"))
    assert not texts.has_oracle
    for path in real.iterdir():
        if not "28.txt" <= path.name <= "38.txt":  # none of which is held out by its hash
            path.unlink()
    left = [path.name for path in sorted(real.iterdir())]
    assert not any(map(is_held_out, left))
    sources = sorted(set(left) - set(held_out_ids(left)))
    with pytest.raises(ValueError, match="so few documents"):
        worth_texts(real, synthetic(tmp_path, method="sbp", sources=sources))
    assert worth_texts(real, synthetic(tmp_path, sources=sources)).has_oracle


def settings(**changes):
    chosen = {
        "shares": {"1:1": 1.0}, "n_stock": 2_000, "epochs": 4, "n_draws": 3, "width": 8,
        "n_layers": 1, "context": 16, "batch": 4, "learning_rate": 5e-3,
    }  # fmt: skip
    return WorthSettings(**{**chosen, **changes})


def test_the_spec_of_a_run_names_the_origin_of_its_text(real, tmp_path):
    tokens = WorthTokens.of(worth_texts(real, synthetic(tmp_path)), real, 300)
    planned = _Planned(tokens, settings(), RunStore(tmp_path / "runs"))
    arm = next(arm for arm in arms_of(planned.settings, tokens.n_real) if arm.name.endswith("1:1"))
    spec = planned.spec(arm, 1, 0.4)
    for part in ("rephrase by openai:m, prompts 7", "share 0.5", "draw 1"):
        assert part in spec.data.corpus
    assert spec.n_steps == planned.settings.n_steps


def test_only_texts_written_from_the_stock_are_read(real, tmp_path):
    texts = worth_texts(real, synthetic(tmp_path))
    tokens = WorthTokens.of(texts, real, 300)
    stock = tokens.stock(1_000, draw=2)
    assert sum(map(len, stock)) == 1_000
    whole = {texts.real[at].id for at in tokens.order(2)[: len(stock) - 1]}
    written = tokens.written_from(1_000, draw=2)
    expected = [
        ids
        for one, ids in zip(texts.synthetic, tokens.synthetic, strict=True)
        if one.metadata["source_ids"][0] in whole
    ]
    assert 0 < len(written) < len(texts.synthetic)
    assert [w.tolist() for w in written] == [e.tolist() for e in expected]
    # A larger stock begins with the smaller one.
    larger = np.concatenate(tokens.stock(2_000, draw=2))
    assert np.array_equal(np.concatenate(stock), larger[:1_000])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_mixture_has_its_share_whatever_the_passes(share):
    real, new = [np.full(n, 1) for n in (7, 30)], [np.full(n, 2) for n in (5, 11, 4)]
    stream = mixed(real, new, 1_000, share=share, seed=0)
    assert len(stream) == 1_000
    assert (stream == 2).mean() == pytest.approx(share)


def test_the_oracle_reads_as_much_as_there_is():
    sizes = [arm.size for arm in arms_of(settings(), 9_500) if not arm.share]
    assert sizes == [0.5, 1, 2, 4, 4.75][: len(sizes)]
    assert sizes[-1] == 4  # 4.75 is too near
    assert [arm.size for arm in arms_of(settings(), 2_000) if not arm.share] == [0.5, 1]
    assert arms_of(settings(), 3_000)[2].size == 1.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shares": {"1:1000": 1e-3}}, "the share 1:1000 rounds to nothing: 8 of 8,000 tokens"),
        ({"shares": {}}, "shares must be ratios above 0"),
        ({"n_draws": 1}, "an interval needs 2 draws"),
        ({"n_stock": 10}, "do not fill a step"),
    ],
)
def test_settings_that_measure_nothing_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        settings(**changes)


@pytest.mark.parametrize("text", ["3", "1:0", "0:1", "a:b", "1:2:3", "1:inf"])
def test_a_share_is_two_numbers(text):
    with pytest.raises(ValueError, match="two numbers above 0 such as 1:3"):
        parse_share(text)
    assert parse_share("1:8") == 1 / 8


def runs(arm_loss, *, noise=0.0, sizes=(0.5, 1, 2), n_draws=4, shared=0.0):
    """Real text of size m has the loss 3 - .1 ln m; draws differ by `shared` in all arms alike."""
    rng = np.random.default_rng(0)
    rows = []
    for draw in range(n_draws):
        of_draw = shared * rng.standard_normal()
        cells = [(f"real {m}", m, 0.0, 3 - 0.1 * np.log(m)) for m in sizes]
        for arm, size, share, loss in [*cells, ("new", 1.0, 0.5, arm_loss)]:
            loss += of_draw + noise * rng.standard_normal()
            rows.append({"arm": arm, "size": size, "share": share, "draw": draw, "test_loss": loss})
    return pd.DataFrame(rows)


@pytest.mark.parametrize("m", [0.7, 1.0, 1.3, 1.9])
def test_a_multiplier_is_the_stock_of_equal_loss(m):
    found = multiplier_of_arm(runs(3 - 0.1 * np.log(m), noise=1e-4, shared=0.5), "new")
    assert found.value == pytest.approx(m, rel=0.01)
    assert found.low < found.value < found.high
    assert found.high / found.low < 1.05  # what draws share cancels


def test_intervals_of_multipliers_hold_the_truth():
    m, held = 1.2, 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        table = runs(3 - 0.1 * np.log(m))
        table["test_loss"] += 0.01 * rng.standard_normal(len(table))
        found = multiplier_of_arm(table, "new")
        held += found.low <= m <= found.high
    assert 106 <= held <= 119  # of 120 at 95 %: 114, with a standard deviation of 2.4


def test_beyond_what_was_measured_nothing_is_extrapolated():
    above = multiplier_of_arm(runs(2.8, noise=1e-3), "new")
    assert (above.value, above.high) == (np.inf, np.inf)
    assert above.low == pytest.approx(2)
    assert str(above).startswith("more than 2x")
    below = multiplier_of_arm(runs(3.3, noise=1e-3), "new")
    assert (below.value, below.low) == (0, 0)
    assert str(below).startswith("less than 0.5x")
    unclear = multiplier_of_arm(runs(3.0, noise=1.0), "new")
    assert str(unclear) == "not identified"
    diverged = runs(3.0)
    diverged.loc[diverged["arm"] == "new", "test_loss"] = np.nan
    assert not multiplier_of_arm(diverged, "new").is_identified


class Trained(Exception):
    """Ends a measurement after its first run."""


def test_the_time_is_estimated_from_the_first_run_before_all_others(real, tmp_path):
    tokens = WorthTokens.of(worth_texts(real, synthetic(tmp_path)), real, 300)
    store, trained, said = RunStore(tmp_path / "runs"), [], []

    def train(specs, title):
        trained.append(len(specs))
        if len(specs) > 1:
            raise Trained
        (spec,) = specs
        line = Line(session="a", first_step=0, seconds=90.0, losses=(1.0,) * 5)  # compiles
        store.folder(spec).mkdir(parents=True)
        append_line(store.folder(spec) / "metrics.jsonl", line)
        line = replace(line, first_step=5, seconds=6.0, losses=(1.0,) * 10)
        append_line(store.folder(spec) / "metrics.jsonl", line)

    chosen = settings()
    with pytest.raises(Trained):
        measure_worth(tokens, chosen, store, train, on_speed=lambda *told: said.append(told))
    n_arms = len(arms_of(chosen, tokens.n_real))
    assert said == [(pytest.approx(0.6 * chosen.n_steps), 5 * n_arms - 1)]
    # Three decays of each arm come next, then two draws more.
    assert trained == [1, 3 * n_arms]


def test_decays_are_extended_beyond_an_end_and_no_further_than_the_range():
    tried = [0.1, 0.4, 1.6]
    assert not _extended(tried, 0.4)
    assert _extended(tried, 1.6)
    assert tried[-1] == pytest.approx(6.4)
    assert _extended(tried, 0.1)
    assert tried[-1] == pytest.approx(0.025)
    assert not _extended([0.4, 25.6], 25.6)


def test_verdicts_say_what_the_interval_says():
    frame = runs(3.0).assign(is_edge=True, weight_decay=0.4, synthetic_tokens=5)
    worth = Worth(
        settings=settings(), provenance="rephrase by template:source", n_params=7, runs=frame,
        best="new", multipliers={},
    )  # fmt: skip
    for low, high, said in ((1.1, 1.5, "helps"), (0.6, 0.9, "harms"), (0.9, 1.5, "not shown")):
        found = Multiplier(value=1.2, low=low, high=high, measured=(0.5, 2.0))
        assert said in verdict(replace(worth, multipliers={"new": found}))
    open_above = Multiplier(value=1.2, low=0.9, high=np.inf, measured=(0.5, 2.0))
    assert str(open_above) == "1.20x [0.90, above 2]"
    notes = " ".join(limits(worth, has_oracle=False))
    for part in ("7 parameters", "large pretrained", "rearranges", "no oracle", "an end of those"):
        assert part in notes


def worth_of(frame):
    """A result whose only arm with synthetic text is `new`."""
    frame = frame.assign(is_edge=False, weight_decay=0.4, synthetic_tokens=5).replace(
        {"arm": {"real 1": "real"}}
    )
    return Worth(
        settings=settings(n_draws=frame["draw"].nunique()), n_params=7, runs=frame, best="new",
        provenance="rephrase by openai:m", multipliers={"new": multiplier_of_arm(frame, "new")},
    )  # fmt: skip


def test_the_draws_that_are_suggested_decide():
    rng = np.random.default_rng(0)
    spread = rng.standard_normal(400)
    spread = (spread - spread.mean()) / spread.std(ddof=1)
    for mean in (0.3, 0.5, 1.0, 3.0):
        n = draws_needed(spread + mean)
        # Of n draws with this mean and spread, the interval of the test leaves out zero.
        for count, decides in ((n, True), (n - 1, False)):
            if count > 1:
                of_n = np.resize([1.0, -1.0], count // 2 * 2)
                of_n = np.append(of_n, np.zeros(count % 2))
                of_n = of_n / of_n.std(ddof=1) + mean
                assert (mean_estimate(of_n).low > 0) == decides
    assert draws_needed(spread + 0.01) is None


def test_what_is_left_open_names_what_would_decide_it():
    assert remedy(worth_of(runs(2.95, noise=1e-4))) == ""  # it helps
    unclear = worth_of(runs(2.99, noise=0.03))
    assert not unclear.multipliers["new"].low > 1
    assert re.search(r"About \d+ draws \(--draws \d+\)|Even 64 draws", remedy(unclear))
    flat = runs(3.12, noise=1e-3)
    flat.loc[flat["share"] == 0, "test_loss"] = 3 + 0.1 * flat["size"]
    assert "nothing to measure with" in remedy(worth_of(flat))
    diverged = runs(3.0)
    diverged.loc[diverged["arm"] == "new", "test_loss"] = np.nan
    assert "--learning-rate" in remedy(worth_of(diverged))


def test_augment_holds_out_what_worth_holds_out(real, tmp_path, capsys):
    new = tmp_path / "held"
    command = ["augment", "rephrase", str(real), "--out", str(new), "--styles", "easy"]
    assert main([*command, "--no-quality", "--hold-out"]) == 0
    assert len(worth_texts(real, new).synthetic) == len(training_ids())
    hint = "What these texts are worth in real text: datawall"
    assert f"{hint} worth {real} --synthetic {new}\n" in capsys.readouterr().err
    assert main([*command, "--no-quality"]) == 0
    assert f"--synthetic {new} --leave-out-overlap\n" in capsys.readouterr().err
    arguments = ["worth", str(real), "--synthetic", str(new), "--out", str(tmp_path / "out")]
    arguments += ["--vocab", "300"]
    assert main(arguments) == EXIT_BAD_INPUT
    assert "leakage" in capsys.readouterr().err
    assert main([*arguments, "--leave-out-overlap", "--shares", "1:99999"]) == EXIT_BAD_INPUT
    assert "rounds to nothing" in capsys.readouterr().err


@pytest.mark.long
def test_new_text_of_the_same_language_helps_and_that_of_another_does_not(
    real, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    small = ["--width", "16", "--layers", "1", "--context", "16", "--vocab", "300", "--batch", "8"]
    small += ["--unique-tokens", "1500", "--epochs", "16", "--draws", "3", "--shares", "1:1"]
    found = {}
    for of in (0, 1):
        # Several texts of each source, as many tokens as the oracle has and more.
        path = synthetic(tmp_path, of=of, sources=training_ids() * 4)
        arguments = ["worth", str(real), "--synthetic", str(path), *small, "--json"]
        assert main([*arguments, "--out", f"out{of}"]) == 0
        found[of] = json.loads(capsys.readouterr().out)
        assert (tmp_path / f"out{of}" / "worth.png").stat().st_size > 5_000
        assert len(pd.read_csv(tmp_path / f"out{of}" / "worth.csv")) == len(found[of]["runs"])
    losses = {
        of: pd.DataFrame(result["runs"]).pivot_table(
            index="draw", columns="arm", values="test_loss"
        )
        for of, result in found.items()
    }
    assert (losses[0]["synthetic 1:1"] < losses[0]["real"]).all()
    assert (losses[1]["synthetic 1:1"] > losses[1]["real"]).all()
    assert found[1]["multipliers"]["synthetic 1:1"]["high"] < 1
    assert losses[0]["oracle, 2x"].mean() < losses[0]["real, half"].mean()
