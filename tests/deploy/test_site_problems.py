"""What is wrong at a site reaches its own operator: at its terminal and in its files."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from local_sites import KINDS, experiment

from fedket import cli
from fedket.deploy.choices import Choices
from fedket.deploy.engines.flare.engine import server_of
from fedket.deploy.files import PROBLEM
from fedket.deploy.keyless import LinkFault, told
from fedket.deploy.local import free_ports, prepare
from fedket.deploy.opening import look_at
from fedket.deploy.operating.consent import approve
from fedket.deploy.project import write_project
from fedket.deploy.site_problems import LEFT_OUT, SiteProblems
from fedket.deploy.site_process import SiteProcess
from fedket.experiment.load import load_config
from fedket.experiment.shipped import find_experiment
from fedket.keys.kme.config import KmeConfig
from fedket.keys.kme.pools import KeyPools
from fedket.keys.kme.server import serving
from fedket.keys.store import PadStore
from fedket.schema import read_table
from fedket.secure.phases import Failure, Reply


@pytest.fixture
def heard():
    return []


@pytest.fixture
def problems(tmp_path, heard):
    return SiteProblems(lambda: tmp_path, heard.append)


def in_file(folder):
    path = folder / PROBLEM
    return (
        [line.split(": ", 1)[1] for line in path.read_text().splitlines()] if path.exists() else []
    )


def test_a_problem_is_said_once_and_kept_until_it_is_solved(problems, tmp_path, heard):
    for round_num in range(1, 95):
        problems.answered("upload", Failure(f"the update of round {round_num} is not finite"))
        problems.answered("fill", Reply({}))
    assert heard == ["problem: the update of round 1 is not finite"]
    assert in_file(tmp_path) == ["the update of round 94 is not finite"]
    problems.answered("fill", Failure("disk full"))
    problems.answered("upload", Reply({}))
    assert in_file(tmp_path) == ["disk full"]
    problems.answered("fill", Reply({}))
    assert heard[1:] == [
        "problem: disk full",
        "solved: the update of round 94 is not finite",
        "solved: disk full",
    ]
    assert not (tmp_path / PROBLEM).exists()


def test_what_is_wrong_with_everything_is_one_problem(problems, heard):
    for action in ("handshake", "setup", "fill"):
        problems.answered(action, Failure("no samples"))
    problems.answered("handshake", Reply({}))
    problems.answered("setup", Reply({}))
    assert heard == ["problem: no samples"]
    problems.answered("fill", Reply({}))
    assert heard == ["problem: no samples", "solved: no samples"]


def test_a_key_manager_s_fault_is_said_at_the_site_whose_it_is_and_at_no_other(problems, heard):
    own, other = (
        LinkFault(0, 1, False, "certificate refused"),
        LinkFault(0, 2, True, "west is away"),
    )
    problems.answered("fill", Reply(told([other])))
    assert heard == []
    problems.answered("fill", Reply(told([own, other])))
    assert heard == ["problem: certificate refused"]


def test_why_the_server_leaves_a_site_out_is_said_there_and_cannot_steer_its_terminal(
    problems, tmp_path, heard
):
    problems.hear({LEFT_OUT: "was refused:\x1b[2J its samples"})
    problems.hear({LEFT_OUT: "was refused:\x1b[2J its samples"})
    problems.hear({LEFT_OUT: 7})
    assert len(heard) == 2
    assert heard[0].startswith("problem: the server leaves this site out: was refused:")
    assert "\x1b" not in heard[0]
    assert heard[1].startswith("solved: ")
    problems.answered("setup", Failure("out of memory"))
    problems.hear({LEFT_OUT: "could not begin: ada: out of memory"})
    assert in_file(tmp_path) == ["out of memory"]


def test_a_full_disk_ends_nothing(tmp_path, monkeypatch):
    """What cannot be said or kept any more is answered all the same."""

    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stderr", Full())
    SiteProblems(lambda: tmp_path / "not there").answered("upload", Failure("disk full"))


def test_an_old_process_s_problem_is_forgotten(problems, tmp_path):
    (tmp_path / PROBLEM).write_text("of yesterday\n")
    problems.hear({})
    problems.answered("handshake", Reply({}))
    assert not (tmp_path / PROBLEM).exists()


def test_a_site_s_process_says_what_it_cannot_open(tmp_path, heard):
    process = SiteProcess(lambda: tmp_path, lambda names: None, heard.append)
    assert isinstance(process.phase("heartbeat", {}), Reply)
    assert heard == []
    outcome = process.phase("handshake", {"experiment": "f00d"})
    process.peer("server", "marks", {})
    assert heard == [f"problem: {outcome.reason}"]
    assert "site.toml" in in_file(tmp_path)[0]


def test_innocent_sites_have_no_problem_when_another_spoils_a_round(heard):
    """What sites answer when a round is given up is no failure of theirs."""
    from local_sites import federation_of

    from fedket.experiment.build import build_experiment

    config = experiment(KINDS["masked"], model={"kind": "vqc", "num_qubits": 6, "num_layers": 1})
    silent = {(1, "upload")}
    federation, members = federation_of(
        config, build_experiment(config), lambda *request: request in silent
    )
    execute, failed = members.execute, set()

    def seen(phase):
        outcomes = execute(phase)
        failed.update(i for i, outcome in outcomes.items() if isinstance(outcome, Failure))
        return outcomes

    members.execute = seen
    assert federation.run_round(federation.init())[1].lost
    assert failed == {1}


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """A kit of three sites' federation whose key manager runs; each test puts samples in."""
    folder, port = tmp_path_factory.mktemp("opening") / "fed", free_ports(1)[0]
    config = load_config(find_experiment(Path("quickstart")))
    choices = Choices(("ada", "bob", "cy"), ("127.0.0.1",), trial_kme="127.0.0.1", kme_port=port)
    layout = write_project(config, folder, choices)
    with serving(KeyPools(read_table(folder / "kme" / "kme.toml", KmeConfig))):
        yield layout.kits["ada"]


