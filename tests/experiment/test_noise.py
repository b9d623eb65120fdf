"""Noise in experiments: trained under, said, kept with the run, refused where it is not served."""

import json
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.errors import CheckpointError, CircuitError, ConfigError
from fedket.experiment.aggregation import first_context
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.experiment.load import load_config
from fedket.experiment.run import resume_run, start_run
from fedket.experiment.run_directory import deciding_values
from fedket.models.hybrid import hybrid
from fedket.models.vqc import vqc
from fedket.quantum import ansatz, noise
from tests.experiment.tiny import config_of, values_of

VQC = "model={kind='vqc', circuit='qunetqfl', num_qubits=2, num_layers=1}"
RATES = "noise={one_qubit=0.01, two_qubit=0.1, amplitude_damping=0.02, readout=[0.02, 0.05]}"
PAULI = "noise={one_qubit=0.01, two_qubit=0.1, readout=[0.02, 0.05], trajectories=2}"
DEVICE = "noise={kind='calibration', file='device.json'}"
SEQUENTIAL = "engine={kind='sequential'}"
TIMES = {"T1": 100e-6, "T2": 80e-6, "prob_meas1_prep0": 0.02, "prob_meas0_prep1": 0.05}


def calibration(error):
    def named(values):
        return [{"name": name, "value": value, "unit": ""} for name, value in values.items()]

    gate = named({"gate_error": error, "gate_length": 3e-7})
    gates = [("sx", [0]), ("sx", [1]), ("cz", [0, 1])]
    return json.dumps(
        {
            "qubits": [named(TIMES)] * 2,
            "gates": [{"gate": name, "qubits": q, "parameters": gate} for name, q in gates],
        }
    )


def weights_of(config, folder):
    return start_run(config, output=folder).summary.parameters_sha256


def test_rates_of_zero_leave_the_weights_bit_for_bit(blobs, tmp_path):
    zero = VQC, "noise={kind='gates', one_qubit=0.0}"
    found = [
        weights_of(config_of(blobs, *overrides), tmp_path / str(number))
        for number, overrides in enumerate([(VQC,), zero, (VQC, RATES)])
    ]
    assert found[0] == found[1] != found[2]


def test_a_run_without_noise_is_the_experiment_it_always_was(blobs):
    assert not any("noise" in path for path in deciding_values(config_of(blobs, VQC)))
    assert "noise.two_qubit" in deciding_values(config_of(blobs, VQC, RATES))


def test_noise_is_said_before_the_run_and_in_its_report(blobs):
    facts = count_facts(build_experiment(config_of(blobs, VQC, RATES)))
    assert facts.noise.startswith("exact, up to 8 qubits: 3 observables go back")
    (said,) = facts.caveats["noise"]
    assert "two_qubit 0.1, amplitude_damping 0.02, readout (0.02, 0.05)" in said
    assert count_facts(build_experiment(config_of(blobs, VQC))).noise == ""


def test_a_calibration_stays_with_its_run_and_another_one_is_another_experiment(blobs, tmp_path):
    import tomli_w

    file, device = tmp_path / "mine.toml", tmp_path / "device.json"
    file.write_text(tomli_w.dumps(values_of(blobs, VQC, DEVICE)))
    device.write_text(calibration(0.01))
    config = load_config(file)
    start_run(config, output=tmp_path / "run")
    assert (tmp_path / "run/device.json").read_text() == calibration(0.01)
    device.write_text(calibration(0.02))
    with pytest.raises(CheckpointError, match=r"`device\.json` is .* there, .* here"):
        resume_run(tmp_path / "run", config=load_config(file))
    device.unlink()
    assert resume_run(tmp_path / "run").summary.rounds == 3
    with pytest.raises(ConfigError, match=r"noise.file: .*device.json is not a readable text file"):
        load_config(file)


