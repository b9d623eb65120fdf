"""Federations of real processes on this machine, for tests of any engine."""

import json
import subprocess
import sys


def run_directory(layout):
    return layout.files("server") / "run"


def lines_of(layout):
    path = run_directory(layout) / "rounds.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def finish(layout):
    """See a federation through with the command that a user types; what it said."""
    command = [sys.executable, "-m", "fedket", "deploy", "local", "sites", "--output"]
    done = subprocess.run(
        [*command, str(layout.directory)], check=False, capture_output=True, text=True
    )
    log = layout.kits["server"] / "log.out"
    server = log.read_text()[-3000:] if log.exists() else "its server was not started"
    assert done.returncode == 0, done.stdout + done.stderr + server
    return done.stdout
