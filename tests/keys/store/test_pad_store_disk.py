"""Full disks, damaged files, erasure, and stores larger than memory should be."""

import errno
import shutil
import subprocess
import sys
import tracemalloc
from contextlib import suppress

import pytest
from pad_store_parts import BACK, THERE, abandon, exchange, filled, key, pair

from fedket.errors import KeyMaterialError
from fedket.keys.material import KeyMaterial
from fedket.keys.store import DiskFullError, KeyPurpose, PadStore, verify
from fedket.keys.store.segments import SLOT_BYTES

MIB = 1 << 20


def full_at(steps):
    """A crash point that reports a full disk at every step whose name is in `steps`."""

    def crash_point(name):
        if name in steps:
            raise OSError(errno.ENOSPC, "No space left on device")

    return crash_point


def use_everything(store, name):
    """One of each: deposit, reserve, take, burn."""
    store.deposit(THERE, name, key(name, 150_000))
    start = store.reserve({THERE: 100_000}, KeyPurpose.PAD, name, 1)[THERE]
    store.take(THERE, start, 50_000, run=name, round_num=1)
    store.burn([THERE], name, 1)
    return start


@pytest.mark.parametrize(
    "step",
    [
        "write segment",
        "sync segment",
        "sync directory",
        "write segment key",
        "sync segment key",
        "commit",
    ],
)
def test_a_deposit_on_a_full_disk_changes_nothing(tmp_path, step):
    steps = set()
    with filled(tmp_path, 0, 1000, crash_point=full_at(steps)) as store:
        steps.add(f"before {step}")
        for _ in range(2):
            with pytest.raises(DiskFullError, match="nothing was lost, free some space"):
                store.deposit(THERE, "k", key("k", 300_000))
        assert store.available(THERE) == 1000
        assert sum(path.stat().st_size for path in (tmp_path / "segments").iterdir()) < 3000
        steps.clear()
        assert store.deposit(THERE, "k", key("k", 300_000)) == 1000
    with PadStore.open(tmp_path, 0) as store:
        store.reserve({THERE: 301_000}, KeyPurpose.PAD, "r", 1)
        taken = store.take(THERE, 1000, 300_000, run="r", round_num=1)
        assert taken == key("k", 300_000)


def test_a_reservation_on_a_full_disk_hands_out_nothing(tmp_path):
    steps = set()
    with filled(tmp_path, 0, 1000, crash_point=full_at(steps)) as store:
        steps.add("before commit")
        with pytest.raises(DiskFullError):
            store.reserve({THERE: 10}, KeyPurpose.PAD, "r", 1)
        with pytest.raises(KeyMaterialError, match="not reserved"):
            store.take(THERE, 0, 10, run="r", round_num=1)
        steps.clear()
        assert store.reserve({THERE: 10}, KeyPurpose.PAD, "r", 1) == {THERE: 0}


def test_sqlite_out_of_pages_is_a_full_disk(tmp_path):
    with filled(tmp_path, 0) as store:
        connection = store._session.database
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        used = 0

        def reserve_on():
            nonlocal used
            for used in range(1000):
                store.reserve({THERE: 1}, KeyPurpose.PAD, f"run {used} " + 180 * "x", 1)

        with pytest.raises(DiskFullError):
            reserve_on()
        assert store.high_water_marks()[THERE] == used
        connection.execute("PRAGMA max_page_count = 100000")
        assert store.reserve({THERE: 1}, KeyPurpose.PAD, "r", 1) == {THERE: used}
    assert verify(tmp_path).findings == ()


def test_another_disk_error_closes_the_store_until_it_is_opened_again(tmp_path):
    broken = []

    def crash_point(name):
        if name in broken:
            raise OSError(errno.EIO, "Input/output error")

    with filled(tmp_path, 0, crash_point=crash_point) as store:
        broken.append("before sync segment")
        with pytest.raises(KeyMaterialError, match=r"Input/output error.*open the store again"):
            store.deposit(THERE, "k", key("k", 10))
        broken.clear()
        with pytest.raises(KeyMaterialError, match="is in doubt; open it again"):
            store.reserve({THERE: 1}, KeyPurpose.PAD, "r", 1)
    with PadStore.open(tmp_path, 0) as store:
        assert store.deposit(THERE, "k", key("k", 10)) == 1000


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 1 MiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place):
    """Leave not a byte free."""
    with (place / "filler").open("ab", buffering=0) as stream:
        for size in (1 << 16, 1 << 12, 1):
            with suppress(OSError):
                while stream.write(bytes(size)):
                    pass
    assert shutil.disk_usage(place).free == 0


