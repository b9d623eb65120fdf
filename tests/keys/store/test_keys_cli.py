"""`fedket keys status|audit|verify`."""

import json
import sqlite3

import pytest
from pad_store_parts import THERE, filled
from typer.testing import CliRunner

from fedket.cli.app import app
from fedket.errors import KeyMaterialError
from fedket.keys.store import KeyPurpose


@pytest.fixture
def store(tmp_path):
    with filled(tmp_path, 0, streams=(THERE, (0, -1))) as store:
        store.reserve({THERE: 100}, KeyPurpose.PAD, "study", 3)
        store.take(THERE, 0, 60, run="study", round_num=3)
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["keys", *map(str, arguments)], catch_exceptions=True)


def refusal(*arguments):
    """The error that the command line turns into one line and exit code 2."""
    result = run(*arguments)
    assert isinstance(result.exception, KeyMaterialError)
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_status_says_what_is_left(store):
    lines = run("status", store).output.splitlines()
    assert lines[0] == "pad store of client 0, 5 ledger entries"
    assert lines[2].split() == ["client", "0", "server", "1,000", "0", "0", "0", "0", "none"]
    assert lines[3].split()[:9] == ["client", "0", "client", "1", "900", "0", "60", "40", "100"]
    assert lines[3].endswith("pad for round 3 of study, information-theoretic")


def test_status_in_json(store):
    found = json.loads(run("status", store, "--json").output)
    assert (found["owner"], found["entries"]) == (0, 5)
    server, client = found["streams"]
    assert (server["receiver"], server["available"], server["last"]) == (-1, 1000, None)
    assert (client["consumed"], client["burned"], client["last"]["round_num"]) == (60, 40, 3)


def test_audit_lists_the_ledger(store):
    lines = run("audit", store).output.splitlines()
    assert len(lines) == 5
    assert "deposited  client 0 -> client 1  bytes 0..1000  key first of (0, 1)" in lines[0]
    assert "burned     client 0 -> client 1  bytes 60..100  pad for round 3" in lines[4]
    assert run("audit", store, "--last", 2).output.splitlines() == lines[-2:]
    entries = [json.loads(line) for line in run("audit", store, "--json").output.splitlines()]
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[3]["event"] == "consumed"
    assert entries[3]["length"] == 60


def test_verify_says_that_the_ledger_holds(store):
    result = run("verify", store)
    assert (result.exit_code, result.output) == (
        0,
        "the ledger is intact: 5 entries, seal intact\n",
    )
    found = json.loads(run("verify", store, "--json").output)
    assert found == {"ok": True, "entries": 5, "findings": [], "seal_checked": True}


def test_verify_takes_the_store_key_from_elsewhere(store, tmp_path):
    (store / "store.key").rename(store / "elsewhere")
    assert "seal not checked: no store key" in run("verify", store).output
    assert "seal intact" in run("verify", store, "--store-key", store / "elsewhere").output


def test_verify_refuses_an_edited_ledger(store):
    connection = sqlite3.connect(store / "pads.sqlite")
    connection.execute("DROP TRIGGER ledger_is_not_changed")
    connection.execute("UPDATE ledger SET round_num = 4 WHERE seq = 3")
    connection.commit()
    connection.close()
    assert "is not intact: entry 3 was changed" in refusal("verify", store)
    result = run("verify", store, "--json")
    assert result.exit_code == 2
    assert json.loads(result.output)["ok"] is False


@pytest.mark.parametrize("command", ["status", "audit", "verify"])
def test_a_directory_without_a_store_is_refused(tmp_path, command):
    assert "there is no pad store" in refusal(command, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_link_is_reset_and_the_others_are_not(store):
    assert (
        "burned 900 bytes of the link between client 0 and client 1"
        in run("reset", store, 1).output
    )
    found = {s["receiver"]: s for s in json.loads(run("status", store, "--json").output)["streams"]}
    assert (found[1]["available"], found[1]["high_water"], found[1]["burned"]) == (0, 1000, 940)
    assert found[-1]["available"] == 1000
    assert run("verify", store).exit_code == 0
    assert "burned 1,000 bytes" in run("reset", store, "server").output
    assert "by a party's number or `server`, got `bob`" in str(run("reset", store, "bob").exception)
