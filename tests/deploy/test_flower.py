"""Whole federations on Flower: mutual TLS, a process for each site, real kills."""

import json
import os
import signal
import threading

import pytest

pytest.importorskip("flwr")

from federations import finish, lines_of, run_directory
from local_sites import experiment, processes_of

from fedket.deploy.local import prepare, start_party
from fedket.experiment.build import build_experiment
from fedket.federated.checkpoint import params_sha256

pytestmark = [pytest.mark.xdist_group("federations"), pytest.mark.long]


def end(pids, sign=signal.SIGKILL):
    for pid in pids:
        os.kill(pid, sign)


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

    layout = prepare(config, 3, tmp_path / "federation", "flower")
    over = threading.Event()

    def kill_server():
        while len(lines_of(layout)) < 4 and not over.wait(0.02):
            pass
        end(processes_of(layout.kits["server"]))
        start_party(layout.kits["server"], "server")

    killer = threading.Thread(target=kill_server)
    killer.start()
    try:
        heard = finish(layout)
    finally:
        over.set()
        killer.join()
        end(processes_of(layout.kits["server"]))
    summary = json.loads((run_directory(layout) / "summary.json").read_text())
    assert "started again" in heard
    assert [line["round"] for line in lines_of(layout)] == list(range(1, 13))
    assert not any(line["dropped"] for line in lines_of(layout))
    assert summary["parameters_sha256"] == params_sha256(state.params)


def test_a_site_that_is_killed_is_left_out_and_comes_back(tmp_path):
    config = experiment(
        {"kind": "shared_masks", "bits": 16, "colluders": 1, "threshold": 3},
        federation={"rounds": 40},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )
    layout, over = prepare(config, 4, tmp_path / "federation", "flower"), threading.Event()

    def kill_site():
        while len(lines_of(layout)) < 3 and not over.wait(0.02):
            pass
        end(processes_of(layout.kits["site-2"]))
        while not lines_of(layout)[-1]["dropped"] and not over.wait(0.02):
            pass
        start_party(layout.kits["site-2"], "site-2")

    killer = threading.Thread(target=kill_site)
    killer.start()
    try:
        finish(layout)
    finally:
        over.set()
        killer.join()
        end(processes_of(layout.kits["site-2"]))
    left_out = [set(line["dropped"]) for line in lines_of(layout)]
    assert len(left_out) == 40
    assert {"1"} in left_out
    assert not left_out[-1]
