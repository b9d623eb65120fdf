"""Stored rows, and the README that is made of them and nothing else."""

import json

import pytest

from fedket.errors import CheckpointError, ConfigError
from fedket.experiment.key_times import KeyTime
from fedket.experiment.leakage_study import MASKED, LeakagePoint
from fedket.experiment.run_directory import config_hash
from fedket.experiment.shipped import shipped_experiments
from fedket.reproduce.questions import question_pages, read_answers
from fedket.reproduce.rows import Profile, config_for, find_rows
from fedket.reproduce.store import paper_page, read_all, read_reasons, readmes, store, write_readme
from tests.reproduce.results import with_finals


def test_only_rows_that_ran_are_stored_and_can_be_read_again(reproduced, tmp_path):
    results = reproduced[2].results
    written = store(results, tmp_path)
    assert [path.name for path in written] == ["mnist-masked.json", "mnist-plain.json"]
    assert read_all(tmp_path) == results[1:]
    text = (tmp_path / "made_up" / "README.md").read_text()
    assert "Row mnist-plain" in text
    assert "Row adni-lost" not in text


def test_seeds_of_the_same_configuration_join_those_that_were_stored(tmp_path):
    store([with_finals(0.7, 0.8, 0.9)], tmp_path)
    later = with_finals(0.1, 0.2, 0.3, 0.4)
    store([later.model_copy(update={"seeds": later.seeds[2:]})], tmp_path)
    assert read_all(tmp_path)[0].values == [0.7, 0.8, 0.3, 0.4]
    other = with_finals(0.5, config_sha256="cd" * 32)
    store([other], tmp_path)
    assert read_all(tmp_path) == [other]


def test_profiles_stand_apart(tmp_path):
    full = with_finals(0.9, 0.9, 0.9)
    others = [full.model_copy(update={"profile": name}) for name in ("fast", "rounds-5")]
    written = store([*others, full], tmp_path)
    assert sorted(path.name for path in written) == ["x.fast.json", "x.json", "x.rounds-5.json"]
    text = (tmp_path / "made_up" / "README.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# made_up",
        "## made_up, profile fast",
        "## made_up, profile rounds-5",
    ]


def test_what_is_left_to_run_is_called_an_estimate():
    short = with_finals(0.9, 0.9, 0.9, planned_rounds=70, profile="rounds-10")
    assert "- X: about 2\u202fmin 0\u202fs per seed, estimated" in paper_page([short], {})


def test_a_difference_beyond_the_spread_asks_for_its_reason(tmp_path):
    (tmp_path / "why.toml").write_text('[made_up]\nx = """\nFewer\nimages."""\n')
    result = with_finals(0.5, 0.51, 0.52)
    assert "- X: not explained yet." in paper_page([result], {})
    explained = paper_page([result], read_reasons(tmp_path)["made_up"])
    assert "- X: Fewer images.\n" in explained
    assert "not explained yet" not in explained


ANSWER = """
[[answer]]
paper = "made_up"
name = "both"
question = "Does it help?"
answer = "Not as far as the spread tells. It may."
"""
PLATEAU = {
    "circuit": "ring",
    "points": [{"layers": n, "qubits": 2, "variance": 0.1, "standard_error": 0.01} for n in (1, 4)],
}

LEAKAGE = {
    "points": [
        LeakagePoint(*view, 0.4, 0.1, 0.3, 0.9, 0.0, 0.02)._asdict()
        for view in (("sum", 1, 0.0, None), (MASKED, 1, 0.0, None), ("sum", 1, 1.0, 10.0))
    ]
}

KEY_TIMES = {
    "points": [
        time._asdict()
        for time in (KeyTime(5, 10, 640, 20.0, 32.0, 9.0), KeyTime(9, 36, 640, 0.0, None, None))
    ]
}


