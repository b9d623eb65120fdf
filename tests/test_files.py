"""A file is the old one or the new one, whatever happens in between."""

import os
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.files import append_line, lock_directory, sweep, write_atomic


@given(old=st.binary(max_size=50), new=st.one_of(st.binary(), st.text()))
def test_what_is_written_is_read_back_and_leaves_nothing_beside(old, new, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(old)
    write_atomic(path, new)
    assert path.read_bytes() == (new.encode() if isinstance(new, str) else new)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.open"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_keeps_the_old_file(call, error, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(call, fail)
    with pytest.raises(type(error)) as raised:
        write_atomic(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert raised.value.filename == str(path)
        assert raised.value.strerror == "No space left on device"


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(OSError, match="No such file or directory") as error:
        write_atomic(tmp_path / "no" / "file", "new")
    assert error.value.filename == str(tmp_path / "no" / "file")


@pytest.mark.skipif(os.name != "posix", reason="permission bits")
def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_lines_are_appended_in_order(tmp_path):
    for line in ("one", "zwei ⟨Z⟩", ""):
        append_line(tmp_path / "log", line)
    assert (tmp_path / "log").read_text(encoding="utf-8") == "one\nzwei ⟨Z⟩\n\n"


def test_sweeping_takes_leftovers_only(tmp_path):
    kept = [tmp_path / name for name in ("file", ".hidden", ".tmp", "x.0123abcd.tmp")]
    leftover = tmp_path / ".file.0123abcd.tmp"
    for path in [*kept, leftover]:
        path.touch()
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(kept)


@pytest.mark.skipif(os.name != "posix", reason="directories can be locked on POSIX only")
def test_a_locked_directory_is_free_again_when_its_holder_dies(tmp_path):
    code = (
        "import pathlib, sys, time\n"
        "from fedket.files import lock_directory\n"
        "with lock_directory(pathlib.Path(sys.argv[1])) as free:\n"
        "    print(free, flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"True\n"
    with lock_directory(tmp_path) as free:
        assert not free
    holder.kill()
    holder.communicate()
    with lock_directory(tmp_path) as free:
        assert free
    assert not list(tmp_path.iterdir())
