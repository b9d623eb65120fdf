"""Nobody else on a party's machine reads its files, and a kit runs once."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from fedket import cli
from fedket.deploy.private import make_private, open_to_others
from fedket.files import lock_directory


@pytest.fixture
def kit(tmp_path):
    """A folder as `cp` and `scp` leave it."""
    folder = tmp_path / "kit"
    (folder / "startup").mkdir(parents=True)
    (folder / "startup" / "client.key").write_text("secret")
    (folder / "run.sh").write_text("#!/bin/sh")
    for path, mode in ((folder, 0o755), (folder / "startup" / "client.key", 0o644)):
        path.chmod(mode)
    (folder / "run.sh").chmod(0o755)
    return folder


def test_rights_of_others_are_taken_away_and_told_and_the_owner_s_stay(kit):
    assert {path.name for path in make_private(kit)} >= {"kit", "client.key", "run.sh"}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (kit, *kit.rglob("*"))}
    assert modes == {"kit": 0o700, "startup": 0o700, "client.key": 0o600, "run.sh": 0o700}
    assert make_private(kit) == []


def test_a_link_that_leads_out_of_a_kit_changes_nothing_there(kit, tmp_path):
    outside = tmp_path / "theirs"
    outside.write_text("theirs")
    outside.chmod(0o644)
    (kit / "link").symlink_to(outside)
    make_private(kit)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644


@pytest.mark.parametrize(("folder", "file", "found"), [(5, 4, True), (5, 0, False), (0, 4, False)])
def test_samples_outside_a_kit_are_named_where_others_can_read_them(folder, file, found):
    with TemporaryDirectory(dir="/tmp") as place:  # pytest's own folders keep others out
        samples = Path(place) / "samples.npz"
        samples.write_bytes(b"x")
        samples.chmod(0o600 | file)
        Path(place).chmod(0o700 | folder)
        assert open_to_others([samples]) == [samples] * found
        assert open_to_others([Path(place)]) == [Path(place)] * found


def test_what_commands_of_deploy_write_is_their_user_s_alone(tmp_path, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        "fedket.deploy.project.read_layout", lambda folder: seen.append(os.umask(0o077)) or 1 / 0
    )
    before = os.umask(0o022)
    try:
        monkeypatch.setattr("sys.argv", ["fedket", "deploy", "status", str(tmp_path)])
        with pytest.raises(ZeroDivisionError):
            cli.execute()
        assert seen == [0o077]
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_kit_runs_once_on_a_machine(kit):
    """The second process ends with one line, before it reads anything or reaches anybody."""
    module = "nvflare.private.fed.app.client.client_train"
    party = [sys.executable, "-m", "fedket.deploy.engines.flare.party"]
    with lock_directory(kit / "startup") as free:
        assert free
        done = subprocess.run(
            [*party, module, "-m", str(kit)], check=False, capture_output=True, text=True
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{kit} runs already on this machine" in done.stderr
