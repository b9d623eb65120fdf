"""A file and a configuration say the same; what is wrong in a file is named in one line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig, PaperConfig
from fedket.experiment.load import dump_config, load_config, parse_config
from fedket.experiment.run_directory import config_hash
from fedket.kinds import BUILT_IN
from fedket.section import find_section

POSITIVE = st.floats(1e-30, 1e30)
COUNTS = st.integers(1, 2**31 - 1)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
MODEL_TABLES = st.one_of(
    st.fixed_dictionaries({"kind": st.just("mlp"), "hidden": st.lists(COUNTS, max_size=3)}),
    st.fixed_dictionaries({"kind": st.just("vqc"), "logit_scale": POSITIVE}),
    st.fixed_dictionaries({"kind": st.sampled_from(["lenet5", "quantum_train"])}),
)
CONFIGS = st.fixed_dictionaries(
    {
        "name": NAMES,
        "description": st.text(),
        "seed": st.integers(0, 2**31 - 1),
        "data": st.fixed_dictionaries(
            {
                "kind": st.just("npz"),
                "path": st.text(),
                "classes": st.lists(st.integers(0, 2**31 - 1)),
            }
        ),
        "model": MODEL_TABLES,
        "training": st.fixed_dictionaries({"batch_size": COUNTS}),
        "optimizer": st.fixed_dictionaries({"learning_rate": POSITIVE}),
        "strategy": st.fixed_dictionaries(
            {"kind": st.just("fed_yogi"), "beta1": st.floats(0, 1, exclude_max=True)}
        ),
    }
)


@given(values=CONFIGS)
def test_a_dumped_configuration_loads_as_itself(values, tmp_path):
    config = parse_config(values)
    path = tmp_path / "dumped.toml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config


def sections():
    """Table name, "" for the top, and its keys; once per kind where there are kinds."""
    yield "", list(ExperimentConfig.model_fields), {}
    for table, field in ExperimentConfig.model_fields.items():
        if table in BUILT_IN and table != "transform":
            for kind in BUILT_IN[table]:
                keys = list(find_section(table, kind, Path()).model_fields)
                yield table, keys, {table: {"kind": kind}}
        elif hasattr(field.annotation, "model_fields"):
            yield table, list(field.annotation.model_fields), {}
    yield "paper", list(PaperConfig.model_fields), {}


@pytest.mark.parametrize(("table", "keys", "values"), list(sections()))
def test_a_mistyped_key_is_told_the_nearest_one(table, keys, values):
    for key in (key for key in keys if len(key) > 2):
        typo = key[0] + key[2:]
        wrong = {"name": "x", **values}
        target = wrong.setdefault(table, {}) if table else wrong
        path = f"{table}.{key}" if table else key
        with pytest.raises(ConfigError, match="unknown key") as error:
            parse_config({**wrong, table: target | {typo: 1}} if table else wrong | {typo: 1})
        assert f"did you mean `{path}`?" in str(error.value)


def test_a_key_of_another_model_kind_says_whose_it_is():
    with pytest.raises(ConfigError) as error:
        parse_config({"name": "x", "model": {"kind": "mlp", "num_qubits": 4}})
    assert "belongs to model `vqc` and " in str(error.value)
    assert ", this one is `mlp`" in str(error.value)
    assert "(known: kind, hidden, match_parameters)" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [("training.learning_rate=0.1", "optimizer.learning_rate"), ("training.optimizer=sgd", "kind")],
)
def test_a_key_of_an_older_version_is_told_its_new_name(old, new, tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("seed = 0")
    with pytest.raises(ConfigError, match=f"`{old.partition('=')[0]}` is now `.*{new}`"):
        load_config(path, [old])


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"rounds": 5}, "`federation.rounds`"),
        ({"federation": {"batch_size": 5}}, "`training.batch_size`"),
        ({"training": {"seed": 5}}, "`seed` above the first [table]"),
    ],
)
def test_a_key_in_the_wrong_table_is_told_the_right_one(values, hint):
    with pytest.raises(ConfigError) as error:
        parse_config({"name": "x", **values})
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('federation.rounds="ten"', '`federation.rounds` should be a valid integer, got "ten"'),
        ("federation.rounds=ten", '`federation.rounds` should be a valid integer, got "ten"'),
        ("federation.rounds=2.5", "`federation.rounds` should be a valid integer, got 2.5"),
        ("federation.rounds=true", "`federation.rounds` should be a valid integer, got true"),
        ("federation.rounds=0", "`federation.rounds` should be greater than or equal to 1, got 0"),
        ("federation.rounds=99999999999", "should be less than 2147483648, got 99999999999"),
        ("federation.rounds=2020-01-01", "should not be a date or time, got 2020-01-01"),
        ("federation.rounds=[1]", "should be a valid integer, got [1]"),
        ("optimizer.learning_rate=nan", "should be a finite number, got NaN"),
        ("optimizer.learning_rate=inf", "should be a finite number, got Infinity"),
        ("optimizer.weight_decay=inf", "should be a finite number, got Infinity"),
        ("strategy={kind='fed_adam', beta1=nan}", "got NaN"),
        ("training.persistent_optimizer=1", "should be a valid boolean, got 1"),
        ("strategy.kind=fedavg", "unknown strategy `fedavg`; did you mean `fed_avg`?"),
        ("model.kind=vcq", "unknown model `vcq`; did you mean `vqc`?"),
        ("model={num_qubits = 4}", "`model.kind` is missing"),
        ("model=4", "`model` should be a table, got 4"),
        ("data=4", "`data` should be a table, got 4"),
        ("data.classes=[0,", "`data.classes` should be a valid array, got "),
        (
            "data={kind='npz', sha256='abc'}",
            '`data.sha256` should be 64 hexadecimal digits, got "abc"',
        ),
        ('name="a b"', "`name` should be letters, digits"),
        ("description=\udcff", "not valid Unicode"),
        ("paper=4", "`paper` should be a table, got 4"),
        ("paper.source=x", "`paper.row` is missing"),
        ('paper={source="x", row="y", reported=91.2}', "`paper` should have `reported` as a frac"),
        ('paper={source="x", row="y", seeds=[1, 1]}', "should name each seed once, got [1, 1]"),
        ("fast=4", "`fast` should be a table, got 4"),
        ("fast={a=[[1]]}", "`fast.a` should be a finite number, a text, true, false, or a list of"),
        ("fast={a=inf}", "`fast.a` should be a finite number, a text, true, false, or a list of"),
        ("seed", "--set takes TABLE.KEY=VALUE, got `seed`"),
        ("=3", "--set takes TABLE.KEY=VALUE"),
        ("federation..rounds=3", "--set takes TABLE.KEY=VALUE"),
        ("name.first=3", "`name` is a value, not a table"),
    ],
)
def test_a_wrong_value_is_told_what_arrived_and_what_is_allowed(line, complaint, tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('name = "x"\n')
    with pytest.raises(ConfigError) as error:
        load_config(path, [line])
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a = [1,", "not valid TOML"),
        (b"seed = 1\nseed = 2", "not valid TOML"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (b"\0", "not valid TOML"),
        (b'name = "\xff"', "not UTF-8"),
        (b"[federation]\nrounds = 07:32:00", "`federation.rounds` should not be a date or time"),
        (b"seed = " + b"9" * 100_000, "an integer has more than 64 bits"),
        (b"seed = 0x" + b"f" * 100_000, "an integer has more than 64 bits"),
        (b"seed = 18446744073709551616", "an integer has more than 64 bits"),
        (b".".join([b"a"] * 20_000) + b" = 1", "has more than 1000 dots"),
        (b"[" + b".".join([b"a"] * 20_000) + b"]", "has more than 1000 dots"),
        (b".".join([b"a"] * 200) + b" = 1", "more than 64 tables deep"),
        (b"a = " + b"[" * 200 + b"]" * 200, "more than 64 tables deep"),
        (b'"' + b".".join([b"a"] * 900) + b'" = 1\n[fast]\nseed = 1', "unknown key"),
        (b'[fast]\n"' + b".".join([b"a"] * 900) + b'" = 1', "more than 64 tables deep"),
        (b"a" * 100_000 + b" = 1", "unknown key `aaa"),
        (b'description = "' + b"a" * 2**20 + b'"', "more than 1048576 characters"),
    ],
)
def test_a_file_that_is_no_experiment_is_named(content, complaint, tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        load_config(path, fast=b"[fast]" in content)
    assert complaint in str(error.value)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "seed=" + "9" * 100_000,
        "seed=0x" + "f" * 100_000,
        "seed=" + "[" * 100_000,
        "seed=" + "[" * 200 + "]" * 200,
        "seed=1" + ".1" * 20_000,
        ".".join(["a"] * 20_000) + "=1",
        "a" * 100_000 + "=1",
        "a" * 100_000,
        "seed." + "a" * 100_000 + "=1",
        "transform." + "9" * 5000 + ".kind=1",
    ],
)
def test_set_refuses_monsters_in_one_short_line(text, tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('transform = [{kind = "resize", side = 8}]')
    with pytest.raises(ConfigError) as error:
        load_config(path, [text])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no experiment file"):
        load_config(tmp_path / "no.toml")
    with pytest.raises(ConfigError, match="is a directory"):
        load_config(tmp_path)


def test_a_file_without_a_name_is_called_after_itself(tmp_path):
    path = tmp_path / "my first try (2).toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 4\n")  # with the mark that Windows editors put first
    config = load_config(path)
    assert (config.name, config.seed) == ("my-first-try-2", 4)


def test_set_changes_one_value_and_makes_tables_as_needed(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("seed = 0")
    config = load_config(path, ["federation.rounds = 7", "data.classes=[3, 1]", "description=a b"])
    assert (config.federation.rounds, config.data.classes) == (7, (3, 1))
    assert config.description == "a b"
    json.dumps(config.model_dump(mode="json"))


PUBLISHED = """
name = "x"
[federation]
rounds = 100
[paper]
source = "arXiv:0000.00000, Table 1"
row = "x"
reported = 0.5
[fast]
federation.rounds = 3
"data.classes" = [0, 1]
"""


def test_the_fast_profile_changes_the_values_it_names_and_the_name(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(PUBLISHED)
    full, fast = load_config(path), load_config(path, ["seed=5"], fast=True)
    assert (full.name, full.federation.rounds, full.data.classes) == ("x", 100, ())
    assert (fast.name, fast.federation.rounds, fast.data.classes) == ("x-fast", 3, (0, 1))
    assert fast.seed == 5
    assert fast.model_copy(update={"name": "x", "seed": 0}) == load_config(
        path, ["federation.rounds=3", "data.classes=[0, 1]"]
    )
    assert config_hash(full) != config_hash(load_config(path, fast=True))


def test_what_a_paper_prints_decides_no_number(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(PUBLISHED)
    bare = parse_config({"name": "x"})
    assert config_hash(load_config(path)) == config_hash(bare)


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("seed = 0", "has no [fast] table"),
        ("[fast]\nfederation.runds = 3", "[fast]: unknown key `federation.runds`; did you mean"),
        ("[fast]\nfederation.rounds = 0", "[fast]: `federation.rounds` should be greater"),
        ("[fast]\nname.first = 0", "`fast.name.first`: `name` is a value, not a table"),
    ],
)
def test_a_fast_profile_that_is_missing_or_wrong_is_told(table, complaint, tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(table)
    with pytest.raises(ConfigError) as error:
        load_config(path, fast=True)
    assert complaint in str(error.value)
