"""The report of one run is one closed, honest, well-formed file."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fedket.errors import CheckpointError, FedketError
from fedket.report import read_run, write_report
from fedket.report.honesty import honest_notes

MakeRun = Callable[..., Path]
VOID = {"meta", "br", "hr", "img", "link", "input"}
HOSTILE = (
    "</title></pre><script>alert(1)</script>\" onload='x' & $x_1$ \u202e\u0007 https://evil.example"
)


class Page(HTMLParser):
    """Checks nesting while collecting attributes, ids and tile values."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


def tile_values(text: str) -> dict[str, str]:
    """Label to exact value."""
    return dict(re.findall(r'<div class="tile"><dt>(.*?)</dt>.*?<data value="(.*?)"', text))


def assert_self_contained(text: str) -> None:
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(page.tags)
    linked = page.values("href") + page.values("xlink:href") + page.values("src")
    references = [r for r in linked if not r.startswith("data:")]
    targets = [r.removeprefix("#") for r in references + re.findall(r"url\(([^)]*)\)", text)]
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert {target.removeprefix("#") for target in targets} <= set(ids)
    assert all(reference.startswith("#") for reference in references)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_the_report_lies_in_the_run_directory_and_loads_nothing(make_run: MakeRun) -> None:
    run = make_run(rounds=6)
    path = write_report([run])
    assert path == run / "report.html"
    assert_self_contained(path.read_text())
    assert "download=" not in path.read_text(), "only where asked for"
    assert sorted(p.name for p in run.iterdir() if "tmp" in p.name) == []


