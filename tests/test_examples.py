"""Examples and notebooks run, and every kind of one's own trains when a configuration names it."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from fedket.experiment.load import load_config
from fedket.experiment.run import start_run
from fedket.kinds import BUILT_IN

EXAMPLES = Path(__file__).parents[1] / "examples"
EXTEND = EXAMPLES / "extend"
PROGRAMS = sorted([*EXAMPLES.glob("*.py"), *EXTEND.glob("*.py")])
SMALL = ["data.max_train=200", "data.max_test=100", "federation.rounds=1", "training.epochs=2"]
VQC = "model={kind='vqc', num_layers=2, circuit='circuit.py:ring'}"

NOTEBOOKS = sorted((EXAMPLES / "notebooks").glob("*.ipynb"))

OWN = {
    "aggregation": [*SMALL, "aggregation={kind='aggregation.py:Trimmed', trim=0.2}"],
    "attack": [*SMALL, "attack={kind='attack.py:FreeRiding', share=0.4, sigma=0.2}"],
    "circuit": [*SMALL, VQC],
    "condition": [
        *SMALL,
        "conditions={seconds_per_step = {kind = 'condition.py:Pareto', alpha = 1.2}}",
    ],
    "dataset": ["data.kind=dataset.py:Spirals", "model={kind='mlp', hidden=[8]}"],
    "engine": [*SMALL, "engine={kind='engine.py:OnDevice', index=0}"],
    "graph": [*SMALL, "graph={kind='graph.py:Backbone', hubs=4}"],
    "keys": [*SMALL, "keys.kind=keys.py:Device", "aggregation.kind=pairwise_masks"],
    "loss": [*SMALL, "training.loss=loss.py:focal"],
    "model": [*SMALL, "model={kind='model.py:Reupload', num_layers=1}"],
    "noise": [*SMALL, "model.kind=vqc", "noise={kind='noise.py:Correlated', rate=0.02}"],
    "optimizer": [*SMALL, "optimizer={kind='optimizer.py:Lion', beta1=0.8}"],
    "partition": [*SMALL, "partition={kind='partition.py:Growing', factor=1.5}"],
    "privacy": [*SMALL, "privacy={kind='privacy.py:Zcdp', clip=1.0, rho=0.5}"],
    "schedule": [*SMALL, "schedule={kind='schedule.py:Inverse', slope=0.2}"],
    "strategy": [*SMALL, "strategy={kind='strategy.py:Agree', threshold=0.5}"],
    "track": [*SMALL, "track={kind='track.py:Lines', file='losses.txt'}"],
    "transform": [*SMALL, "transform=[{kind='transform.py:Spectrum', side=3}]"],
}
"""Example of a kind -> how a configuration names it."""


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_example(path, monkeypatch, capsys):
    arguments = ["1"] if path.stem == "first_federation" else []
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    monkeypatch.syspath_prepend(path.parent)
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out or path.stem == "first"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells), "kept without outputs"
    names: dict[str, object] = {}
    for cell in cells:
        exec("".join(cell["source"]), names)  # noqa: S102 - our own notebook


@pytest.mark.long
@pytest.mark.parametrize("name", OWN)
def test_a_kind_of_ones_own_trains_from_a_configuration(name, tmp_path):
    path = EXTEND / "mine.toml"
    summary = start_run(load_config(path, OWN[name]), output=tmp_path / "run").summary
    assert summary.status == "finished"
    assert (tmp_path / f"run/{name}.py").read_bytes() == (EXTEND / f"{name}.py").read_bytes()


def test_there_is_an_example_of_every_kind_that_can_be_ones_own():
    page = (EXAMPLES.parent / "docs/extend.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"`(\w+)\.py`", page)) | set(re.findall(r'"(\w+)\.py:', page))
    assert shown == set(OWN)
    assert {OTHER.get(group, group) for group in BUILT_IN} == set(OWN)


OTHER = {"data": "dataset"}
"""Group -> the name of its example, where they differ."""
