"""What the command line promises: one line per error, one object per `--json`, help at once."""

import errno
import json
import re
import shutil
import signal
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from fedket import __version__, cli
from fedket.experiment.load import dump_config, load_config, parse_config
from fedket.experiment.shipped import shipped_experiments
from tests.experiment.tiny import contents, start_fedket, values_of, write_blobs


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a small experiment, and what `fedket run tiny.toml --json` printed there."""
    folder = tmp_path_factory.mktemp("workplace")
    values = values_of(write_blobs(folder / "blobs.npz"), "aggregation.kind=quantised")
    (folder / "tiny.toml").write_text(dump_config(parse_config(values)))
    (folder / "empty.toml").write_text("# nothing yet\n")
    return folder


@pytest.fixture
def fedket(workplace, monkeypatch, capsys):
    """`fedket("list")` in the workplace: exit code, standard output, standard error."""
    monkeypatch.chdir(workplace)

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["fedket", *map(str, args)])
        code = cli.execute()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def ran(workplace, fedket):
    """The summary of a run of the small experiment; the first test that asks runs it."""
    if not (workplace / "ran.json").exists():
        code, output, errors = fedket("run", "tiny.toml", "--json", "--output", "ran")
        assert (code, errors) == (0, "")
        (workplace / "ran.json").write_text(output)
    return (workplace / "ran.json").read_text()


def test_run_with_json_prints_one_object_and_nothing_else(ran, workplace):
    assert ran.count("\n") == 1
    summary = json.loads(ran)
    written = json.loads((workplace / "ran" / "summary.json").read_text())
    assert summary == written | {"directory": "ran", "report": "ran/report.html"}
    assert (workplace / "ran" / "report.html").exists()


def test_run_tells_a_person_what_happens(ran, fedket):
    code, output, errors = fedket("run", "--resume", "ran", "--set", "federation.rounds=5")
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert lines[:2] == ["tiny", "5 rounds, 4 clients, fed_avg, quantised aggregation, into ran"]
    assert lines[2].startswith("  round 4/5  loss ")
    assert "left" not in lines[2], "after one round, which compiles, nothing is known"
    assert lines[3].endswith("left 0 s")
    assert "test accuracy     " in output
    assert lines[-1].split() == ["report", "ran/report.html"]


def test_report_compares_runs(ran, fedket, workplace):
    assert fedket("report", "ran") == (0, "ran/report.html\n", "")
    assert fedket("report", "ran", "ran", "--output", "two.html", "--json") == (
        0,
        '{"report": "two.html"}\n',
        "",
    )
    assert (workplace / "two.html").exists()


def test_show_says_what_an_experiment_costs(fedket):
    code, output, errors = fedket("show", "quickstart", "--json")
    assert (code, errors) == (0, "")
    facts = json.loads(output)
    assert (facts["parameters"], facts["qubits"]) == (240, 6)
    assert facts["upload_bytes_per_client"] == 240 * 16 // 8
    assert facts["key_bits_per_pair"] == 240 * 16
    assert parse_config(facts["config"]) == load_config(shipped_experiments()[0].path)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((), "every round, on the test set and the samples of all 4 clients"),
        (
            ("federation.clients_per_round=2", "federation.eval_every=2"),
            "every 2 rounds, on the test set and the samples of the 2 clients drawn for the round",
        ),
        (("federation.eval_clients=none",), "every round, on the test set"),
        (
            ("federation.clients_per_round=2", "federation.eval_clients=all"),
            "every round, on the test set and the samples of all 4 clients",
        ),
    ],
)
def test_show_says_when_and_on_what_is_evaluated(fedket, settings, said):
    options = [word for setting in settings for word in ("--set", setting)]
    code, output, _ = fedket("show", "tiny.toml", *options)
    assert code == 0
    assert re.search(rf"^evaluation +{re.escape(said)}$", output, re.MULTILINE)


def test_show_prints_a_file_that_can_be_run(fedket):
    code, output, _ = fedket("show", "tiny.toml", "--settings", "--set", "seed=7")
    assert code == 0
    facts, _, rest = output.partition("\n\nname = ")
    text = f"name = {rest}"
    assert tomllib.loads(text)["seed"] == 7
    assert "per client and round" in facts


def test_show_says_what_a_server_that_lies_can_read(fedket):
    """And what the dearer setting gives."""
    cheap = fedket("show", "quickstart")[1]
    dear = fedket("show", "quickstart", "--set", "aggregation.confirm=true")[1]
    assert "One that lies reads single updates" in cheap
    assert "One that lies reads single updates" not in dear
    assert "a server that lies learns one sum of a round" in dear


def test_list_names_every_shipped_experiment(fedket):
    code, output, _ = fedket("list")
    rows = json.loads(fedket("list", "--json")[1])
    assert code == 0
    assert [row["path"] for row in rows] == [str(s.path) for s in shipped_experiments()]
    groups = {s.paper: 0 for s in shipped_experiments() if s.paper}
    alone = [s.name for s in shipped_experiments() if not s.paper]
    *lines, hint = output.splitlines()
    assert [line.split()[0] for line in lines] == [*alone, *groups]
    assert hint.startswith("Those of a group: fedket list GROUP")
    named = [
        line.split()[0] for group in groups for line in fedket("list", group)[1].splitlines()[:-1]
    ]
    assert alone + named == [s.name for s in shipped_experiments()]


@pytest.mark.parametrize("experiment", shipped_experiments(), ids=lambda s: s.name)
def test_every_shipped_experiment_is_a_valid_file(experiment):
    config = load_config(experiment.path)
    assert config.name.endswith(experiment.name.rpartition("/")[2])
    assert experiment.description


def test_help_and_version(fedket):
    assert fedket("--version") == (0, f"fedket {__version__}\n", "")
    code, output, errors = fedket()
    assert (code, errors) == (0, "")
    for word in ("fedket list", "fedket run quickstart", "run", "show", "report", "--version"):
        assert word in output
    assert output == fedket("--help")[1]
    assert "name of a shipped experiment" in fedket("run", "-h")[1].replace("\n", " ")


@pytest.mark.parametrize("group", ["deploy", "keys", "kme", "qkd"])
def test_a_group_that_is_asked_nothing_shows_its_help(group, fedket):
    code, output, errors = fedket(group)
    assert (code, errors) == (0, "")
    assert f"fedket {group} [OPTIONS] COMMAND" in output
    assert output == fedket(group, "--help")[1]


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["run"], "name an experiment"),
        (["run", "nosuch"], "no experiment file nosuch"),
        (["run", "no\x1b]0;such\x07"], "no experiment file no\ufffd]0;such\ufffd"),
        (["run", "tiny.toml", "--set", "data.kind=" + "x" * 9000], "…"),
        (["run", "quikstart"], "did you mean `quickstart`?"),
        (["run", "."], "is a directory"),
        (["run", "tiny.toml/x"], "tiny.toml"),
        (["run", "tiny.toml", "--set", "rounds=3"], "did you mean `federation.rounds`?"),
        (["run", "tiny.toml", "--set", "rounds"], "--set takes"),
        (["run", "tiny.toml", "--set", "seed=x"], "error: --set: `seed` should be"),
        (["run", "tiny.toml", "--set", "zebra=1"], "error: --set: unknown key `zebra` (known: "),
        (["run", "empty.toml"], "empty.toml is empty"),
        (["list", "qfet"], "no group `qfet`; did you mean `qfed`?"),
        (["run", "tiny.toml", "--output", "ran"], "continue it with --resume ran"),
        (["run", "tiny.toml", "--output", "tiny.toml"], "is a file"),
        (["run", "tiny.toml", "--resume", "ran", "--output", "x"], "exclude each other"),
        (["run", "quickstart", "--resume", "ran"], "belongs to another configuration"),
        (["run", "--resume", "nosuch"], "no run directory nosuch"),
        (["run", "--resume", "ran", "--set", "seed=x"], "`seed` should be a valid integer"),
        (["run", "tiny.toml", "--set", "data.path=no.npz"], "no.npz"),
        (["run", "tiny.toml", "--set", "partition.num_clients=61"], "61 clients"),
        (["show"], "name either an experiment or, with --kind"),
        (["show", "nosuch"], "no experiment file nosuch"),
        (["report"], "Missing argument"),
        (["report", "nosuch"], "`nosuch` is not a run directory"),
        (["rum"], "No such command 'rum'."),
        (["run", "tiny.toml", "--bogus"], "No such option"),
        (["run", "tiny.toml", "more"], "unexpected extra argument"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(args, complaint, ran, fedket, workplace):
    before = contents(workplace)
    code, output, errors = fedket(*args)
    assert (code, output) == (2, "")
    assert errors.startswith("fedket: error: ")
    assert complaint in errors
    assert errors[:-1].isprintable()
    assert errors[-1] == "\n"
    assert len(errors) < 4100
    assert contents(workplace) == before


def test_left_out_updates_are_told(fedket, workplace):
    arrays = dict(np.load(workplace / "blobs.npz"))
    arrays["x_train"][:2] = 3e38  # of two classes: one of them is taken for the other
    np.savez(workplace / "hot.npz", **arrays)
    code, output, _ = fedket(
        *("run", "tiny.toml", "--set", "data.path=hot.npz", "--output", "hot"),
        *("--set", "optimizer={kind = 'sgd', learning_rate = 100}"),
        *("--set", "federation.rounds=1", "--set", "aggregation={kind = 'plain'}"),
    )
    assert code == 0
    assert "  round 1: left out client " in output
    assert "left-out updates  0" not in output


CHEAP = """
import sys
{code}
heavy = {heavy!r}
sys.exit(" ".join(name for name in heavy if name in sys.modules) or 0)
"""


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import fedket.cli", ["jax", "matplotlib", "pydantic", "rich.live", "numpy"]),
        (
            "from fedket.experiment.shipped import shipped_experiments;"
            "from fedket.kinds import kinds_of; shipped_experiments(); kinds_of('strategy')",
            ["jax", "matplotlib", "numpy"],
        ),
        ("import fedket.experiment.run", ["matplotlib", "pennylane", "torch", "sklearn", "scipy"]),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code, heavy):
    program = CHEAP.format(code=code, heavy=heavy)
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_run_goes_on_without_its_reader(workplace):
    """As in `fedket run tiny.toml | head -1`."""
    process = start_fedket("run", "tiny.toml", "--output", "unread", cwd=workplace)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 0
    assert json.loads((workplace / "unread" / "summary.json").read_text())["status"] == "finished"
    assert (workplace / "unread" / "report.html").exists()


def test_a_finished_run_that_is_resumed_says_that_nothing_is_left(ran, workplace, fedket):
    shutil.copytree(workplace / "ran", workplace / "again", dirs_exist_ok=True)
    rounds = json.loads((workplace / "again" / "summary.json").read_text())["rounds"]
    code, output, errors = fedket("run", "--resume", "again")
    assert (code, errors) == (0, "")
    assert f"\nall {rounds} rounds were there already; for more: fedket run --resume" in output


def test_a_report_that_cannot_be_written_does_not_hide_that_the_run_is_saved(fedket, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "report.html")

    monkeypatch.setattr("fedket.report.write_report", full)
    code, output, errors = fedket("run", "tiny.toml", "--output", "full")
    assert code == 1
    assert "loss" in output
    assert errors == (
        "fedket: the run is finished and saved in full, its report is not written: "
        "No space left on device: report.html; then: fedket report full\n"
    )


SLOW_IMPORT = """
import sys, time
class Slow:
    def find_spec(self, name, *_):
        if name == "fedket.cli":
            print("importing", flush=True)
            time.sleep(60)
sys.meta_path.insert(0, Slow())
from fedket.__main__ import main
main()
"""


def test_ctrl_c_while_fedket_is_imported_is_one_line():
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_IMPORT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate() == ("", "fedket: interrupted before anything was written\n")
    assert process.returncode == 130