def test_the_same_directory_gives_the_same_bytes(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(rounds=4)
    first = write_report([run]).read_bytes()
    assert write_report([run], tmp_path / "again.html").read_bytes() == first


def test_tiles_are_the_summary(make_run: MakeRun) -> None:
    run = make_run(rounds=7, dropped=((2, 0, "late"),))
    summary = json.loads((run / "summary.json").read_text())
    tiles = tile_values(write_report([run]).read_text())
    for label, field in {
        "Test accuracy": "test_accuracy",
        "Test loss": "test_loss",
        "Rounds": "rounds",
        "Time": "seconds",
        "Uploaded": "upload_bytes",
        "Downloaded": "download_bytes",
        "Key spent": "key_bits",
        "Dropped updates": "dropped_updates",
    }.items():
        assert tiles[label] == repr(summary[field])
    assert (tiles["Parameters"], tiles["Qubits"]) == ("240", "6")
    assert summary["parameters_sha256"] in (run / "report.html").read_text()


@pytest.mark.parametrize("num_clients", [1, 2, 20, 20_000])
def test_any_number_of_clients_gives_a_small_page(make_run: MakeRun, num_clients: int) -> None:
    text = write_report([make_run(rounds=2, num_clients=num_clients)]).read_text()
    assert len(text) < 500_000
    assert_self_contained(text)


def test_many_rounds_and_many_classes_give_a_small_page(make_run: MakeRun) -> None:
    run = make_run(rounds=3000, planned_rounds=3000, num_clients=3, num_classes=200)
    text = write_report([run]).read_text()
    assert len(text) < 500_000
    assert "177 rarest classes" in text


def test_hostile_strings_are_only_text(make_run: MakeRun) -> None:
    run = make_run(name=HOSTILE, description=HOSTILE, rounds=2, dropped=((1, 0, HOSTILE),))
    environment = json.loads((run / "environment.json").read_text()) | {"devices": [HOSTILE]}
    (run / "environment.json").write_text(json.dumps(environment))
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(
        f"{config}\n# {HOSTILE[:-30]}</pre><script>\n".replace("\a", "")
    )
    text = write_report([run]).read_text()
    assert_self_contained(text)
    assert "&lt;script&gt;alert(1)" in text
    assert "\u202e" not in text
    comparison = write_report([run, run], run / "both.html").read_text()
    assert_self_contained(comparison)


def test_rounds_without_evaluation_leave_gaps_not_errors(make_run: MakeRun) -> None:
    text = write_report([make_run("some", rounds=7, eval_every=3)]).read_text()
    assert "Test accuracy" in text
    run = make_run("none", rounds=3, status=None)
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    nothing = dict.fromkeys(("test_loss", "test_accuracy", "client_accuracy", "train_loss"))
    (run / "rounds.jsonl").write_text("".join(json.dumps(x | nothing) + "\n" for x in lines))
    text = write_report([run]).read_text()
    assert_self_contained(text)
    assert "not evaluated" in text
    assert tile_values(text)["Test accuracy"] == ""


@pytest.mark.parametrize(("num_clients", "drawn"), [(6, 1), (6, 3), (700, 20), (5000, 600)])
def test_figures_say_which_clients_a_round_was_evaluated_on(
    make_run: MakeRun, num_clients: int, drawn: int
) -> None:
    run = make_run(rounds=3, num_clients=num_clients)
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    for first, line in enumerate(lines):
        chosen = range(first, first + drawn)
        line |= {"cohort": list(chosen), "client_accuracy": line["client_accuracy"][:drawn]}
    (run / "rounds.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = write_report([run]).read_text().replace("\u202f", "").replace(",", "")
    assert f"drawn for the round ({drawn} of {num_clients} others each round)" in text
    assert (f"After round 3 the {drawn} clients drawn for it." in text) == (drawn > 1)


def test_an_unfinished_run_says_so(make_run: MakeRun) -> None:
    run = make_run(rounds=12, status=None)
    with (run / "rounds.jsonl").open("a") as file:
        file.write('{"round": 13, "coh')
    text = write_report([run]).read_text()
    assert "unfinished: 12 of 50 rounds so far" in text
    assert tile_values(text)["Rounds"] == "12"


@pytest.mark.parametrize("status", [None, "interrupted"])
@pytest.mark.parametrize("keep_file", [True, False])
def test_a_run_without_a_finished_round_still_shows_its_set_up(
    make_run: MakeRun, status: str | None, keep_file: bool
) -> None:
    run = make_run(rounds=0, status=status)
    if not keep_file:
        (run / "rounds.jsonl").unlink()
    text = write_report([run]).read_text()
    assert_self_contained(text)
    assert "No round has finished yet" in text
    assert "Who holds what" in text


def test_a_diverged_run_is_drawn_without_its_infinities(make_run: MakeRun) -> None:
    run = make_run(rounds=3, status=None)
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    lines[2] |= {"test_loss": None}
    (run / "rounds.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    text = write_report([run]).read_text()
    assert "not finite are left out" in text
    assert ">not finite</data>" in text


def test_a_run_that_costs_and_holds_nothing_is_still_drawn(make_run: MakeRun) -> None:
    run = make_run(rounds=3, num_clients=3, status=None)
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    free = dict.fromkeys(("upload_bytes", "download_bytes", "key_bits"), 0) | {"seconds": 0.0}
    (run / "rounds.jsonl").write_text("".join(json.dumps(x | free) + "\n" for x in lines))
    model = json.loads((run / "model.json").read_text()) | {"label_counts": [[0] * 10] * 3}
    (run / "model.json").write_text(json.dumps(model))
    assert_self_contained(write_report([run]).read_text())
    assert_self_contained(write_report([run, run], run / "two.html").read_text())


def test_dropped_updates_are_listed_by_client_and_reason(make_run: MakeRun) -> None:
    reason = "update is not finite"
    dropped = (*((r, 3, reason) for r in (1, 2, 3, 6)), (5, 7, "late"))
    text = write_report([make_run(rounds=6, dropped=dropped)]).read_text()
    row = re.search(r'<th scope="row">client 3</th>(.*?)</tr>', text)
    assert row is not None
    assert re.findall(r">([^<]+)</td>", row.group(1)) == ["4", "1–3, 6", reason]
    assert "client 7" in text
    assert "Dropped updates</h2>" not in write_report([make_run("clean", rounds=1)]).read_text()


def test_the_report_tells_what_every_kind_says_of_itself(make_run: MakeRun) -> None:
    notes = dict(honest_notes(read_run(make_run("masked", rounds=1))))
    assert notes["What is simulated"].startswith("Clients, server and network are simulated")
    assert "quantum circuits are simulated on classical hardware" in notes["What is simulated"]
    assert notes["What the server sees"] == "pairwise_masks: what the server sees."
    assert notes["Key material"] == "os_random: not QKD."
    assert notes["Strategy"] == "mine.py:Mine: only a toy."
    plain = dict(honest_notes(read_run(make_run("plain", rounds=1, aggregation="plain"))))
    assert plain["Key material"] == "none: nothing is masked."


@pytest.mark.parametrize(("share", "warned"), [(0.01, False), (0.0101, True), (None, False)])
def test_much_clipping_is_warned_of(make_run: MakeRun, share: float | None, warned: bool) -> None:
    runs = [make_run("clipped", rounds=3, clipped_share=share), make_run("fine", rounds=1)]
    words = dict(honest_notes(read_run(runs[0])))["Clipped coordinates"]
    assert ("Warning: in 3 rounds" in words) == warned
    assert words.startswith("Not known") == (share is None)
    comparison = write_report(runs, runs[0] / "both.html").read_text()
    assert ("Clipped coordinates" in comparison) == warned


def test_lost_rounds_are_listed_with_their_reasons(make_run: MakeRun) -> None:
    run = make_run(rounds=3, status=None)
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    for line in lines[1:]:
        line |= {"lost": "3 of 4 clients are left", "train_loss": None}
    (run / "rounds.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    text = write_report([run]).read_text()
    assert "Lost rounds</h2>" in text
    assert re.search(r"3 of 4 clients are left</th><td[^>]*>2</td><td[^>]*>2–3</td>", text)
    assert "2 rounds ended without a sum" in text


def test_the_page_carries_the_notes(make_run: MakeRun) -> None:
    run = make_run(rounds=0)
    text = write_report([run]).read_text()
    for term, words in honest_notes(read_run(run)):
        assert f"<dt>{escape(term)}</dt><dd>{escape(words)}</dd>" in text


def test_importing_the_room_does_not_import_matplotlib() -> None:
    code = "import sys, fedket.report; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_directory_and_no_place_to_write_are_clear_errors(
    make_run: MakeRun, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="name at least one"):
        write_report([])
    with pytest.raises(FedketError, match=r"cannot write .*report\.html"):
        write_report([make_run(rounds=0)], tmp_path / "absent" / "report.html")


def test_writing_replaces_the_old_report_whole(make_run: MakeRun) -> None:
    run = make_run(rounds=1)
    (run / "report.html").write_text("old")
    with (run / "report.html").open() as old:
        write_report([run])
        assert old.read() == "old"  # who had it open never sees a mixture
    assert (run / "report.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("layers", [1, 12])
def test_gradients_are_drawn_where_a_run_recorded_them(make_run: MakeRun, layers: int) -> None:
    text = write_report([make_run(rounds=3, gradient_layers=layers)]).read_text()
    assert_self_contained(text)
    assert "variance of a layer" in text
    assert f"layer.{layers - 1}" in text


def test_drift_is_drawn_where_a_run_recorded_it(make_run: MakeRun) -> None:
    text = write_report([make_run(rounds=3, drift=True, num_clients=4)]).read_text()
    assert_self_contained(text)
    assert "cosine with the mean update" in text
    assert "lowest 0.945" in text


def test_predictions_are_drawn_and_listed_by_class(make_run: MakeRun) -> None:
    text = write_report([make_run(rounds=3, num_classes=3, quality=True)]).read_text()
    assert "predicted class" in text
    assert len(re.findall(r'data-label="Recall"', text)) == 3
    old = write_report([make_run("old", rounds=3)]).read_text()
    assert "predicted class" not in old
