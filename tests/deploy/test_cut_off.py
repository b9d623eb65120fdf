"""A federation across networks: a site that is cut off is left out, and comes back."""

import json
import sys
import time

import numpy as np
import pytest

pytest.importorskip("nvflare")

from local_sites import experiment, site_parts
from namespaces import HUB, Network, network

from fedket.deploy.choices import Choices
from fedket.deploy.project import write_project
from fedket.experiment.build import build_experiment

pytestmark = pytest.mark.xdist_group("federations")

SITES = ("ada", "bob", "eve", "joe")
SAES = ("sae-ada", "sae-bob", "sae-eve", "sae-joe", "sae-server")


def prepared(directory):
    """Kits whose server and key manager are at the hub of a network."""
    config = experiment(
        {"kind": "shared_masks", "bits": 16, "colluders": 1, "threshold": 3},
        partition={"kind": "iid", "num_clients": len(SITES)},
        federation={"rounds": 1000},
    )
    choices = Choices(
        sites=SITES,
        hosts=(Network.address,),
        prepared=True,
        saes=SAES,
        trial_kme=Network.address,
        waits={"phase_s": 20.0, "silent_s": 5.0},
    )
    layout = write_project(config, directory, choices)
    for name, part in zip(SITES, site_parts(build_experiment(config)), strict=True):
        np.savez(layout.files(name) / "samples.npz", x=part.x_train, y=part.y_train)
    return layout


def start_all(net, layout):
    """The commands of an operator, each in its party's namespace."""
    folder, own = layout.directory, [sys.executable, "-m", "fedket"]
    kme = folder / "kme"
    net.start(HUB, [*own, "kme", "serve", "kme.toml"], kme, kme / "log.txt")
    for party in ("server", *SITES):
        kit = layout.kits[party]
        place = HUB if party == "server" else party
        net.start(place, layout.engine.command(kit), kit, kit / "log.out")
    return net.start(HUB, [*own, "deploy", "run", str(folder)], folder, folder / "run.txt")


class Rounds:
    """The rounds of a run, as they come."""

    def __init__(self, layout, process):
        self._layout, self._process = layout, process

    def all(self):
        path = self._layout.files("server") / "run" / "rounds.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(True) if line.endswith("\n")]

    def until(self, test, start=0):
        """Wait until a round from `start` on is as wanted; return how many there are then."""
        while True:
            for number, line in enumerate(self.all()[start:], start=start + 1):
                if test({int(client): reason for client, reason in line["dropped"].items()}):
                    return number
            if self._process.poll() is not None:
                pytest.fail((self._layout.directory / "run.txt").read_text())
            time.sleep(0.1)


def test_a_site_whose_network_is_cut_is_left_out_and_comes_back(tmp_path):
    layout = prepared(tmp_path / "federation")
    with network(*SITES) as net:
        rounds = Rounds(layout, start_all(net, layout))
        begun = rounds.until(lambda dropped: not dropped)
        net.cut("bob")
        named = rounds.until(lambda dropped: "bob sends no heartbeat" in dropped.get(1, ""), begun)
        # Rounds go on without it for a while, and not only the one that lost it.
        rounds.until(lambda dropped: True, named + 10)
        net.mend("bob")
        back = rounds.until(lambda dropped: not dropped, named + 10)
        rounds.until(lambda dropped: True, back + 5)
        lines = rounds.all()
    assert [line["round"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(line["train_loss"] is not None for line in lines)
    assert {client for line in lines for client in line["dropped"]} == {"1"}
    assert not any(line["dropped"] for line in lines[back:])
