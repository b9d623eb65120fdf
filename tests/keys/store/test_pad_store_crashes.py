"""The store's process is killed; the long version is `python -m tests.keys.store.fuzz`."""

import subprocess
import sys

import pytest
from pad_store_parts import BACK, THERE, filled, key

from fedket.keys.store import KeyPurpose, PadStore


@pytest.mark.parametrize("kills", [30, pytest.param(2000, marks=pytest.mark.long)])
def test_no_byte_is_used_twice_whenever_the_process_is_killed(repository, kills):
    done = subprocess.run(
        [sys.executable, "-m", "tests.keys.store.fuzz", "--kills", str(kills)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"22 crash points, {kills} random kills" in done.stdout


def test_what_counts_was_synced_before_it_was_committed(tmp_path):
    """`kill -9` cannot show this; a power cut would."""
    passed = []
    with PadStore.open(tmp_path, 0, crash_point=passed.append) as store:
        opened = passed.index("before commit")
        assert passed.index("after sync store key") < opened
        passed.clear()
        store.deposit(THERE, "k", key("k", 200_000))
        stored = [step for step in passed if "write" not in step]
        assert stored == [
            f"{when} {step}"
            for step in ("sync segment", "sync directory", "sync segment key", "commit")
            for when in ("before", "after")
        ]
        last_write = max(i for i, step in enumerate(passed) if step == "after write segment")
        assert last_write < passed.index("before sync segment")


def test_keys_are_destroyed_after_the_commit_that_ends_their_bytes(tmp_path):
    passed = []
    with filled(tmp_path, 0, 100_000, crash_point=passed.append) as store:
        store.reserve({THERE: 100_000}, KeyPurpose.PAD, "r", 1)
        passed.clear()
        store.burn([THERE, BACK], "r", 1)
    assert passed[:2] == ["before commit", "after commit"]
    assert passed[2:6] == ["before write erased key", "after write erased key"] * 2
    assert passed[6:8] == ["before sync erased key", "after sync erased key"]


def test_only_reserving_waits_for_the_disk(tmp_path):
    passed = []
    with filled(tmp_path, 0, crash_point=passed.append) as store:
        passed.clear()
        store.reserve({THERE: 1000}, KeyPurpose.PAD, "r", 1)
        assert passed == ["before commit", "after commit"]
        for start in range(0, 1000, 100):
            store.take(THERE, start, 100, run="r", round_num=1)
        assert passed == ["before commit", "after commit"]
