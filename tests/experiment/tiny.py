"""An experiment that runs a round in a millisecond: logistic regression on three blobs."""

import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np

from fedket.experiment.load import override, parse_config

FEDKET = [sys.executable, "-c", "from fedket.cli import main; main()"]


def write_blobs(path, num_train=60, num_test=30, seed=0):
    """Four features, three classes, in the npz layout of docs."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, size in (("train", num_train), ("test", num_test)):
        y = np.arange(size) % 3
        arrays[f"x_{part}"] = (rng.normal(size=(size, 4)) + y[:, None]).astype(np.float32)
        arrays[f"y_{part}"] = y
    np.savez(path, **arrays)
    return path


def values_of(data, *overrides):
    """A small configuration on a data file, changed like `--set` does."""
    values = {
        "name": "tiny",
        "data": {"kind": "npz", "path": str(data)},
        "partition": {"kind": "iid", "num_clients": 4},
        "model": {"kind": "mlp"},
        "training": {"batch_size": 8},
        "federation": {"rounds": 3},
    }
    override(values, overrides)
    return deepcopy(values)


def config_of(data, *overrides):
    return parse_config(values_of(data, *overrides))


def contents(directory: Path):
    """Name -> bytes of every file below a directory."""
    return {str(p): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def start_fedket(*args, cwd):
    """The command line in a process of its own."""
    return subprocess.Popen(
        [*FEDKET, *map(str, args)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def rounds_of(directory):
    """Records without what the clock says."""
    rounds = [json.loads(line) for line in (directory / "rounds.jsonl").read_text().splitlines()]
    for record in rounds:
        for timed in (record, *record["phases"]):
            del timed["seconds"]
    return rounds
