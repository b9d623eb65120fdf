"""A stranger's own part works from one file of theirs; what is wrong in it is one line."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs.generate import entries, pages

from fedket.errors import CheckpointError, ConfigError, PartitionError, UserCodeError
from fedket.experiment.build import build_experiment
from fedket.experiment.load import load_config
from fedket.experiment.run import resume_run, start_run
from fedket.experiment.run_directory import read_config, source_hashes

SPEAKING = {
    *("seed", "num_clients", "num_qubits", "num_layers", "learning_rate", "epochs", "rounds"),
    *("batch_size", "dtype", "seeds", "momentum", "dropout", "beta1", "beta2", "kind"),
}
"""Keys whose name says it all."""

OWN = """
import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedket import Dataset, Model, PartitionConfig, PositiveFloat, PositiveInt, Section, Transform
from fedket import fed_opt, make_circuit


class Halved(Section):
    rate: PositiveFloat = 1.0

    def build(self, context):
        return fed_opt(optax.sgd(self.rate / 2))


class Stripes(PartitionConfig):
    def build(self, context):
        owner = np.arange(len(context.samples.y_train)) % self.num_clients
        return [np.flatnonzero(owner == i) for i in range(self.num_clients)]


class Linear(Section):
    scale: PositiveFloat = 0.1

    def build(self, context):
        shape = context.num_features, context.num_classes
        return Model(
            lambda rng: self.scale * jax.random.normal(rng, shape),
            lambda w, x, rng=None: x.reshape(len(x), -1) @ w,
        )


class Sign(Section):
    rate: PositiveFloat = 0.01

    def build(self, context):
        return optax.sign_sgd(self.rate)


class Inverted(Section):
    def build(self, context):
        return Transform(lambda d: d._replace(x_train=1 - d.x_train, x_test=1 - d.x_test))


class Blobs(Section):
    samples: PositiveInt = 30

    def build(self, context):
        rng = np.random.default_rng(context.seed)
        y = (np.arange(self.samples) % 2).astype(np.int32)
        x = (y[:, None] + rng.normal(0, 0.1, (self.samples, 4))).astype(np.float32)
        return Dataset("blobs", x, y, x, y, 2)


class Broken(Section):
    def build(self, context):
        return 1 / 0


class Nothing(Section):
    pass


class Number(Section):
    def build(self, context):
        return 7


class Forgetful(PartitionConfig):
    def build(self, context):
        return [np.arange(client, 59, self.num_clients) for client in range(self.num_clients)]


def ring(num_qubits, num_layers):
    gates = [("RY", q) for q in range(num_qubits)]
    gates += [("CNOT", q, (q + 1) % num_qubits) for q in range(num_qubits)]
    return make_circuit(num_qubits, gates, num_layers)


def margin(logits, y):
    right = jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]
    return jnp.maximum(0, 1 - right)