def test_a_store_opens_and_burns_on_a_disk_that_is_full_to_the_last_byte(tiny_disk):
    store = filled(tiny_disk / "s", 0, 100_000)
    with pytest.raises(DiskFullError):
        store.deposit(THERE, "large", key("large", MIB))
    store.reserve({THERE: 60_000}, KeyPurpose.PAD, "r", 1)
    abandon(store)
    fill(tiny_disk)
    with PadStore.open(tiny_disk / "s", 0) as store:
        assert store.high_water_marks() == {THERE: 60_000, BACK: 0}
        fill(tiny_disk)
        with pytest.raises(DiskFullError):
            store.deposit(THERE, "large", key("large", 100_000))
        (tiny_disk / "filler").unlink()
        assert use_everything(store, "after") == 60_000
    assert verify(tiny_disk / "s").findings == ()


def test_used_key_is_erased_with_its_files(tmp_path):
    sender, receiver = pair(tmp_path, num_bytes=200_000)
    with sender, receiver:
        slots = (tmp_path / "0" / "segment.keys").read_bytes()
        start = exchange(sender, receiver, 140_000, 1)
        sender.take(THERE, start, 140_000, run="r", round_num=1)
        sender.burn([THERE], "r", 1)
        after = (tmp_path / "0" / "segment.keys").read_bytes()
        # 140,000 bytes are two whole segments of 65,536 bytes and a part of the third.
        assert after[: 2 * SLOT_BYTES] == bytes(2 * SLOT_BYTES)
        assert after[2 * SLOT_BYTES :] == slots[2 * SLOT_BYTES :]
        files = len(list((tmp_path / "0" / "segments").iterdir()))
        sender.reserve({THERE: 60_000}, KeyPurpose.PAD, "r", 2)
        sender.burn([THERE], "r", 2)
        assert len(list((tmp_path / "0" / "segments").iterdir())) == files - 1
        assert sender.deposit(THERE, "next", key("next", 10)) == 200_000
        reused = (tmp_path / "0" / "segment.keys").read_bytes()
        assert len(reused) == len(slots)
        assert any(reused[:SLOT_BYTES])


def test_burned_reservations_are_erased_by_the_next_opening(tmp_path):
    store = filled(tmp_path, 0, 65_536)
    store.reserve({THERE: 65_536}, KeyPurpose.PAD, "r", 1)
    abandon(store)
    assert any((tmp_path / "segment.keys").read_bytes()[:SLOT_BYTES])
    PadStore.open(tmp_path, 0).close()
    assert not any((tmp_path / "segment.keys").read_bytes()[:SLOT_BYTES])


def test_damaged_or_missing_key_bytes_are_never_handed_out(tmp_path):
    filled(tmp_path, 0, 1000).close()
    first, second = sorted((tmp_path / "segments").iterdir())
    damaged = bytearray(first.read_bytes())
    damaged[10] ^= 1
    first.write_bytes(damaged)
    second.unlink()
    with PadStore.open(tmp_path, 0) as store:
        store.accept({BACK: (0, 10)}, KeyPurpose.PAD, "r", 1)
        store.reserve({THERE: 10}, KeyPurpose.PAD, "r", 1)
        for stream in (THERE, BACK):
            with pytest.raises(KeyMaterialError, match=r"or missing .* `fedket keys reset "):
                store.take(stream, 0, 10, run="r", round_num=1)


def test_a_store_opens_with_its_own_store_key_only(tmp_path):
    own, other = key("own", 32), key("other", 32)
    filled(tmp_path, 0, store_key=own).close()
    assert not (tmp_path / "store.key").exists()
    with pytest.raises(KeyMaterialError, match="does not fit"):
        PadStore.open(tmp_path, 0, store_key=other)
    with pytest.raises(KeyMaterialError, match="is missing"):
        PadStore.open(tmp_path, 0)
    with pytest.raises(KeyMaterialError, match="has 32 bytes, got 31"):
        PadStore.open(tmp_path, 0, store_key=key("own", 31))
    with PadStore.open(tmp_path, 0, store_key=own) as store:
        assert use_everything(store, "r") == 0


