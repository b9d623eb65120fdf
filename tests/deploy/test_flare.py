"""Whole federations on NVIDIA FLARE: mutual TLS, a process for each site, real kills."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("nvflare")

from federations import finish, lines_of, run_directory
from local_sites import LocalMembers, SharedKeys, experiment, processes_of, site_parts

from fedket.deploy.engines.flare import job
from fedket.deploy.given import GIVEN
from fedket.deploy.local import prepare, running, start_party
from fedket.deploy.operating.consent import approve
from fedket.deploy.rounds import SiteRounds
from fedket.deploy.server_experiment import site_experiment
from fedket.deploy.site import Site
from fedket.deploy.site_trainer import make_task
from fedket.experiment.build import build_experiment
from fedket.experiment.load import load_config
from fedket.experiment.run_directory import read_config
from fedket.federated.checkpoint import params_sha256
from fedket.keys import OsRandomSource
from fedket.secure.differencing_guard import OPENED
from fedket.secure.shared_masks.protocol import SILENT

UNRULY = "unruly_site.UnrulySite"

pytestmark = pytest.mark.xdist_group("federations")


def test_a_federation_whose_server_is_killed_ends_with_the_simulation_s_weights(tmp_path):
    """The same experiment, simulated one site after the other, gives the same SHA-256."""
    config = experiment(
        {"kind": "pairwise_masks", "bits": 16},
        partition={"kind": "dirichlet", "num_clients": 3, "alpha": 0.7},
        federation={"rounds": 12},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )
    simulated = build_experiment(config).federation
    state = simulated.init()
    for _ in range(12):
        state, _ = simulated.run_round(state)

    layout, over = prepare(config, 3, tmp_path / "federation"), threading.Event()

    def kill_server():
        while len(lines_of(layout)) < 4 and not over.wait(0.02):
            pass
        for pid in processes_of(layout.kits["server"]):
            os.kill(pid, signal.SIGKILL)
        start_party(layout.kits["server"], "server")

    killer = threading.Thread(target=kill_server)
    killer.start()
    try:
        heard = finish(layout)
    finally:
        over.set()
        killer.join()
        for pid in processes_of(layout.kits["server"]):
            os.kill(pid, signal.SIGKILL)
    summary = json.loads((run_directory(layout) / "summary.json").read_text())
    assert "handed in again" in heard
    assert [line["round"] for line in lines_of(layout)] == list(range(1, 13))
    assert not any(line["dropped"] for line in lines_of(layout))
    assert summary["parameters_sha256"] == params_sha256(state.params)
    opened = (layout.files("server") / OPENED).read_text().splitlines()
    assert {json.loads(line)["round"] for line in opened} == set(range(1, 13))
    for site in ("site-1", "site-2", "site-3"):
        given = (layout.files(site) / GIVEN).read_text().splitlines()
        assert {json.loads(line)["round"] for line in given} == set(range(1, 13))
    for party in ("server", "site-1", "site-2", "site-3"):
        store = layout.files(party) / "pads"
        audit = [sys.executable, "-m", "fedket", "keys", "verify", str(store)]
        assert subprocess.run(audit, check=False, capture_output=True).returncode == 0


class Replay(LocalMembers):
    """The same federation without processes: sites are away, or silent, as a record says."""

    def __init__(self, sites, lines):
        super().__init__(sites)
        self.lines, self.round_num = lines, 0

    def gather(self, needed=0):
        self.round_num += 1
        return super().gather()

    def absent(self):
        dropped = self.lines[self.round_num - 1]["dropped"]
        return {int(site): reason for site, reason in dropped.items() if SILENT not in reason}

    def execute(self, phase):
        dropped = self.lines[self.round_num - 1]["dropped"]
        silent = {int(site) for site, reason in dropped.items() if SILENT in reason}
        self.silent = lambda site, action: action == "upload" and site in silent
        return super().execute(phase)


def replayed(layout, lines):
    """Final weights of a run, computed again from who took part in its rounds."""
    config = read_config(run_directory(layout))
    simulated = json.loads(config.model_dump_json())
    simulated["engine"]["kind"] = "sequential"
    simulated["keys"] = {"kind": "os_random"}
    built = build_experiment(type(config).model_validate_json(json.dumps(simulated)))
    keys = SharedKeys(OsRandomSource())
    members = Replay(
        [Site(f"{i}", i, config, p, keys) for i, p in enumerate(site_parts(built))], lines
    )
    members.open("again")
    task = make_task(config, built.dataset.x_train.shape[1:], built.dataset.num_classes)
    federation = site_experiment(task, SiteRounds(task, members, keys, "again"), None).federation
    state = federation.init()
    for line in lines:
        if line["train_loss"] is None:
            members.round_num += 1
            state = state._replace(round_num=state.round_num + 1)
        else:
            state, _ = federation.run_round(state)
    return state.params


FEW = {
    "site-2": [["die", "share", 2], ["die", "upload", 12]],
    "site-3": [["garbage", "upload", 6]],
}
MANY = {
    "site-2": [
        ["die", "reserve", 2],
        ["die", "share", 14],
        ["die", "upload", 26],
        ["die", "open", 38],
    ],
    "site-3": [["garbage", "upload", 8]],
    "site-4": [["dawdle", "upload", 50]],
    "site-6": [["version", "handshake", 0]],
}


@pytest.mark.parametrize(
    ("cues", "sites", "rounds"),
    [
        pytest.param(FEW, 4, 24, id="few"),
        pytest.param(MANY, 6, 60, id="many", marks=pytest.mark.long),
    ],
)
def test_sites_that_die_lie_dawdle_or_do_not_fit_are_left_out(
    cues, sites, rounds, tmp_path, monkeypatch
):
    """`kill -9` in every phase; the weights are those of the survivors' exact sums.

    With six sites, site 5's experiment and site 6's version are others.
    """
    config = experiment(
        {"kind": "shared_masks", "bits": 16, "colluders": 1, "threshold": 3},
        partition={"kind": "iid", "num_clients": sites},
        federation={"rounds": rounds},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )
    layout = prepare(config, sites, tmp_path / "federation")
    misfits = {4, 5} if sites == 6 else set()
    if misfits:
        other = layout.files("site-5") / "experiment.toml"
        other.write_text(other.read_text().replace("seed = 0", "seed = 1"))
        approve(other.parent, load_config(other))
    monkeypatch.setenv("UNRULY", json.dumps(cues))
    monkeypatch.setenv("UNRULY_PACE", "0.8")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    _replace(layout, job.SITE_CLASS, UNRULY)
    # Two of six do not fit, which is more than a first round without `min_sites` may lack.
    _replace(layout, "training_s = 600.0", "training_s = 20.0\nmin_sites = 3")
    finish(layout)
    lines = lines_of(layout)
    cue = {site: sorted(layout.files(site).glob("cue-*")) for site in cues}
    once = {site: 0 if site == "site-6" else len(given) for site, given in cues.items()}
    assert {site: len(files) for site, files in cue.items()} == once
    left_out = {line["round"]: set(map(int, line["dropped"])) for line in lines}
    for site, files in cue.items():
        for file in files[: 3 if site == "site-2" else None]:  # who dies at `open` is in the sum
            party = int(site.removeprefix("site-")) - 1
            assert party in left_out[int(file.read_text())], file
    assert left_out[lines[-1]["round"]] <= {1, 3} | misfits
    assert all(misfits <= clients for clients in left_out.values())
    if misfits:
        reasons = {int(site): why for line in lines for site, why in line["dropped"].items()}
        assert "site site-5 was refused: its experiment's fingerprint" in reasons[4]
        assert "site site-6 was refused" in reasons[5]
        assert "0.0.1" in reasons[5]
    back = [r for r in left_out if 1 not in left_out[r]]
    assert max(back) > int(cue["site-2"][0].read_text())
    summary = json.loads((run_directory(layout) / "summary.json").read_text())
    assert len(lines) == rounds
    assert params_sha256(replayed(layout, lines)) == summary["parameters_sha256"]


@pytest.mark.long
def test_a_run_ends_after_its_last_round_whatever_died_before(tmp_path, monkeypatch):
    """Its calls to the dead, whose time would be up in an hour, keep neither it nor its sites."""
    config = experiment(
        {"kind": "shared_masks", "bits": 16, "colluders": 1, "threshold": 3},
        partition={"kind": "iid", "num_clients": 6},
        federation={"rounds": 20},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )
    layout = prepare(config, 6, tmp_path / "federation")
    monkeypatch.setenv("UNRULY", json.dumps({"site-4": [["die", "upload", 20]]}))
    monkeypatch.setenv("UNRULY_PACE", "0.4")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    _replace(layout, job.SITE_CLASS, UNRULY)
    _replace(layout, "training_s = 600.0", "training_s = 3600.0")
    command = [sys.executable, "-m", "fedket", "deploy", "run", str(layout.directory)]
    with running(layout), subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watched:
        while len(lines_of(layout)) < 17:
            assert watched.poll() is None
            time.sleep(0.02)
        for site in ("site-2", "site-3"):
            for pid in processes_of(layout.kits[site]):
                os.kill(pid, signal.SIGKILL)
        again = start_party(layout.kits["site-3"], "site-3")
        try:
            heard, _ = watched.communicate()
            while any(len(processes_of(kit)) > 1 for kit in layout.kits.values()):
                time.sleep(0.1)
            last = (run_directory(layout) / "rounds.jsonl").stat().st_mtime
            sys.stdout.write(f"all has ended {time.time() - last:.1f} s after the last round\n")
        finally:
            os.killpg(again.pid, signal.SIGKILL)
    assert watched.returncode == 0
    assert len(lines_of(layout)) == 20
    assert lines_of(layout)[-1]["dropped"].keys() >= {"1", "3"}
    assert heard.count("submitted") == 1
    assert "finished:completed" in heard


@pytest.mark.long
def test_a_site_whose_process_fails_comes_back_into_the_job_that_went_on(tmp_path, monkeypatch):
    config = experiment(
        {"kind": "shared_masks", "bits": 16, "colluders": 1, "threshold": 3},
        federation={"rounds": 100},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )
    layout = prepare(config, 4, tmp_path / "federation")
    monkeypatch.setenv("UNRULY", json.dumps({"site-4": [["fail", "upload", 3]]}))
    monkeypatch.setenv("UNRULY_PACE", "0.4")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    _replace(layout, job.SITE_CLASS, UNRULY)
    heard = finish(layout)
    assert heard.count("submitted") == 1
    assert "ended with code 101" in (layout.files("site-4") / "news.txt").read_text()
    left_out = [line["dropped"].keys() for line in lines_of(layout)]
    assert {"3"} in left_out
    assert not left_out[-1]


def _replace(layout, old, new):
    """Put one text for another in all files of a federation that are JSON or TOML."""
    for pattern in ("**/*.json", "**/*.toml"):
        for path in layout.directory.glob(pattern):
            text = path.read_text()
            if old in text:
                path.write_text(text.replace(old, new))