"""

BASE = """
[data]
max_train = 60
[partition]
num_clients = 3
[model]
kind = "mlp"
[federation]
rounds = 2
"""

OWN_KINDS = {
    "strategy": ["strategy.kind=own.py:Halved", "strategy.rate=0.5"],
    "partition": ["partition.kind=own.py:Stripes"],
    "model": ["model={kind = 'own.py:Linear', scale = 0.2}"],
    "optimizer": ["optimizer.kind=own.py:Sign", "optimizer.rate=0.02"],
    "circuit": ["model={kind = 'vqc', circuit = 'own.py:ring', num_layers = 2}"],
    "loss": ["training.loss=own.py:margin"],
    "transform": ["transform=[{kind = 'own.py:Inverted'}, {kind = 'signed'}]"],
    "data": ["data={kind = 'own.py:Blobs', samples = 60}"],
}
SHORT = ("strategy", "partition", "transform", "loss")
"""The others compile longer; `examples/extend` trains one of each."""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    path = tmp_path / "mine.toml"
    path.write_text(BASE)
    return path


@pytest.mark.parametrize(
    "group",
    [pytest.param(g, marks=[] if g in SHORT else pytest.mark.long) for g in OWN_KINDS],
)
def test_a_kind_of_ones_own_trains_and_its_run_resumes_from_its_copy(group, file, tmp_path):
    config = load_config(file, OWN_KINDS[group])
    done = start_run(config, output=tmp_path / "run")
    assert done.summary.rounds == 2
    assert (tmp_path / "run/own.py").read_text() == OWN
    assert list(source_hashes(config)) == ["own.py"]
    (tmp_path / "own.py").unlink()
    more = read_config(tmp_path / "run", ["federation.rounds=3"])
    assert resume_run(tmp_path / "run", config=more).summary.rounds == 3


def test_a_partition_of_ones_own_has_every_sample_once(file):
    with pytest.raises(PartitionError, match="sample 59 is held by 0 clients"):
        build_experiment(load_config(file, ["partition.kind=own.py:Forgetful"]))


def test_an_error_in_the_middle_of_training_names_the_line_too(file, tmp_path):
    raising = OWN.replace("x.reshape(len(x), -1) @ w", "x.reshape(3, 5, 7) @ w")
    (tmp_path / "own.py").write_text(raising)
    shown = subprocess.run(
        [sys.executable, "-m", "fedket", "run", str(file), "--set", OWN_KINDS["model"][0]],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert shown.returncode == 2
    assert re.fullmatch(r"fedket: error: .*own\.py, line \d+: .*\n", shown.stderr)


def test_the_reference_is_what_the_code_says_and_every_key_has_a_meaning():
    docs = Path(__file__).parents[1] / "docs"
    for name, text in pages().items():
        assert (docs / name).read_text(encoding="utf-8") == text, "run: make reference"
    for entry in entries():
        assert entry.meaning, entry.name
        for key in entry.keys:
            assert key.meaning or key.name in SPEAKING, f"{entry.name}.{key.name}"


def test_a_run_whose_kind_was_rewritten_is_another_experiment(file, tmp_path):
    config = load_config(file, OWN_KINDS["strategy"])
    start_run(config, output=tmp_path / "run")
    (tmp_path / "own.py").write_text(OWN.replace("/ 2", "/ 3"))
    other = load_config(file, OWN_KINDS["strategy"])
    with pytest.raises(CheckpointError, match=r"`own\.py` is .* there, .* here"):
        resume_run(tmp_path / "run", config=other)


def test_inline_gates_are_the_circuit_they_spell(file):
    layer = "[['RY', 0], ['RY', 1], ['CNOT', 0, 1], ['CNOT', 1, 0]]"
    size = "kind='vqc', num_qubits=2, num_layers=2"
    both = f"layer={layer}", "circuit='own.py:ring'"
    configs = [load_config(file, [f"model={{{size}, {circuit}}}"]) for circuit in both]
    first, second = (config.model.make_circuit() for config in configs)
    assert first == second


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (["strategy.kind=own.py:Broken"], UserCodeError, r"own\.py, line 59: ZeroDivisionError"),
        (["strategy.kind=own.py:Nothing"], UserCodeError, "Nothing has no `build"),
        (["strategy.kind=own.py:Number"], UserCodeError, "returned a int; .* a Strategy"),
        (["strategy.kind=own.py:Missing"], ConfigError, "no `Missing`; it defines .*Halved"),
        (["strategy.kind=own.py:ring"], ConfigError, "should be a subclass of `fedket.Section`"),
        (["strategy.kind=none.py:X"], ConfigError, "none.py is not a readable file"),
        (["strategy.kind=../own.py:X"], ConfigError, "leaves the experiment's folder"),
        (["strategy.kind=wrong.py:X"], UserCodeError, r"wrong\.py, line 1: "),
        (["strategy.kind=fails.py:X"], UserCodeError, r"fails\.py, line 2: NameError"),
        (["strategy={kind='own.py:Halved', rat=1}"], ConfigError, "did you mean `strategy.rate`"),
        (["strategy={kind='own.py:Halved', rate=-1}"], ConfigError, "`strategy.rate` should be"),
        (
            ["partition={kind='own.py:Halved'}"],
            ConfigError,
            "be a subclass of `fedket.PartitionConfig`",
        ),
        (["strategy={kind='fed_adam', mu=1.0}"], ConfigError, "belongs to strategy `fed_prox`, t"),
        (["model={kind='vqc', layer=[['RY']]}"], ConfigError, "model.layer: RY acts on 1"),
        (["model={kind='vqc', layer=[[1]]}"], ConfigError, 'model.layer holds gates like \\["CN'),
        (
            ["model={kind='vqc', circuit='qunetqfl', layer=[['RY', 0]]}"],
            ConfigError,
            "`circuit` or `layer`, not both",
        ),
    ],
)
def test_what_is_wrong_with_a_kind_is_one_line(overrides, error, said, file, tmp_path):
    (tmp_path / "wrong.py").write_text("def X(:")
    (tmp_path / "fails.py").write_text("import os\nX = nothing\n")
    with pytest.raises(error, match=said) as raised:
        build_experiment(load_config(file, overrides))
    assert "\n" not in str(raised.value)
