"""The page: claims, figures and the runs behind them link to each other; nothing is empty."""

import itertools
import math
import re
from dataclasses import replace

import pytest
from PIL import Image

from experiments.claims.claim import Claim, claim_html
from experiments.lab.recipe import Evidence, Results
from experiments.recipes.continued.recipe import continued
from experiments.report.report import Drawing, render_page, with_sizes
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
    assert 'Their ids: <a href="#runs-continued">continued</a>.' in page
    listed = re.search(r'<div id="runs-continued">(.*?)</div>', page, re.DOTALL)[1]
    assert "ab cd" in listed
    assert "continued/ef" in listed


def drawing(tmp_path, name, label, **options):
    """A drawing with a picture of 4 x 2 pixels and a table."""
    paths = [tmp_path / f"{label}.{suffix}" for suffix in ("png", "csv")]
    Image.new("RGB", (4, 2)).save(paths[0])
    paths[1].write_text("x\n1\n")
    return Drawing(
        label=label, name=name, title="Title", caption="What is seen. And more.",
        command="datawall figures", paths=tuple(paths), **options,
    )  # fmt: skip


@pytest.fixture
def page(story, tmp_path):
    return render_page(
        story, [CLAIM, replace(CLAIM, id="N1", verdict="contradicted", low=-math.inf)],
        [
            drawing(tmp_path, "figures/fig14", "here", claims=("P18", "S99")),
            drawing(tmp_path, "published/fig14", "published", claims=("P18", "S99")),
            Drawing(
                label="here", name="figures/fig20", title="Absent", caption="", command="",
                missing="no table", claims=("S5",),
            ),
            Drawing(
                label="published", name="published/fig02", title="Absent", caption="",
                command="", missing="no table", claims=("P2",),
            ),
        ],
    )  # fmt: skip


def test_claims_and_figures_link_to_each_other(page):
    links, ids = re.findall(r'href="#([^"]+)"', page), re.findall(r' id="([^"]+)"', page)
    assert set(links) <= set(ids)
    assert len(ids) == len(set(ids))
    figure = re.search(r'<figure id="fig14">(.*?)</figure>', page, re.DOTALL)[1]
    assert '<a href="#P18">P18</a>' in figure
    assert "S99" not in figure  # not a claim of this world
    assert "Claims of the talk that this world does not test" in page
    for part in (r'<li><a href="#P18">.*?</li>', r'<tr id="P18">.*?</tr>'):
        assert '<a href="#fig14">Figure 14</a>' in re.search(part, page, re.DOTALL)[0]


def test_what_was_not_drawn_is_a_line_and_not_a_card(page):
    assert re.findall(r'<figure id="(\w+)">', page) == ["fig14"]
    assert (
        "Not drawn: Figure 20 of these runs (no table); Figure 2 as published (no table)." in page
    )
    assert page.index('id="not-drawn"') > page.index("</figure>")


def test_ours_stand_before_the_published_ones_at_equal_scale(page):
    assert re.findall(r'class="label">(\w+)<', page) == ["here", "published"]
    assert len(set(re.findall(r'<img [^>]*style="([^"]+)"', page))) == 1
    assert page.count('alt="Title. What is seen."') == 2


def test_claims_of_the_talk_and_of_this_project_are_listed_apart(page):
    agrees = re.search(r"<h3>Agrees with the talk \(1\)</h3>(.*?)</ul>", page, re.DOTALL)[1]
    assert re.findall(r'href="#(\w+)">\1<', agrees) == ["P18"]
    assert "Differs from the talk" not in page
    own = re.search(r"which the talk does not make \(1\)</h3>(.*?)</ul>", page, re.DOTALL)[1]
    assert '<span class="contradicted">contradicted</span>: It helps.' in own


def test_a_claim_that_is_not_supported_is_listed_with_its_measurement(page):
    shown = '<span class="soft">Here, gain: 0.5 [no lower end, 0.75]</span>'
    assert page.count(shown) == page.count('<span class="soft">Here, ') == 1


def test_the_answer_links_to_the_claims_that_compare_its_limits(story):
    claims = [replace(CLAIM, id="P7"), replace(CLAIM, id="P8", verdict="inconclusive")]
    asked = re.search(
        r"<p>Is each below the one before\?(.*?)</p>", render_page(story, claims, []), re.DOTALL
    )
    assert re.findall(r'<span class="(\w+)">\1</span> \(<a href="#(P\d+)">', asked[1]) == [
        ("supported", "P7"),
        ("inconclusive", "P8"),
    ]


def test_a_figure_without_claims_of_this_world_has_no_line_for_them(story, tmp_path):
    page = render_page(
        story, [CLAIM], [drawing(tmp_path, "figures/fig11", "here", claims=("P13",))]
    )
    assert "Claims:" not in page


def test_an_infinite_end_is_words():
    ends = {"low": -math.inf, "high": math.inf}
    assert replace(CLAIM, **ends).measurement == "not identified"
    assert replace(CLAIM, low=-math.inf).measurement == "0.5 [no lower end, 0.75]"
    assert replace(CLAIM, high=math.inf).measurement == "0.5 [0.25, no upper end]"


def test_the_first_mention_of_a_width_comes_with_its_size():
    said = with_sizes("Width 16; width 160, width 16, width 32", {16: 6736, 160: 1_000_000})
    assert said == "Width 16 (N = 6.74k); width 160 (N = 1M), width 16, width 32"


def test_a_claim_without_runs_says_so():
    alone = Claim(**{**vars(CLAIM), "recipes": (), "runs": (), "records": ()})
    assert "No run is needed." in claim_html(alone)


def colors_of(block):
    """Return the hexadecimal colors that a block of CSS gives to variables."""
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))


def luminance(color):
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return sum(w * x for w, x in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_text_contrasts_with_what_it_stands_on_in_light_and_dark_mode(page):
    """WCAG 2.2, success criterion 1.4.3: 4.5 to 1."""
    light, dark = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    for colors in (colors_of(light), colors_of(dark)):
        assert colors.keys() >= {"ink", "soft", "paper", "card", "yes", "no", "open", "link"}
        for ground in ("paper", "card"):
            for text in ("ink", "soft", "yes", "no", "open", "link"):
                bright, other = sorted(
                    (luminance(colors[name]) + 0.05 for name in (ground, text)), reverse=True
                )
                assert bright / other >= 4.5, (ground, text)


def test_headings_descend_by_one_and_everything_that_scrolls_has_a_name(page):
    levels = [int(level) for level in re.findall(r"<h(\d)", page)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert all(re.search(r' alt="[^"]{10,}"', image) for image in re.findall(r"<img[^>]*>", page))
    for part in re.findall(r'<[^>]*tabindex="0"[^>]*>', page):
        assert re.search(r'role="\w+" aria-label="[^"]+"', part), part