def test_a_store_key_that_others_can_read_is_refused(tmp_path):
    filled(tmp_path, 0).close()
    (tmp_path / "store.key").chmod(0o640)
    with pytest.raises(KeyMaterialError, match="chmod 600"):
        PadStore.open(tmp_path, 0)


def test_a_store_without_its_database_is_not_begun_anew(tmp_path):
    filled(tmp_path, 0).close()
    (tmp_path / "pads.sqlite").unlink()
    with pytest.raises(KeyMaterialError, match="nobody knows which were used"):
        PadStore.open(tmp_path, 0)
    (tmp_path / "pads.sqlite").write_bytes(b"no database" * 500)
    with pytest.raises(KeyMaterialError, match="not a database"):
        PadStore.open(tmp_path, 0)


def test_a_large_store_stays_on_the_disk(tmp_path):
    pieces = 48
    with PadStore.open(tmp_path, 0) as store:
        for i in range(pieces):
            store.deposit(THERE, str(i), KeyMaterial(bytes([i]) * MIB))
    tracemalloc.start()
    try:
        with PadStore.open(tmp_path, 0) as store:
            store.reserve({THERE: pieces * MIB}, KeyPurpose.PAD, "r", 1)
            for i in range(pieces):
                taken = store.take(THERE, i * MIB, 100_000, run="r", round_num=1)
                assert taken.reveal() == bytes([i]) * 100_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB


def test_reading_a_status_loads_no_store(tmp_path):
    """Another process looks while this one has the store open."""
    code = (
        "import sys; from pathlib import Path; from fedket.keys.store import read_status, verify\n"
        "path = Path(sys.argv[1]); s = read_status(path).streams[1]\n"
        "print(s.available, s.reserved, verify(path).findings)"
    )
    with filled(tmp_path, 1) as store:
        store.reserve({BACK: 10}, KeyPurpose.PAD, "r", 1)
        seen = subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True
        )
    assert seen.stdout.split() == ["990", "10", "()"]


@pytest.mark.parametrize(
    "name", ["letter.txt", "segments/00000007.pads", "segments", "00000007.pads"]
)
def test_a_new_store_leaves_a_directory_with_anything_else_in_it_alone(tmp_path, name):
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.mkdir() if name == "segments" else place.write_text("dear Bob")
    with pytest.raises(KeyMaterialError, match="begins in an empty directory"):
        PadStore.open(tmp_path, 0)
    assert [path.name for path in tmp_path.iterdir()] == [name.split("/")[0]]
    assert place.is_dir() or place.read_text() == "dear Bob"


def test_a_store_removes_only_files_that_it_named(tmp_path):
    filled(tmp_path / "0", 0).close()
    segments = tmp_path / "0" / "segments"
    (segments / "7.pads").write_text("dear Bob")
    (segments / "letter.txt").write_text("dear Bob")
    (segments / "folder").mkdir()
    (segments / "00000099.pads").write_text("half a deposit")
    PadStore.open(tmp_path / "0", 0).close()
    kept = {path.name for path in segments.iterdir()}
    assert kept >= {"7.pads", "letter.txt", "folder"}
    assert "00000099.pads" not in kept


def test_segments_behind_a_link_are_refused(tmp_path):
    filled(tmp_path / "0", 0).close()
    (tmp_path / "0" / "segments").rename(tmp_path / "elsewhere")
    (tmp_path / "0" / "segments").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "00000099.pads").write_text("dear Bob")
    with pytest.raises(KeyMaterialError, match="is a symbolic link"):
        PadStore.open(tmp_path / "0", 0)
    assert (tmp_path / "elsewhere" / "00000099.pads").read_text() == "dear Bob"


@pytest.mark.parametrize(
    ("of_parent", "of_store", "refused"),
    [
        (0o700, 0o702, "0"),
        (0o700, 0o720, "0"),
        (0o707, 0o700, "open"),
        (0o1777, 0o700, ""),
        (0o755, 0o750, ""),
    ],
)
def test_a_store_that_others_can_write_to_is_refused(tmp_path, of_parent, of_store, refused):
    parent = tmp_path / "open"
    filled(parent / "0", 0).close()
    (parent / "0").chmod(of_store)
    parent.chmod(of_parent)
    if refused:
        with pytest.raises(KeyMaterialError, match=rf"others can write to \S*{refused} \(mode"):
            PadStore.open(parent / "0", 0)
    else:
        PadStore.open(parent / "0", 0).close()
    parent.chmod(0o700)
