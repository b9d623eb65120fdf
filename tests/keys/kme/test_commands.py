"""The commands: a trial from nothing to a clean stop, and exit codes."""

import contextlib
import json
import signal
import subprocess
import sys
import threading

import pytest
from kme_network import serve
from typer.testing import CliRunner

from fedket.cli.app import app as fedket
from fedket.errors import ConfigError
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import KmeError
from fedket.keys.kme.config import KmeConfig
from fedket.schema import read_table

FEDKET = "from fedket.cli import main; main()"


@pytest.fixture(scope="module")
def keys():
    return lambda *words: CliRunner().invoke(fedket, ["keys", *map(str, words)])


def sae_file(world, directory, **changed):
    values = world.sae("alice", **changed).model_dump(mode="json", exclude_defaults=True)
    path = directory / "alice.toml"
    path.write_text("\n".join(f"{name} = {json.dumps(value)}" for name, value in values.items()))
    return path


def test_a_trial_is_one_command(keys, tmp_path):
    result = keys("dev-pki", tmp_path / "trial", "--kme", "kme 1", "--sae", "alice", "--sae", "a/b")
    assert result.exit_code == 0
    assert "fedket kme serve" in result.output
    network = read_table(tmp_path / "trial" / "kme.toml", KmeConfig)
    assert [link.saes for link in network.link] == [("alice", "a/b")]
    assert all(kme.certificate.exists() and kme.key.exists() for kme in network.kme)
    config = read_table(tmp_path / "trial" / "alice.toml", SaeConfig)
    assert config.peers == ("a/b",)
    assert config.key.exists()
    again = keys("dev-pki", tmp_path / "trial")
    assert isinstance(again.exception, KmeError)
    assert "name a new directory" in str(again.exception)


def test_more_kmes_than_applications_make_no_trial(keys, tmp_path):
    result = keys("dev-pki", tmp_path / "t", "--kme", "a", "--kme", "b", "--sae", "c")
    assert isinstance(result.exception, KmeError)
    assert not (tmp_path / "t").exists()


def test_the_doctors_exit_code_is_1_if_something_failed(keys, world, tmp_path):
    path = sae_file(world, tmp_path, peers=("bob",))
    well = keys("doctor", path, "--sample-s", "0")
    assert (well.exit_code, well.output.splitlines()[-1]) == (0, "ready for a run")
    world.inject("unavailable")
    ill = keys("doctor", path, "--sample-s", "0")
    assert ill.exit_code == 1
    assert "fail  peer bob: KME" in ill.output
    assert ill.output.splitlines()[-1] == "1 of 10 checks failed"


def test_the_doctor_speaks_json(keys, world, tmp_path):
    result = keys("doctor", sae_file(world, tmp_path), "--json", "--sample-s", "0")
    checks = json.loads(result.output)
    assert {"name": "peers", "outcome": "note"}.items() <= checks[-1].items()


def test_a_bad_file_is_a_configuration_error(keys, tmp_path):
    assert isinstance(keys("doctor", tmp_path / "none.toml").exception, ConfigError)


def test_serving_says_where_and_stops_cleanly(pki, tmp_path):
    certificate, key = pki.certificates["kme-a"]
    path = tmp_path / "kme.toml"
    section = {"id": "kme-a", "ca": pki.ca, "certificate": certificate, "key": key}
    lines = [f"{name} = {json.dumps(str(value))}" for name, value in section.items()]
    path.write_text("\n".join(["[[kme]]", *lines, 'saes = ["alice"]']))
    command = [sys.executable, "-W", "error", "-c", FEDKET, "kme", "serve", str(path)]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True) as process:
        first, second = (process.stdout.readline() for _ in range(2))
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate()
    assert first.startswith("KME kme-a on https://127.0.0.1:")
    assert first.endswith("for alice, for this machine only\n")
    assert "simulated" in second
    assert (rest, errors, process.returncode) == (
        "stopped; keys that were not fetched are gone\n",
        "",
        0,
    )


def test_a_server_stops_while_a_call_hangs(pki, caplog):
    def call() -> None:
        with world.client("alice") as kme, contextlib.suppress(KmeError):
            kme.status("bob")

    thread = threading.Thread(target=call)
    with serve(pki) as world:
        world.inject("hang")
        thread.start()
        world.faults.hanging.wait()
    thread.join()
    assert not caplog.records