GOOD = np.random.default_rng(0).uniform(0, 16, (20, 64)).astype(np.float32), np.arange(20) % 2


def looked(kit, x=GOOD[0], y=GOOD[1]):
    np.savez(kit / "local" / "fedket" / "samples.npz", x=x, y=y)
    return {check.name: check for check in look_at(kit)}


def test_a_server_that_is_not_up_is_said_and_waited_for(kit):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert [c.outcome for c in look_at(kit, lambda _: address) if c.name == "server"] == ["ok"]
    (check,) = (c for c in look_at(kit, lambda _: address) if c.name == "server")
    assert check.outcome == "note"
    assert "tries again" in check.found
    assert server_of(kit) == "127.0.0.1:8002"
    assert server_of(kit.parent / "server") == ""


def test_a_sound_kit_says_what_it_has_before_it_starts(kit):
    found = looked(kit)
    assert {check.outcome for check in found.values()} == {"ok"}, found
    assert "20 of shape" in found["samples"].found
    assert "labels 0, 1" in found["samples"].found
    assert "3 links; clock within" in found["key manager"].found
    assert "days" in found["certificates"].found


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"x": np.where(np.arange(64) == 9, np.nan, GOOD[0])}, "holds NaN"),
        ({"x": GOOD[0].astype(str)}, ""),
        ({"y": GOOD[1] - 1}, ""),
        ({"y": GOOD[1] + 0.5}, ""),
        ({"y": GOOD[1][:7]}, ""),
    ],
    ids=["NaN", "type", "negative", "fractions", "fewer"],
)
def test_samples_that_cannot_be_used_are_found_before_the_start(kit, changes, says):
    check = looked(kit, **changes)["samples"]
    assert check.outcome == "fail"
    assert says in check.found
    assert "\n" not in check.found


def test_a_damaged_store_ends_the_start_and_one_in_use_or_an_absent_key_manager_do_not(
    kit, tmp_path, monkeypatch, capsys
):
    own = kit / "local" / "fedket"
    with PadStore.open(own / "pads", 0):
        assert looked(kit)["pads"].outcome == "note"
    sae = own / "sae.toml"
    text = sae.read_text()
    sae.write_text(re.sub(r"(https://[^:]+):\d+", rf"\1:{free_ports(1)[0]}", text))
    away = looked(kit)
    assert away["key manager, reachable"].outcome == "note"
    assert "key manager" not in away
    sae.write_text(text)
    for path in (own / "pads").glob("*.sqlite*"):
        path.write_bytes(b"damaged")
    approve(own, load_config(own / "experiment.toml"))
    monkeypatch.setattr("sys.argv", ["fedket", "deploy", "start", str(kit)])
    assert cli.execute() == 2
    said = capsys.readouterr()
    assert "put pads right, then start again" in said.err
    assert "fail  pads: " in said.out


@pytest.mark.long
@pytest.mark.xdist_group("federations")
def test_sites_of_a_real_federation_see_their_own_problems_and_the_innocent_none(tmp_path):
    """Three of six cannot take part, each for another reason; nobody else is told of them."""
    pytest.importorskip("nvflare")
    config = experiment(
        KINDS["masked"],
        partition={"kind": "iid", "num_clients": 6},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )
    layout = prepare(config, 6, tmp_path / "federation")
    federation = layout.files("server") / "federation.toml"
    federation.write_text("min_sites = 3\n" + federation.read_text())
    for site, change in (("site-4", lambda x: x[:, :5]), ("site-6", lambda x: x * np.nan)):
        path = layout.files(site) / "samples.npz"
        with np.load(path) as stored:
            np.savez(path, x=change(stored["x"]), y=stored["y"])
    other = layout.files("site-5") / "experiment.toml"
    other.write_text(other.read_text().replace("seed = 0", "seed = 1"))
    command = [sys.executable, "-m", "fedket", "deploy", "local", "sites", "--output"]
    done = subprocess.run([*command, str(layout.directory)], check=False, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    said = {
        "site-4": "the server leaves this site out: was refused: its samples have shape",
        "site-5": "the experiment `sites` has changed",
        "site-6": "holds NaN",
    }
    for site in (name for name in layout.kits if name.startswith("site-")):
        terminal = (layout.kits[site] / "log.out").read_text()
        kept = layout.files(site) / PROBLEM
        assert terminal.count("problem: ") == (site in said), terminal
        assert kept.exists() == (site in said)
        assert "INFO" not in terminal
        if site in said:
            assert said[site] in kept.read_text()
            assert said[site] in terminal