def test_clients_train_under_their_own_noise_and_the_server_evaluates_under_one(blobs):
    """A client alone ends where a federation of its noise alone would."""
    spread = RATES.replace("readout", "clients={spread=1.0}, readout")
    config = config_of(blobs, VQC, spread, SEQUENTIAL)
    experiment = build_experiment(config)
    params, x = experiment.model.init(jax.random.key(0)), jnp.ones((2, 4))
    base = build_experiment(config_of(blobs, VQC, RATES)).model
    found, expected = (jax.jit(m.apply)(params, x) for m in (experiment.model, base))
    np.testing.assert_array_equal(found, expected)
    own = config.noise.of_clients(first_context(config))
    assert len(set(own)) == 4
    circuit = experiment.model.circuit

    def gradient(model):
        return jax.grad(lambda params: model.apply(params, x).sum())(params)

    at_client = jax.jit(lambda client: gradient(experiment.model.at_client(client)))
    for client in (0, 3):
        alone = jax.jit(partial(gradient, vqc(circuit, 3, noise=own[client])))()
        np.testing.assert_allclose(at_client(client), alone, atol=1e-5)
    assert "noise of their own in training" in count_facts(experiment).noise
    assert "of clients times exp(1.0 z)" in config.noise.caveats()[0]


def test_clients_have_devices_of_their_own(blobs, tmp_path):
    import tomli_w

    file, files = tmp_path / "mine.toml", ["a.json", "b.json", "a.json", "b.json"]
    own = f"noise={{kind='calibration', file='a.json', clients={{files={files}}}}}"
    for name, error in ("a", 0.01), ("b", 0.05):
        (tmp_path / f"{name}.json").write_text(calibration(error))
    file.write_text(tomli_w.dumps(values_of(blobs, VQC, own, SEQUENTIAL, "federation.rounds=1")))
    config = load_config(file)
    first, second, third, _ = config.noise.of_clients(first_context(config))
    assert first == third != second
    alone = start_run(config, output=tmp_path / "run").summary
    assert (tmp_path / "run/b.json").read_text() == calibration(0.05)
    config = load_config(file, ["engine.kind=vectorised"])  # 2 devices: each client runs both
    together = start_run(config, output=tmp_path / "together").summary
    assert alone.test_loss == pytest.approx(together.test_loss, abs=1e-5)
    assert (
        "from the calibration a.json, and of clients from a.json, b.json"
        in (config.noise.caveats()[0])
    )


def test_more_noise_brings_logits_nearer_to_each_other():
    circuit, x = ansatz.qunetqfl(3, 2), jax.random.normal(jax.random.key(1), (5, 8))
    for readout in ("z", "z_zz", "z0", "probabilities"):
        classes = 2 if readout == "z0" else 3
        spreads = []
        for rate in (0.0, 0.1, 1.0):
            model = vqc(circuit, classes, readout=readout, noise=noise.depolarising(rate, rate))
            logits = jax.jit(model.apply)(model.init(jax.random.key(0)), x)
            spreads.append(float(jnp.abs(logits - logits.mean(axis=1, keepdims=True)).max()))
        assert all(more > less for more, less in pairwise(spreads)), readout
        np.testing.assert_allclose(spreads[-1], 0, atol=1e-5)
        plain = vqc(circuit, classes, readout=readout)
        exact = vqc(circuit, classes, readout=readout, noise=noise.NoiseModel())
        params = plain.init(jax.random.key(0))
        found, expected = (jax.jit(model.apply)(params, x) for model in (exact, plain))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_head_learns_through_a_noisy_circuit():
    model = hybrid(4, ansatz.chen_yoo(3, 1), 2, noise=noise.depolarising(0.01, 0.1))
    params, x = model.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (6, 4))
    plain = hybrid(4, ansatz.chen_yoo(3, 1), 2)

    def gradient(model):
        grad = jax.grad(lambda params: model.apply(params, x)[:, 0].sum())
        return jax.jit(grad)(params)["head"]

    found, expected = (gradient(m)["linear0"]["kernel"] for m in (model, plain))
    assert np.abs(found).max() > 1e-3
    assert np.sum(found * expected) > 0.9 * np.linalg.norm(found) * np.linalg.norm(expected)


