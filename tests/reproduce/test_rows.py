"""The rows of a paper are the experiments in the files of its folder."""

import pytest

from fedket.errors import ConfigError
from fedket.reproduce.rows import Profile, config_for, find_rows
from tests.reproduce.papers import write_row


def test_a_folder_is_a_paper_and_its_files_are_rows(rows):
    assert [row.name for row in rows] == ["adni-lost", "mnist-masked", "mnist-plain"]
    assert {row.paper for row in rows} == {"made_up"}
    assert [row.published.reported for row in rows] == [0.9, 0.9, None]


@pytest.mark.parametrize("name", ["mnist-plain", "made_up/mnist-plain", "mnist-plain.toml"])
def test_rows_can_be_chosen(name, paper):
    assert [row.name for row in find_rows(str(paper), [name, name])] == ["mnist-plain"]


def test_rows_of_one_file_are_rows_of_the_paper(paper, tmp_path):
    text = (paper / "mnist-plain.toml").read_text().replace('name = "mnist-plain"', "")
    (tmp_path / "p").mkdir()
    file = tmp_path / "p" / "table.toml"
    file.write_text(f"{text}\n[rows.q16]\nseed = 1\n[rows.q8]\npaper.row = 'B'\n")
    folder, single = find_rows(str(file.parent)), find_rows(str(file), ["table/q8"])
    assert [(row.paper, row.name) for row in folder] == [("p", "q16"), ("p", "q8")]
    assert [row.published.row for row in folder] == ["Row mnist-plain", "B"]
    assert [(row.paper, row.path) for row in single] == [("table", tmp_path / "p/table.toml:q8")]
    assert config_for(folder[1], Profile(fast=True), seed=4).name == "q8-fast"
    (tmp_path / "p" / "q8.toml").write_text(text)
    with pytest.raises(
        ConfigError, match=r"two rows are called `q8`: .*q8\.toml and .*:q8; rename"
    ):
        find_rows(str(file.parent))


def test_a_profile_changes_what_it_says_and_nothing_else(rows):
    row = rows[1]
    full, fast, short = (
        config_for(row, p, seed=7) for p in (Profile(), Profile(fast=True), Profile(rounds=1))
    )
    assert (full.seed, full.federation.rounds, full.name) == (7, 2, "mnist-masked")
    assert (fast.seed, fast.federation.rounds, fast.name) == (7, 1, "mnist-masked-fast")
    assert short.model_copy(update={"federation": full.federation}) == full
    assert short.federation.rounds == 1
    assert config_for(row, Profile(rounds=99), seed=7) == full, "no more rounds than the file has"


@pytest.mark.parametrize(
    ("paper_name", "names", "complaint"),
    [
        ("nowhere", [], "no paper `nowhere`"),
        (
            "{paper}",
            ["mnist-plian"],
            "no row `mnist-plian` in made_up; did you mean `mnist-plain`?",
        ),
        ("{paper}/..", [], "holds no experiment files"),
    ],
)
def test_what_is_not_there_is_told(paper_name, names, complaint, paper):
    with pytest.raises(ConfigError) as error:
        find_rows(paper_name.format(paper=paper), names)
    assert complaint in str(error.value)


def test_an_experiment_without_a_published_number_is_no_row(blobs, tmp_path):
    (tmp_path / "x.toml").write_text("seed = 1")
    with pytest.raises(ConfigError, match=r"x\.toml has no \[paper\] table"):
        find_rows(str(tmp_path))
    write_row(tmp_path, "row", blobs)
    assert [row.name for row in find_rows(str(tmp_path))] == ["row"]
    with pytest.raises(ConfigError, match=r"x\.toml has no \[paper\] table"):
        find_rows(str(tmp_path), ["row", "x"])


def test_a_row_without_a_fast_profile_says_so(blobs, tmp_path):
    write_row(tmp_path / "p", "x", blobs, fast="")
    with pytest.raises(ConfigError, match=r"has no \[fast\] table"):
        config_for(find_rows(str(tmp_path / "p"))[0], Profile(fast=True), seed=0)
