"""Nothing inside fedket is touched for a part of one's own: from a file, or an installed package.

Four experiments name a part of every group between them; the parts are those of `examples/extend`.
"""

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from fedket import cli
from fedket.experiment.load import load_config
from fedket.experiment.run import start_run
from fedket.kinds import BUILT_IN, kinds_of

PARTS = {
    "aggregation": "aggregation.py:Trimmed",
    "attack": "attack.py:FreeRiding",
    "circuit": "circuit.py:ring",
    "condition": "condition.py:Pareto",
    "data": "dataset.py:Spirals",
    "engine": "engine.py:OnDevice",
    "graph": "graph.py:Backbone",
    "keys": "keys.py:Device",
    "loss": "loss.py:focal",
    "model": "model.py:Reupload",
    "noise": "noise.py:Correlated",
    "optimizer": "optimizer.py:Lion",
    "partition": "partition.py:Growing",
    "privacy": "privacy.py:Zcdp",
    "schedule": "schedule.py:Inverse",
    "strategy": "strategy.py:Agree",
    "track": "track.py:Lines",
    "transform": "transform.py:Spectrum",
}
"""Group -> a file of the examples and what it defines."""

IMAGES = """
data = {kind = "digits", max_train = 100, max_test = 50}
transform = [{kind = "TRANSFORM", side = 3}]
partition = {kind = "PARTITION", num_clients = 3, factor = 1.5}
model = {kind = "MODEL", num_layers = 1}
training = {loss = "LOSS"}
optimizer = {kind = "OPTIMIZER", beta1 = 0.8}
schedule = {kind = "SCHEDULE", slope = 0.2}
strategy = {kind = "STRATEGY", threshold = 0.5}
track = {kind = "TRACK", file = "losses.txt"}
aggregation = {kind = "AGGREGATION", trim = 0.2}
engine = {kind = "ENGINE", index = 0}
attack = {kind = "ATTACK", share = 0.4, sigma = 0.2}
conditions = {seconds_per_step = {kind = "CONDITION", alpha = 1.2}}
"""

SECRETS = """
data = {kind = "DATA"}
partition = {kind = "iid", num_clients = 3}
model = {kind = "vqc", circuit = "CIRCUIT", num_qubits = 2, num_layers = 1}
noise = {kind = "NOISE", rate = 0.02}
aggregation = {kind = "pairwise_masks"}
keys = {kind = "KEYS"}
"""

NEIGHBOURS = """
data = {kind = "digits", max_train = 100, max_test = 50}
partition = {kind = "iid", num_clients = 4}
model = {kind = "mlp"}
graph = {kind = "GRAPH", hubs = 2}
"""

PROMISES = """
data = {kind = "digits", max_train = 100, max_test = 50}
partition = {kind = "iid", num_clients = 4}
model = {kind = "mlp"}
privacy = {kind = "PRIVACY", clip = 1.0, rho = 0.5}
"""

EXPERIMENTS = {
    "images": IMAGES,
    "secrets": SECRETS,
    "neighbours": NEIGHBOURS,
    "promises": PROMISES,
}
PAPER = """
[federation]
rounds = 1
[paper]
source = "a stranger's own"
row = "1"
"""


def spelled(text, names):
    for group, name in names.items():
        text = text.replace(f'"{group.upper()}"', f'"{name}"')
    return text + PAPER


@pytest.fixture(scope="module")
def experiments(repository, tmp_path_factory):
    """A folder with the experiments, and the files that they name beside them."""
    folder = tmp_path_factory.mktemp("parts") / "mine"
    shutil.copytree(repository / "examples/extend", folder)
    (folder / "mine.toml").unlink()
    for name, text in EXPERIMENTS.items():
        (folder / f"{name}.toml").write_text(f'name = "{name}"\n' + spelled(text, PARTS))
    return folder


@pytest.fixture
def installed(repository, tmp_path, monkeypatch):
    """Group -> name of an entry point of a package that holds the same parts."""
    site = tmp_path / "site"
    shutil.copytree(repository / "examples/extend", site / "strangers_parts")
    points = {group: f"strangers_{group}" for group in PARTS}
    lines = []
    for group, part in PARTS.items():
        module = part.replace(".py:", ":")
        lines += [f"[fedket.{group}]", f"{points[group]} = strangers_parts.{module}"]
    about = site / "strangers_parts-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers-parts\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(site)
    return points


def fedket(folder, *args):
    """What the command prints there, if it succeeds."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["fedket", *map(str, args)])
        assert cli.execute() == 0
    return said.getvalue()


@pytest.fixture(scope="module")
def ours(experiments):
    """Experiment -> hash of the model that its row makes."""
    made = fedket(experiments.parent, "reproduce", "mine", "--seeds", "0", "--json")
    rows = json.loads(made)["rows"]
    return {row["row"]: row["seeds"][0]["parameters_sha256"] for row in rows}


def test_there_is_a_part_of_every_group_in_some_experiment():
    assert set(PARTS) == set(BUILT_IN)
    for group, part in PARTS.items():
        assert any(f'"{part}"' in spelled(text, PARTS) for text in EXPERIMENTS.values()), group


def test_parts_of_a_file_are_shown_run_reproduced_and_reported(experiments, ours, tmp_path):
    assert "strategy.py:Agree" in fedket(tmp_path, "show", experiments / "images.toml")
    fedket(tmp_path, "run", experiments / "images.toml", "--output", "run")
    page = Path(json.loads(fedket(tmp_path, "report", "run", "--json"))["report"])
    assert "aggregation.py:Trimmed does not say." in (tmp_path / page).read_text()
    assert set(ours) == set(EXPERIMENTS)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert ours["images"] == summary["parameters_sha256"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_parts_of_an_installed_package_are_named_like_ours(name, ours, installed, tmp_path):
    listed = json.loads(fedket(tmp_path, "list", "--kinds", "--json"))
    for group, point in installed.items():
        assert point in listed[group]
        assert point in kinds_of(group)
    shown = fedket(tmp_path, "show", "--kind", f"strategy.{installed['strategy']}")
    assert "threshold" in shown
    packaged = tmp_path / "packaged.toml"
    packaged.write_text(f'name = "{name}"\n' + spelled(EXPERIMENTS[name], installed))
    outcome = start_run(load_config(packaged), output=tmp_path / "run")
    assert outcome.summary.parameters_sha256 == ours[name]
