"""What parties, and users of their machines, can do to each other through FLARE: nothing.

Real processes attack each other for minutes; the rules they run into have laws in `test_guard`.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("nvflare")

from local_sites import experiment

from fedket.deploy.engines.flare import job
from fedket.deploy.local import is_alive, prepare, processes

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("federations")]

HERE = Path(__file__).parent
ROUNDS = 150
LOOT = "the key of another party"


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """One run in which everybody attacks: its layout, what attackers got, and how it ended."""
    folder = tmp_path_factory.mktemp("attacked")
    config = experiment(
        {"kind": "pairwise_masks", "bits": 16}, federation={"rounds": ROUNDS}, name="attacked"
    )
    layout = prepare(config, 3, folder / "federation")
    for pattern in ("job/**/*.json", "kits/*/local/*.json"):
        for path in layout.directory.glob(pattern):
            text = path.read_text().replace(job.SITE_CLASS, "hostile_party.HostileSite")
            path.write_text(text.replace(job.SERVER_CLASS, "hostile_party.HostileServer"))
    loot = folder / "loot"
    loot.mkdir()
    (loot / "secret").write_text(LOOT)
    paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"HOSTILE": str(loot), "PYTHONPATH": paths}
    command = [sys.executable, "-m", "fedket", "deploy", "local", "sites", "--output"]
    run = subprocess.Popen([*command, str(layout.directory)], env=environment)
    try:
        victims = until(lambda: rounds(layout) and processes_of(layout, "site-2"), run)
        port = until(lambda: port_of(layout, "site-2"), run)
        thief = str(layout.kits["site-1"] / "startup")
        strangers = [
            (f"tcp://localhost:{port}", "site-2.stranger"),
            (f"tcp://localhost:{port}", "server"),
            (f"stcp://localhost:{port}", "site-1.stranger", thief),
            (f"stcp://localhost:{port}", "server", thief),
        ]
        script = [sys.executable, str(HERE / "hostile_party.py")]
        intruders = [
            subprocess.Popen([*script, url, name, "site-2", *startup], env=environment)
            for url, name, *startup in strangers
        ]
        assert [intruder.wait() for intruder in intruders] == [0] * len(strangers)
        until(lambda: (loot / "site.json").exists() and (loot / "server.json").exists(), run)
        (loot / "over").touch()
        survived = [is_alive(victim) for victim in victims]
        code = run.wait()
    finally:
        run.kill()
    got = {path.stem: json.loads(path.read_text()) for path in loot.glob("*.json")}
    return layout, got, survived, code


def until(test, run):
    while not (value := test()):
        assert run.poll() is None, "the run ended before it was attacked"
        time.sleep(0.05)
    return value


def rounds(layout):
    path = layout.files("server") / "run" / "rounds.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def processes_of(layout, party):
    return [started for started in processes(layout.directory) if started.party == party]


def port_of(layout, party):
    found = re.findall(r"internal listener for \w+://localhost:(\d+)", log_of(layout, party))
    return found[-1] if found else ""


def log_of(layout, party):
    return (layout.kits[party] / "log.txt").read_text(errors="replace")


def refused(answer):
    """Whether an answer says no, or there is none."""
    return re.match(
        r"invalid_request|timeout|comm_error|target_unreachable|\S+ refused|refused", answer
    )


@pytest.mark.parametrize("attacker", ["site", "server"])
def test_a_party_s_admin_channel_does_nothing_for_another_party(attacked, attacker):
    _, got, _, _ = attacked
    assert len(got[attacker]) >= 9
    for tried, answer in got[attacker].items():
        assert refused(answer), (tried, answer)


def test_another_user_of_a_site_s_machine_is_refused_at_its_job_s_port(attacked):
    _, got, _, _ = attacked
    strangers = [
        "site-2.stranger with no certificate",
        "server with no certificate",
        "server with a certificate",
    ]
    assert [got[stranger] for stranger in strangers] == [{"connection": "refused"}] * 3
    for tried, answer in got["site-1.stranger with a certificate"].items():
        assert refused(answer), (tried, answer)
    assert not any(LOOT in answer for answers in got.values() for answer in answers.values())


def test_a_run_that_is_attacked_loses_nobody_and_nothing(attacked):
    layout, _, survived, code = attacked
    assert code == 0
    assert survived == [True]
    assert not any(line["dropped"] for line in rounds(layout))
    assert len(rounds(layout)) == ROUNDS
    assert "refused 'admin/sys.shell'" in log_of(layout, "site-2")