def test_beyond_eight_qubits_noise_is_an_average_that_training_draws_anew(
    blobs, tmp_path, monkeypatch
):
    """Nine qubits are told about; smaller circuits run as if they had too many."""
    many = "model={kind='vqc', circuit='chen_yoo', num_qubits=9, num_layers=1, readout='z'}"
    facts = count_facts(build_experiment(config_of(blobs, many, PAULI)))
    assert facts.noise.startswith("averages over 2 random Pauli errors")
    assert "up to 8 qubits, beyond of 2 random" in facts.caveats["noise"][0]
    monkeypatch.setattr("fedket.quantum.noise.model.MAX_EXACT_QUBITS", 1)
    config = config_of(blobs, VQC, PAULI, "federation.rounds=1")
    assert "averages over 2 random" in count_facts(build_experiment(config)).noise
    first, second = (weights_of(config, tmp_path / name) for name in ("first", "second"))
    assert first == second
    model = vqc(ansatz.chen_yoo(3, 1), 3, readout="z", noise=noise.depolarising(0.3, 0.3))
    params, x = model.init(jax.random.key(0)), jnp.ones((2, 4))
    apply = jax.jit(model.apply)
    drawn = [apply(params, x, jax.random.key(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 1e-3
    np.testing.assert_array_equal(apply(params, x), apply(params, x))


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (
            ["model={kind='mlp'}", RATES],
            ConfigError,
            r"model `mlp` cannot be trained under \[noise",
        ),
        (
            ["model={kind='vqc', num_qubits=9}", RATES],
            CircuitError,
            "worked out by Pauli trajectories, which serve depolarising and Pauli channels, not d",
        ),
        ([VQC, "noise={trajectories=0}"], ConfigError, "`noise.trajectories` should be greater"),
        ([VQC, "noise={one_qubit=1.5}"], ConfigError, "`noise.one_qubit` should be less than"),
        ([VQC, "noise={readout=[0.1]}"], ConfigError, "`noise.readout.1` is missing"),
        (
            [VQC, "noise={two=0.1}"],
            ConfigError,
            "unknown key `noise.two`; did you mean `noise.two_q",
        ),
        (
            [VQC, "noise={one_qubit=0.1, clients={spread=0.5}}", "partition.num_clients=5"],
            ConfigError,
            'each run the noise of all 5 devices, .* up to 4; use engine.kind = "sequential"',
        ),
        ([VQC, "noise={clients={spread=0}}"], ConfigError, "`noise.clients.spread` should be gre"),
        ([VQC, "noise=0.1"], ConfigError, "`noise` should be a table, got 0.1"),
        ([VQC, "noise={kind='calibration'}"], ConfigError, "`noise.file` is missing"),
        (
            [VQC, "noise={kind='calibration', file='../x.json'}"],
            ConfigError,
            "`noise.file` should be a file beside the experiment",
        ),
        (
            [VQC, "noise={kind='calibration', file='x.json'}"],
            ConfigError,
            "x.json is not a readable text file .* put the device's properties beside",
        ),
    ],
)
def test_what_is_not_served_is_one_line(overrides, error, said, blobs):
    with pytest.raises(error, match=said) as raised:
        build_experiment(config_of(blobs, *overrides))
    assert "\n" not in str(raised.value)


def test_noise_that_does_not_fit_into_memory_is_refused(blobs, monkeypatch):
    monkeypatch.setattr("fedket.quantum.noise.memory.available_bytes", lambda: 1000)
    with pytest.raises(CircuitError, match="3 values under exact noise, 2 qubits and 1 layers"):
        build_experiment(config_of(blobs, VQC, RATES))
