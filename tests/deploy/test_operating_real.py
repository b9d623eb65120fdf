"""Operating real federations: asked and stopped from where no file of theirs is."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest
from local_sites import experiment, processes_of

from fedket import federated_statistics
from fedket.deploy.local import is_alive, prepare, simulated, start_kme, start_party
from fedket.experiment.build import build_experiment
from fedket.statistics.pooled import as_values

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("federations")]

ROUNDS = 3000
PACKAGES = {"flare": "nvflare", "flower": "flwr"}


def fedket(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "fedket", *map(str, words)], stdout=subprocess.PIPE, text=True
    )


def said(*words):
    process = fedket(*words)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    return out


def until(test, running):
    while not (value := test()):
        assert running.poll() is None, running.communicate()
        time.sleep(0.2)
    return value


def status(folder):
    return json.loads(said("deploy", "status", folder, "--json"))


def alone(config):
    """What one machine with all samples finds, as the command prints it."""
    built = build_experiment(simulated(config))
    found = federated_statistics(built.dataset, built.partition)
    return json.loads(json.dumps(as_values(found._replace(name=config.name, class_names=()))))


def rounds(folder):
    state = status(folder)["state"]
    return state and state["rounds"] > 1 and state


@pytest.fixture
def config():
    return experiment(
        {"kind": "pairwise_masks", "bits": 16},
        partition={"kind": "dirichlet", "num_clients": 3, "alpha": 0.7},
        federation={"rounds": ROUNDS},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )


@pytest.mark.parametrize("engine", PACKAGES)
def test_a_run_is_watched_and_stopped_where_it_is_and_from_elsewhere(engine, config, tmp_path):
    pytest.importorskip(PACKAGES[engine])
    layout = prepare(config, 3, tmp_path / "here", engine)
    folder = layout.directory
    local = fedket("deploy", "local", "sites", "--output", folder)
    until((folder / "processes.json").exists, local)
    state = until(lambda: rounds(folder), local)
    assert all(site["inside"] for site in state["sites"])
    assert [link["peer"] for link in state["links"]] == ["site-1", "site-2", "site-3"]
    for party, metric in (
        ("server", "fedket_rounds_finished"),
        ("site-1", "fedket_link_key_rounds"),
    ):
        watch = fedket("deploy", "watch", layout.kits[party], "--port", 0)
        url = watch.stdout.readline().split()[1]
        with urlopen(f"{url}metrics") as metrics, urlopen(url) as page:  # noqa: S310 - our own
            found = re.findall(rf"^{metric}\S* ([\d.]+)$", metrics.read().decode(), re.MULTILINE)
            assert float(found[0]) > 0
            assert b"Rounds finished" in page.read()
        watch.send_signal(signal.SIGINT)
        watch.communicate()
        assert watch.returncode == 0
        assert (layout.files(party) / "state.json").stat().st_mode & 0o77 == 0
    assert "stopped kme, server, site-1" in said("deploy", "stop", folder)
    assert not [pid for kit in layout.kits.values() for pid in processes_of(kit)]
    out, _ = local.communicate()
    assert local.returncode == 130
    assert "handed in again" not in out
    assert "stopped; resume with: fedket deploy local sites" in out

    office = tmp_path / "office"  # the coordinator's machine: kits, and nothing that runs wrote
    shutil.copytree(folder, office)
    for left in ("run", "state.json", "news.txt", "stopped.json"):
        path = office / "kits" / "server" / "local" / "fedket" / left
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    coordinator = office / "kits" / "admin"  # all that somebody who asks needs
    started = [start_kme(layout)]
    (folder / "processes.json").unlink()
    parties = ("server", "site-1", "site-2", "site-3")
    started += [start_party(layout.kits[party], party) for party in parties]
    try:
        found = json.loads(said("deploy", "statistics", folder, "--json"))
        assert found == alone(config)
        run = fedket("deploy", "run", office)
        done = state["rounds"]
        state = until(lambda: (s := rounds(office)) and s["rounds"] > done and s, run)
        assert [site["name"] for site in state["sites"]] == ["site-1", "site-2", "site-3"]
        assert "site-2 is here" in said("deploy", "logs", office)
        assert "the run is stopped" in said("deploy", "stop", office)
        out, _ = run.communicate()
        assert run.returncode == 130
        assert "stopped the run at" in out
        assert "handed in again" not in out
        assert "stopped by coordinator" in said("deploy", "status", office)
        assert "the server runs nothing" in said("deploy", "stop", office)
        assert all(map(is_alive, started))
        again, done = fedket("deploy", "run", office), state["rounds"]
        until(lambda: (s := rounds(office)) and s["rounds"] > done and s, again)
        assert status(coordinator)["state"]["rounds"] > done
        assert "the run is stopped" in said("deploy", "stop", coordinator)
        assert again.wait() == 130
        again.communicate()
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
