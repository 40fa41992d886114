"""The talk's figures from published numbers: what they plot is what was printed."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import pytest

from experiments.claims.stock import text_runs_out
from experiments.cli.app import main
from paper_figs import (
    fig10_joint_limit,
    fig14_continued,
    figure_modules,
    figure_names,
    published_texts,
)
from paper_figs.files import figure_of
from scaling.published import datasets, talk
from tests.data import needed
from tests.drawn import missing_numbers

matplotlib.use("Agg")
SLOW = {"fig05", "fig19", "fig20"}
"""Drawn in tests of their own, or by hand: they compute for seconds."""
MODULES = [m for m in figure_modules(published=True) if m.NAME not in SLOW]


@pytest.fixture
def drawn(monkeypatch):
    """Name -> the numbers that the figure draws; skips where it reads a table that is absent."""
    monkeypatch.setattr(datasets, "_download", lambda table, folder: needed(table.path))

    def drawn(name):
        (module,) = figure_modules([name], published=True)
        axes, frame = module.draw_published()
        assert not missing_numbers(axes, frame)
        plt.close(figure_of(axes))
        return frame

    return drawn


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.NAME)
def test_each_figure_is_drawn_from_no_story(module, drawn):
    frame = drawn(module.NAME)
    assert len(frame) >= 3
    title, caption = published_texts(module)
    assert title
    assert len(caption) > 80


def test_names_are_those_of_the_talk():
    published, of_runs = figure_names(published=True), figure_names()
    assert published == sorted(published)
    assert {"fig01", "fig15"} == {*published} - {*of_runs}
    assert {"fig02", "fig03", "fig06", "fig08", "fig09", "fig10"} <= {*published} & {*of_runs}
    with pytest.raises(ValueError, match="figure must be one of fig01"):
        figure_modules(["fig04"], published=True)
    with pytest.raises(ValueError, match="figure must be one of fig00"):
        figure_modules(["fig01"])


def test_each_file_is_named_after_its_figure():
    for published in (False, True):
        modules = figure_modules(published=published)
        assert [module.NAME for module in modules] == figure_names(published=published)
        assert all(hasattr(module, "draw_published" if published else "draw") for module in modules)


def test_published_figures_are_found_without_loading_jax():
    code = "import sys, paper_figs; paper_figs.figure_modules(published=True); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "paper_figs.fig06_regularized" in done.stdout.split()
    assert "jax" not in done.stdout.split()


def test_joint_limits_refitted(drawn):
    # An independent refit of the same four columns: 3.169, 2.980, 2.789, 2.657.
    limits = drawn("fig10").dropna(subset="status")
    assert limits["loss"].tolist() == pytest.approx([3.169, 2.980, 2.789, 2.657], abs=1e-3)
    assert limits["low"].isna().equals(limits["status"] == "NOT_IDENTIFIED")
    assert limits["low"].notna().any()


def test_limits_that_are_not_identified_show_no_number():
    axes, frame = fig10_joint_limit.draw_published()
    texts = [text.get_text() for text in axes[1].texts]
    identified = (frame["status"].dropna() == "CONVERGED").tolist()
    assert len(set(identified)) == 2
    assert ["not\nidentified" not in text for text in texts] == identified
    plt.close(figure_of(axes))


def test_paraphrases_and_entigraph_scale_as_printed(drawn, check_number):
    # 41.20 + 1.56 ln x and 43.07 + 2.05 ln x, x in millions of tokens.
    slopes = drawn("fig16").dropna(subset="slope").groupby("series")["slope"].first()
    for series, slope in {"paraphrases": 1.56, "EntiGraph": 2.05}.items():
        check_number(
            f"slope of accuracy on ln tokens, {series} (%)", published=slope, ours=slopes[series],
            tolerance=0.01, source="Yang et al. 2024, 2409.07431",
        )  # fmt: skip


def test_sbp_recovers_42_and_48_percent(drawn, check_number):
    shares = drawn("fig22").query("benchmark == 'average of QA'").set_index("scale")["share"]
    for scale, share, tolerance in (("200B", 42, 0.5), ("1T", 48, 1.0)):
        check_number(
            f"gain of bootstrapping / of unique data, {scale} (%)", published=share,
            ours=100 * shares[scale], tolerance=tolerance, source="Yang et al. 2025, 2509.15248",
        )  # fmt: skip


def test_printed_averages_differ_from_the_means_of_their_rows(drawn):
    """The talk prints averages that its own rows do not give; both are drawn."""
    table = drawn("fig14").set_index("benchmark")
    printed, means = table.loc["average"], table.loc["mean of the three"]
    assert means.to_dict() == pytest.approx(
        {"base": 23.40, "default": 30.59, "lower batch": 34.48, "epochs, K = 1": 35.46,
         "K = 2": 38.75, "K = 4": 40.30, "K = 8": 40.58, "73B tokens": 39.23}, abs=0.005,
    )  # fmt: skip
    differ = printed.index[(printed - means).abs() > 0.01]
    assert differ.tolist() == ["base", "epochs, K = 1", "K = 2", "K = 4"]
    assert "base: printed 24.25, mean 23.40" in fig14_continued.PUBLISHED_CAPTION


def test_mixtures_beat_their_models_and_their_weights_sum_to_one(drawn):
    # arXiv 2312.03735: Penn Treebank 47.31, WikiText-2 55.40 (validation) and 53.73.
    for _, rows in drawn("fig07").groupby("corpus"):
        assert rows["weight"].sum() == pytest.approx(1, abs=0.005)
        assert rows["perplexity"].idxmin() == rows.index[rows["model"] == "mixture"][0]
    wikitext = drawn("fig07").query("corpus == 'WikiText-2'")
    assert (wikitext["valid"] > wikitext["perplexity"]).all()


def test_typed_numbers_are_those_of_the_public_table():
    needed("published/infinite_compute_runs.csv")
    benchmark = talk.infinite_compute("benchmark", metric="avg3_acc")
    sweep = benchmark[benchmark["recipe"] == "epoch sweep"].rename(columns={"value": "public"})
    found = talk.EPOCH_ACCURACY.merge(sweep, on=["n_epochs", "weight_decay"])
    assert len(found) == len(talk.EPOCH_ACCURACY)
    assert found["accuracy"].tolist() == pytest.approx(found["public"].tolist(), abs=6e-5)
    tuned = talk.infinite_compute("tuned_hparams").query("recipe == 'regularized'")
    found = talk.TUNED_DECAY.merge(tuned, on=["n_params", "n_unique_tokens"])
    assert len(found) == len(talk.TUNED_DECAY)
    assert found["weight_decay_x"].tolist() == found["weight_decay_y"].tolist()
    limits = talk.infinite_compute("fitted_asymptote")
    chosen = limits["recipe"].str.contains("heuristic").map({True: "heuristic", False: "single"})
    keys = ["n_params", "n_unique_tokens", "chosen_for"]
    found = talk.MEMBER_SETTINGS.merge(limits.assign(chosen_for=chosen), on=keys)
    assert len(found) == len(talk.MEMBER_SETTINGS)
    assert found["loss"].tolist() == pytest.approx(found["value"].tolist(), abs=1e-6)


def test_the_student_keeps_83_percent(drawn, check_number):
    # (3.57 - 3.36) / (3.57 - 3.32) is 84 %.
    check_number(
        "gain of the ensemble that a student keeps (%)", published=83,
        ours=100 * drawn("fig12")["share_kept"].iloc[0], tolerance=1,
        source="Kim et al. 2025, 2509.14786",
    )  # fmt: skip


def test_the_best_decay_grows_with_parameters_per_token(drawn):
    decay = drawn("fig06").query("panel == 'decay'")
    decay = decay[decay["series"] == "best"]
    assert len(decay) == 17
    assert decay[["x", "y"]].corr("spearman").iloc[0, 1] > 0.8


def test_text_runs_out_on_published_inputs():
    found = text_runs_out(None)
    assert found.id == "P1"
    assert found.verdict == "supported"
    assert 2026 < found.low < found.value < found.high < 2034


def test_typed_points_are_those_of_the_public_notebook():
    needed(datasets.DATASETS["entigraph"].path)
    table = datasets.load_dataset("entigraph").query("setting == 'closed_book'")
    for name, series in (("entigraph", "entigraph_cpt"), ("paraphrase", "rephrase_cpt")):
        public = table.loc[table["series"] == series, ["n_million_tokens", "accuracy"]]
        assert talk.ENTIGRAPH_POINTS[name].to_numpy().tolist() == public.to_numpy().tolist()


def test_without_a_data_folder_only_what_must_be_downloaded_is_missing(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("DATAWALL_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(datasets, "_fetched", lambda *file: OSError("no network"))
    out = tmp_path / "out"
    assert main(["figures", "--published", "fig12", "fig16", "--out", str(out)]) == 0
    assert (out / "published" / "fig16.png").stat().st_size > 5000
    assert main(["figures", "--published", "fig05", "--out", str(out)]) == 1
    assert "put it at fits/learning_curves/learning_curves_dev.csv" in capsys.readouterr().err