@pytest.mark.parametrize(
    "shown",
    [
        'axis = "noise"\nticks = ["0", "1"]\nlines.X = ["x", "not-stored"]',
        'plateau.uniform = ["ring"]\nplateau.small = ["ring"]',
        'leakage.small = ["ring-0", "ring-1"]',
        'keys.relay = "ring"',
    ],
)
def test_an_answer_stands_in_the_readme_with_a_figure_that_is_always_the_same(shown, tmp_path):
    (tmp_path / "answers.toml").write_text(ANSWER + shown)
    (tmp_path / "plateau").mkdir()
    (tmp_path / "plateau" / "ring.json").write_text(json.dumps(PLATEAU))
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "ring.json").write_text(json.dumps(KEY_TIMES))
    (tmp_path / "leakage").mkdir()
    for seed in 0, 1:
        (tmp_path / "leakage" / f"ring-{seed}.json").write_text(json.dumps(LEAKAGE))
    store([with_finals(0.5, 0.6, 0.7)], tmp_path)
    assert (
        "- Does it help? Not as far as the spread tells.\n" in (tmp_path / "README.md").read_text()
    )
    pages = question_pages(read_answers(tmp_path), read_all(tmp_path), "../results")
    assert "![Does it help?](../results/made_up/both.svg)" in pages["both.md"]
    assert "fedket reproduce made_up" in pages["both.md"]
    assert "[Does it help?](both.md)" in pages["index.md"]
    figure = (tmp_path / "made_up" / "both.svg").read_bytes()
    write_readme(tmp_path)
    assert (tmp_path / "made_up" / "both.svg").read_bytes() == figure
    for study in "plateau", "keys":
        (tmp_path / study / "ring.json").write_text("{}")
    (tmp_path / "leakage" / "ring-1.json").write_text("{}")
    if "ring" in shown:
        with pytest.raises(ConfigError, match=r"ring(-1)?\.json does not hold"):
            write_readme(tmp_path)


@pytest.mark.parametrize("text", ["x = 1", "[made_up]\nx = 1", "[made_up", "\udcff"])
def test_reasons_that_are_no_texts_are_refused(text, tmp_path):
    (tmp_path / "why.toml").write_text(text, errors="surrogateescape")
    with pytest.raises(ConfigError, match=r"why\.toml"):
        read_reasons(tmp_path)


def test_an_empty_folder_and_a_damaged_row_are_told(tmp_path):
    with pytest.raises(ConfigError, match="holds no stored results"):
        write_readme(tmp_path)
    store([with_finals(0.5)], tmp_path)
    (tmp_path / "made_up" / "x.json").write_text("{}")
    before = (tmp_path / "README.md").read_text()
    with pytest.raises(CheckpointError, match=r"x\.json"):
        write_readme(tmp_path)
    assert (tmp_path / "README.md").read_text() == before


@pytest.fixture
def stored(repository):
    """The results in the repository."""
    results = read_all(repository / "results")
    if not results:
        pytest.skip("no results are stored")
    return results


def test_the_stored_readme_is_the_generated_one(stored, repository):
    top = repository / "results"
    answers = read_answers(top)
    for name, text in readmes(top, stored, answers).items():
        assert (top / name).read_text() == text, name
    rows = {(r.paper, r.row) for r in stored}
    for answer in answers:
        named = {name for names in answer.lines.values() for name in names if name}
        assert {(answer.paper, name) for name in named} <= rows
        assert all(len(names) <= len(answer.ticks) for names in answer.lines.values())
        assert (top / answer.figure).is_file()


def test_stored_rows_are_of_the_configurations_that_are_shipped(stored):
    shipped = {
        (row.paper, row.name): row for p in {r.paper for r in stored} for row in find_rows(p)
    }
    assert {r.profile for r in stored} == {"full"}
    for result in stored:
        config = config_for(shipped[result.paper, result.row], Profile(), seed=0)
        assert result.config_sha256 == config_hash(config), (result.paper, result.row)


def test_reasons_belong_to_shipped_experiments(repository):
    shipped = {s.name for s in shipped_experiments()}
    reasons = read_reasons(repository / "results")
    assert {f"{paper}/{row}" for paper, rows in reasons.items() for row in rows} <= shipped
