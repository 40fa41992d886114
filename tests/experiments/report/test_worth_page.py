"""The page of `datawall worth`: it says what the result says, and can be read as a page."""

import html.parser
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tyro

from experiments.analysis.intervals import mean_estimate
from experiments.cli.augment.worth import WorthCommand, _write
from experiments.planner.worth import Worth, WorthSettings, multiplier_of_arm
from experiments.planner.worth_texts import WorthTexts
from experiments.planner.worth_words import remedy, verdict
from models.augment.texts.records import Provenance, Record

ARMS = {"real, half": (0.5, 0), "real": (1, 0), "oracle, 2x": (2, 0), "synthetic 1:3": (1, 0.25)}
VOID = {"meta", "img", "br"}


class Page(html.parser.HTMLParser):
    """Tags of a page; fails where one is closed that was not opened last."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def result(loss, noise=1e-3):
    """Real text of size m has the loss 3 - .1 ln m."""
    rng = np.random.default_rng(0)
    runs = pd.DataFrame(
        {
            "arm": arm, "size": size, "share": share, "draw": draw, "weight_decay": 0.4,
            "is_edge": False, "synthetic_tokens": 900 * bool(share), "run_id": "ab",
            "test_loss": (loss if share else 3 - 0.1 * np.log(size)) + noise * rng.normal(),
        }
        for arm, (size, share) in ARMS.items()
        for draw in range(3)
    )  # fmt: skip
    settings = WorthSettings(
        shares={"1:3": 1 / 3}, n_stock=2_000, epochs=4, n_draws=3, width=8, n_layers=1, context=16,
        batch=4, learning_rate=5e-3,
    )  # fmt: skip
    multipliers = {"synthetic 1:3": multiplier_of_arm(runs, "synthetic 1:3")}
    return Worth(
        settings=settings, provenance="rephrase by <m>", n_params=7, runs=runs,
        best="synthetic 1:3", multipliers=multipliers,
    )  # fmt: skip


@pytest.fixture
def texts():
    real = tuple(Record(id=f"{i}.txt", text="a b c", metadata={}) for i in range(5))
    origin = Provenance(
        method="rephrase", task="easy", source_ids=("0.txt",), model="openai:<m>", seed=0,
        prompt_version="7",
    )  # fmt: skip
    written = Record(id="new", text="a b c d", metadata=origin.as_metadata())
    return WorthTexts(
        real=real[:3], validation=real[3:4], test=real[4:], synthetic=(written,) * 2, n_left_out=9
    )


def command(out, **options):
    return WorthCommand(input=Path("my texts"), synthetic=Path("new"), out=out, **options)


@pytest.mark.parametrize(
    ("loss", "noise", "said"),
    [
        (3 - 0.1 * np.log(1.3), 1e-3, r"is worth 1\.\d\dx \[1\.\d\d, 1\.\d\d\] that stock alone"),
        (3.0, 1.0, "could not be decided"),
    ],
)
def test_the_page_says_what_the_result_says(texts, tmp_path, loss, noise, said):
    worth = result(loss, noise)
    path = _write(worth, texts, command(tmp_path))[0]
    page = Page(path.read_text(encoding="utf-8"))
    assert re.search(said, page.text)
    assert verdict(worth) in page.text
    # The answer stands before the picture, and what is open comes with its remedy.
    assert page.text.index(verdict(worth)) < page.text.index("Black: loss")
    assert remedy(worth) in page.text
    assert bool(remedy(worth)) == (noise == 1)
    for row in worth.table().to_dict("records"):
        assert {row["arm"], f"{row['real']:,}"} <= set(map(str.strip, page.words))
        interval = mean_estimate(worth.losses(row["arm"]))
        assert f"{row['loss']} [{interval.low:.2f}, {interval.high:.2f}]" in page.text
    for part in ("openai:<m>", "easy", "9 from held-out documents", "large pretrained model"):
        assert part in page.text


def test_the_page_needs_nothing_else_and_every_picture_has_words(texts, tmp_path):
    path = _write(result(2.99), texts, command(tmp_path))[0]
    page = Page(path.read_text(encoding="utf-8"))
    assert len(page.all("img")) == 1
    assert all(len(image["alt"]) > 20 for image in page.all("img"))
    used = [attrs.get("src") or attrs["href"] for name in ("img", "a") for attrs in page.all(name)]
    assert all(one.startswith(("data:", "#")) for one in used)
    assert not page.all("link")
    assert not page.all("script")
    assert not re.search(r"url\(|@import", path.read_text(encoding="utf-8"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert {one[1:] for one in used if one.startswith("#")} <= set(ids)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"shares": ("1:3", "1:1"), "leave_out_overlap": True},
        {"draws": 5, "unique_tokens": "2k"},
    ],
)
def test_the_command_on_the_page_has_the_same_settings(tmp_path, options):
    asked = command(tmp_path, **options)
    program, name, *arguments = shlex.split(asked.line)
    assert (program, name) == ("datawall", "worth")
    assert tyro.cli(WorthCommand, args=arguments) == asked
