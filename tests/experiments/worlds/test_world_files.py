"""A world may be a TOML file: it is read as it was written, and what is wrong in it is named."""

import dataclasses

import pytest

from experiments.cli.app import main
from experiments.story.story import open_lab
from experiments.worlds import registry
from experiments.worlds.files import read_world, world_toml
from experiments.worlds.registry import WORLDS, find_world, world_argument
from experiments.worlds.world import PLANS, World

LEAST = """
widths = [8]
recipes = ["standard"]
n_unique_tokens = 1024
n_eval_tokens = 512
standard_epochs = [1, 2]
start = [0.4, 1]
n_seeds = 2
n_tuning_members = 3
n_members = 4
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="mine.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_every_world_is_read_as_it_was_written(world, written):
    read = read_world(written(world_toml(world)))
    assert read == dataclasses.replace(world, name="mine")
    assert repr(read) == repr(dataclasses.replace(world, name="mine"))  # whole numbers stay whole


def test_worlds_are_found_in_modules_of_their_names(tmp_path, monkeypatch):
    by_size = sorted(WORLDS.values(), key=lambda world: world.n_unique_tokens)
    assert [*WORLDS.values()] == by_size
    assert WORLDS.keys() >= {"tiny", "quick", "small", "gpu"}
    folder = tmp_path / "my_worlds"
    folder.mkdir()
    (folder / "half.py").write_text(
        "from dataclasses import replace\n"
        "from experiments.worlds.tiny import TINY\n"
        'HALF = replace(TINY, name="half", n_unique_tokens=2_048)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "__file__", str(folder / "registry.py"))
    monkeypatch.setattr(registry, "__package__", "my_worlds")
    assert [world.name for world in registry._built_in()] == ["half"]
    (folder / "third.py").write_text(
        "from dataclasses import replace\n"
        "from experiments.worlds.tiny import TINY\n"
        'THIRD = replace(TINY, name="third", n_tuning_members=2)\n'
    )
    with pytest.raises(ValueError, match=r"third\.py: n_tuning_members must be 3 or more; not 2"):
        list(registry._built_in())
    (folder / "third.py").unlink()
    (folder / "fourth.py").write_text(
        "from dataclasses import replace\n"
        "from experiments.worlds.tiny import TINY\n"
        'FOURTH = replace(TINY, name="forth")\n'
    )
    said = r"fourth\.py: its world must have the name of the file, 'fourth'; not 'tiny', 'forth'"
    with pytest.raises(ValueError, match=said):
        list(registry._built_in())


def test_what_a_file_leaves_out_is_as_in_a_world_without_it(written):
    assert read_world(written(LEAST)) == World(
        name="mine",
        recipes=("standard",),
        widths=(8,),
        n_unique_tokens=1024,
        n_eval_tokens=512,
        standard_epochs=(1, 2),
        start=(0.4, 1),
        n_seeds=2,
        n_tuning_members=3,
        n_members=4,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("widths = [", "is not TOML"),
        ("width = [8]", "width is unknown; allowed are name, recipes, corpus"),
        ("context = 64.5", "context must be a whole number; not 64.5"),
        ("context = true", "context must be a whole number; not True"),
        ("corpus = 3", "corpus must be a text; not 3"),
        ("warm_start = 1", "warm_start must be true or false; not 1"),
        ("standard_decay = inf", "standard_decay must be a number; not inf"),
        ("epochs = 3", r"epochs must be a list, such as \[1, 2\]; not 3"),
        ("epochs = [1, 'two']", r"epochs\[1\] must be a whole number; not 'two'"),
        ("widest = { n_epochs = [1] }", "widest.n_epochs must be a list of 2 values"),
        ("widest = 3", "widest must be a table, such as"),
        ("facts = 3", r"facts must be a table \[facts\]; not 3"),
        ("[facts]\nwidht = 3", "facts.widht is unknown; allowed are n_entities, mean_degree"),
        ("[excerpts]\narms = ['half']", r"excerpts.arms\[0\] must be one of baseline, oracle, sbp"),
        (
            "[distillation]\nwidth = 8",
            "distillation.n_epochs, .* must be given",
        ),
        ("n_tuning_members = 2", "n_tuning_members must be 3 or more; not 2"),
        ("recipes = ['standart']", "recipes must be among ablations, .*; not 'standart'"),
        ("recipes = ['entigraph']", r"the recipe entigraph needs a table \[facts\]"),
        ("name = '../elsewhere'", "name must be letters, digits, .*; not '../elsewhere'"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(text, said, written):
    keys = {line.partition(" = ")[0] for line in text.splitlines()}
    rest = [line for line in LEAST.splitlines() if line.partition(" = ")[0] not in keys]
    tables_last = "\n".join([*rest, text])
    with pytest.raises(ValueError, match=said) as refused:
        read_world(written(tables_last))
    assert "mine.toml" in str(refused.value)


def test_what_must_be_given_is_named(written):
    with pytest.raises(ValueError, match=r"widths, n_unique_tokens, .*n_members must be given"):
        read_world(written("context = 32"))


def test_a_plan_that_cannot_be_checked_is_refused_with_its_table(written):
    text = world_toml(WORLDS["tiny"]).replace("brute_width = 24", "brute_width = 8")
    with pytest.raises(ValueError, match=r"calibration\.brute_width must be beyond 16; not 8"):
        read_world(written(text))


def test_a_file_may_not_take_the_name_of_a_world_that_is_there(written):
    with pytest.raises(ValueError, match="name must differ from the built-in worlds "):
        find_world(str(written(LEAST, "tiny.toml")))


def test_a_command_for_a_world_names_its_file(written):
    assert world_argument(WORLDS["tiny"]) == "tiny"
    path = written(LEAST, "mine.toml")
    assert world_argument(find_world(str(path))) == path.name


def test_every_recipe_with_a_plan_runs_in_a_world_of_another_name():
    world = dataclasses.replace(WORLDS["tiny"], name="other")
    for recipe, field in PLANS.items():
        assert world.plan_of(getattr(world, field), recipe) is getattr(WORLDS["tiny"], field)
    with pytest.raises(ValueError, match="world gpu has no plan for bootstrapped"):
        WORLDS["gpu"].plan_of(WORLDS["gpu"].concepts, "bootstrapped")


def test_a_command_takes_a_file_for_a_world(written, tmp_path):
    lab = open_lab(str(written(LEAST)), corpus=None, runs=tmp_path / "runs")
    assert lab.world.widths == (8,)
    assert lab.store.root == tmp_path / "runs" / "mine"


def test_worlds_are_listed_and_shown(capsys, written):
    assert main(["worlds"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in WORLDS)
    assert main(["worlds", "--show", "quick"]) == 0
    shown = capsys.readouterr().out
    assert read_world(written(shown)).widths == WORLDS["quick"].widths
    assert "# tokens in a window." in shown
    assert main(["worlds", "--show", "huge"]) == 2
    assert "a world of your own is a file" in capsys.readouterr().err
