"""A file of several experiments: each row is what they share, changed by its own values."""

import pytest

from fedket.errors import ConfigError
from fedket.experiment.load import dump_config, load_config
from fedket.experiment.rows import flatten, put

TABLE = """
name = "zoo"
description = "animals"

[federation]
rounds = 40

[strategy]
kind = "fed_adam"

[paper]
source = "a book"
assumptions = ["shared"]

[fast]
"federation.rounds" = 2
"training.epochs" = 1

[rows."cats"]
paper.row = "Cats"

[rows."dogs-0.1"]
description = "dogs"
seed = 3
"strategy.learning_rate" = 0.1
federation = {rounds = 7, eval_every = 7}
paper.row = "Dogs"
paper.assumptions = ["own"]
fast.federation.rounds = 1
"""


@pytest.fixture
def table(tmp_path):
    (tmp_path / "zoo.toml").write_text(TABLE)
    return tmp_path / "zoo.toml"


def row(table, name):
    return table.with_name(f"{table.name}:{name}")


def test_a_row_is_the_shared_values_changed_by_its_own(table):
    cats, dogs = (load_config(row(table, name)) for name in ("cats", "dogs-0.1"))
    assert (cats.name, cats.description, cats.seed) == ("zoo-cats", "animals", 0)
    assert (dogs.name, dogs.description, dogs.seed) == ("zoo-dogs-0.1", "dogs", 3)
    assert (cats.federation.rounds, cats.federation.eval_every) == (40, 1)
    assert (dogs.federation.rounds, dogs.federation.eval_every) == (7, 7)
    assert (cats.strategy.kind, cats.strategy.learning_rate) == ("fed_adam", 0.01)
    assert (dogs.strategy.kind, dogs.strategy.learning_rate) == ("fed_adam", 0.1)


def test_a_rows_assumptions_follow_the_shared_ones(table):
    assert load_config(row(table, "cats")).paper.assumptions == ("shared",)
    assert load_config(row(table, "dogs-0.1")).paper.assumptions == ("shared", "own")


def test_rows_of_a_group_share_what_stands_between_file_and_row(tmp_path):
    (tmp_path / "zoo.toml").write_text(
        """
        paper = {source = "a book", assumptions = ["of all"]}
        [groups.pets]
        federation = {rounds = 7, eval_every = 2}
        paper.assumptions = ["of pets"]
        transform = [{kind = "resize", side = 4}]
        [rows.cats]
        group = "pets"
        federation.rounds = 8
        transform.0.side = 5
        paper = {row = "Cats", assumptions = ["own"]}
        [rows.dogs]
        group = "pets"
        paper.row = "Dogs"
        [rows.wolves]
        paper.row = "Wolves"
        """
    )
    cats, dogs, wolves = (
        load_config(tmp_path / f"zoo.toml:{name}") for name in ("cats", "dogs", "wolves")
    )
    assert [c.federation.rounds for c in (cats, dogs)] == [8, 7] != wolves.federation.rounds
    assert [c.federation.eval_every for c in (cats, dogs)] == [2, 2]
    assert [c.transform[0].side for c in (cats, dogs)] == [5, 4]
    assumed = [("of all", "of pets", "own"), ("of all", "of pets"), ("of all",)]
    assert [c.paper.assumptions for c in (cats, dogs, wolves)] == assumed


def test_fast_profile_and_overrides_come_after_the_row(table):
    dogs = load_config(row(table, "dogs-0.1"), ["training.epochs=5"], fast=True)
    assert (dogs.name, dogs.federation.rounds, dogs.training.epochs) == ("zoo-dogs-0.1-fast", 1, 5)
    assert load_config(row(table, "cats"), fast=True).federation.rounds == 2


def test_a_row_alone_in_its_file_is_the_same_experiment(table, tmp_path):
    dogs = load_config(row(table, "dogs-0.1"))
    (tmp_path / "alone.toml").write_text(dump_config(dogs))
    assert load_config(tmp_path / "alone.toml") == dogs


def test_a_file_without_a_name_leaves_its_rows_theirs(tmp_path):
    (tmp_path / "zoo.toml").write_text("[rows.cats]\nseed = 1\n[rows.dogs]")
    assert load_config(tmp_path / "zoo.toml:cats").name == "cats"


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("zoo.toml", "holds 2 experiments; name one as `{file}:cats` (rows: cats, dogs-0.1)"),
        ("zoo.toml:", "holds 2 experiments; name one as"),
        ("zoo.toml:dogs", "has no row `dogs`; did you mean `dogs-0.1`? (rows: cats, dogs-0.1)"),
        ("zoo.toml:x", "has no row `x` (rows: cats, dogs-0.1)"),
        ("none.toml:x", "no experiment file {folder}/none.toml; `fedket list`"),
        ("single.toml:x", "single.toml has no rows, so no `x`; leave `:x` out"),
    ],
)
def test_a_row_that_is_not_there_is_told(name, complaint, table, tmp_path):
    (tmp_path / "single.toml").write_text("seed = 1")
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / name)
    assert complaint.format(file=table, folder=tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rows = 4", "x.toml: `rows` should hold a table for each row"),
        ("[rows]\na = 4", "x.toml: `rows` should hold a table for each row"),
        ("groups = 4\n[rows.a]", "x.toml:a: `groups` should hold a table for each group, [groups"),
        ("[groups.bc]\n[rows.a]\ngroup = 'b'", "x.toml:a: no group `b`; did you mean `bc`?"),
        ("[rows.a]\ngroup = [1]", "x.toml:a: no group `[1]`"),
        ("[rows.a]\nname = 'b'", "x.toml:a: a row has no `name` of its own; it is called `a`"),
        ("[rows.a]\nfederation.runds = 4", "x.toml:a: unknown key `federation.runds`; did you"),
        ("[rows.a]\nfederation.rounds = 0", "x.toml:a: `federation.rounds` should be greater"),
        ("seed = 1\n[rows.a]\nseed.x = 0", "x.toml:a: `seed` is a value, not a table"),
        ("[rows.a]\nrows = 1", "x.toml:a: unknown key `rows`"),
        ("[rows.a.fast]\nfederation.runds = 3", "x.toml:a [fast]: unknown key `federation.runds`"),
        ("[rows.a.paper]\nchoices = ['x']", "x.toml:a: `paper.choices` is now `paper.assumptions`"),
        ("[rows.a]\nseed = 1", "x.toml:a has no [fast] table"),
    ],
)
def test_what_is_wrong_in_a_row_names_file_and_row(text, complaint, tmp_path):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "x.toml:a", fast=True)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_nested_and_dotted_keys_mean_the_same():
    nested = {"a": {"b": {"c": 1}, "d": [1]}, "e": 2}
    assert flatten(nested) == {"a.b.c": 1, "a.d": [1], "e": 2} == flatten(flatten(nested))
    back = {}
    for path, value in flatten(nested).items():
        put(back, path, value, "x")
    assert back == nested
