"""Run directories are read as they are: whole, unfinished, half-written, or damaged."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedket.errors import CheckpointError
from fedket.report import read_run, write_report

MakeRun = Callable[..., Path]


def test_a_finished_run_is_read_whole(make_run: MakeRun) -> None:
    run = make_run(rounds=6, num_clients=4)
    record = read_run(run)
    assert record.name == "digits-vqc"
    assert record.directory == "run"
    assert [r.round for r in record.rounds] == [1, 2, 3, 4, 5, 6]
    assert record.summary.model_dump() == json.loads((run / "summary.json").read_text())
    assert record.label_counts.sum() == record.facts.num_train
    assert record.setting("aggregation.bits") == 16
    assert record.setting("aggregation.absent", "default") == "default"


def test_a_round_keeps_quantiles_and_the_last_evaluation_keeps_every_client(
    make_run: MakeRun,
) -> None:
    run = make_run(rounds=5, eval_every=2)
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    record = read_run(run)
    assert list(record.client_quantiles) == [2, 4, 5]
    np.testing.assert_array_equal(record.client_accuracy, lines[4]["client_accuracy"])
    lowest, _, median, _, highest = record.client_quantiles[4]
    clients = lines[3]["client_accuracy"]
    assert (lowest, highest) == (min(clients), max(clients))
    assert median == pytest.approx(np.median(clients))


def test_of_a_cohort_only_its_clients_have_an_accuracy(make_run: MakeRun) -> None:
    run = make_run(rounds=3, num_clients=6)
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    lines[2] |= {"cohort": [1, 4], "client_accuracy": [0.25, None]}
    (run / "rounds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = read_run(run)
    np.testing.assert_array_equal(record.client_accuracy, [np.nan, 0.25, *[np.nan] * 4])
    assert record.client_quantiles[3].tolist() == [0.25] * 5
    assert record.evaluated_clients == 6


def test_without_summary_the_totals_are_summed_over_the_rounds(make_run: MakeRun) -> None:
    dropped = ((2, 1, "late"), (3, 1, "late"))
    finished = read_run(make_run("finished", rounds=4, dropped=dropped)).summary
    killed = read_run(make_run("killed", rounds=4, dropped=dropped, status=None)).summary
    assert killed == finished.model_copy(update={"status": "unfinished", "parameters_sha256": ""})


def test_a_half_written_last_line_is_ignored_wherever_it_was_cut(make_run: MakeRun) -> None:
    rounds = make_run(rounds=3, num_clients=2, status=None) / "rounds.jsonl"
    whole = rounds.read_bytes()
    start = whole.rstrip().rindex(b"\n") + 1
    for cut in range(start, len(whole) - 1, 7):
        rounds.write_bytes(whole[:cut])
        assert len(read_run(rounds.parent).rounds) == 2
    rounds.write_bytes(whole[:-1])  # only the newline is missing
    assert len(read_run(rounds.parent).rounds) == 3


def test_a_run_that_was_resumed_has_left_its_summary_behind(make_run: MakeRun) -> None:
    run = make_run(rounds=5, status="interrupted")
    summary = json.loads((run / "summary.json").read_text()) | {"rounds": 3, "key_bits": 1}
    (run / "summary.json").write_text(json.dumps(summary))
    totals = read_run(run).summary
    assert (totals.status, totals.rounds) == ("unfinished", 5)
    assert totals.key_bits > 1


def _replace(field: str, value: object) -> Callable[[str], str]:
    return lambda text: json.dumps(json.loads(text) | {field: value})


def _in_round_2(change: Callable[[str], str]) -> Callable[[str], str]:
    def edit(text: str) -> str:
        lines = text.splitlines()
        return "\n".join([lines[0], change(lines[1]), *lines[2:]]) + "\n"

    return edit


@pytest.mark.parametrize(
    ("file", "edit", "problem"),
    [
        ("config.toml", lambda text: text + "[", "damaged"),
        ("config.toml", lambda text: text.replace("name = ", "title = ", 1), "`name`"),
        ("config.toml", None, "missing"),
        ("environment.json", lambda text: text[:-9], "damaged"),
        ("environment.json", lambda text: "[]", "damaged"),
        ("environment.json", None, "missing"),
        ("model.json", lambda text: text[: len(text) // 2], "damaged"),
        ("model.json", _replace("parameters", "many"), "`parameters`"),
        ("model.json", _replace("num_test", -1), "`num_test`"),
        ("model.json", _replace("label_counts", [[1, 2], [3]]), "`label_counts`"),
        ("model.json", _replace("label_counts", []), "`label_counts`"),
        ("model.json", _replace("num_classes", 0), "`num_classes`"),
        ("model.json", None, "missing"),
        ("summary.json", lambda text: "", "damaged"),
        ("summary.json", _replace("test_accuracy", 93.1), "`test_accuracy`"),
        ("summary.json", _replace("status", "fine"), "`status`"),
        ("rounds.jsonl", _in_round_2(lambda line: line[:-1]), "line 2"),
        ("rounds.jsonl", _in_round_2(lambda line: ""), "line 2"),
        ("rounds.jsonl", _in_round_2(_replace("round", 7)), "line 2"),
        ("rounds.jsonl", _in_round_2(_replace("seconds", None)), "`seconds`"),
        ("rounds.jsonl", _in_round_2(_replace("client_accuracy", [0.5])), "`client_accuracy`"),
        ("rounds.jsonl", lambda text: text[: text.rindex("{")], "summary.json counts 4"),
        ("rounds.jsonl", None, "summary.json counts 4"),
    ],
)
def test_damage_is_one_line_that_names_the_file_and_the_way_out(
    make_run: MakeRun, file: str, edit: Callable[[str], str] | None, problem: str
) -> None:
    path = make_run(rounds=4, num_clients=3) / file
    if edit is None:
        path.unlink()
    else:
        path.write_text(edit(path.read_text()))
    with pytest.raises(CheckpointError) as caught:
        write_report([path.parent])
    message = str(caught.value)
    assert str(path) in message
    assert problem in message
    assert "restore" in message
    assert "\n" not in message
    assert not (path.parent / "report.html").exists()


def test_what_is_no_run_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere` is not a run directory"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"config\.toml` is missing"):
        read_run(tmp_path)


def test_a_folder_in_place_of_a_file_is_named(make_run: MakeRun) -> None:
    run = make_run(rounds=1)
    for file in ("rounds.jsonl", "model.json"):
        (run / file).unlink()
        (run / file).mkdir()
        with pytest.raises(CheckpointError, match=f"cannot read .*{file}"):
            read_run(run)
