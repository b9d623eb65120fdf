"""Finite shots in experiments: trained with, said, counted, refused where there is no circuit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.errors import CircuitError, ConfigError
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.experiment.run import resume_run, start_run
from fedket.experiment.run_directory import deciding_values
from fedket.models.hybrid import hybrid
from fedket.models.vqc import vqc
from fedket.quantum import ansatz, noise
from fedket.quantum.shots import Shots
from tests.experiment.tiny import config_of

VQC = "model={kind='vqc', circuit='qunetqfl', num_qubits=2, num_layers=1}"
SHOTS = "shots={training=50, evaluation=20}"


def weights_of(config, folder):
    return start_run(config, output=folder).summary.parameters_sha256


@pytest.mark.long
def test_infinitely_many_shots_leave_the_weights_bit_for_bit(blobs, tmp_path):
    endless = "shots={training=0, gradient='adjoint'}"
    found = [
        weights_of(config_of(blobs, *overrides), tmp_path / str(number))
        for number, overrides in enumerate([(VQC,), (VQC, endless), (VQC, SHOTS)])
    ]
    assert found[0] == found[1] != found[2]
    assert not any("shots" in path for path in deciding_values(config_of(blobs, VQC)))


def test_what_shots_show_is_decided_by_seed_round_and_client(blobs, tmp_path):
    """A run that stopped goes on as if it had not; both engines draw alike."""
    shots = SHOTS.replace("}", ", gradient='spsa'}")  # compiles fast
    config = config_of(blobs, VQC, shots)
    whole = start_run(config, output=tmp_path / "whole").summary
    start_run(config_of(blobs, VQC, shots, "federation.rounds=1"), output=tmp_path / "part")
    resumed = resume_run(tmp_path / "part", config=config).summary
    assert resumed.parameters_sha256 == whole.parameters_sha256
    assert resumed.test_accuracy == whole.test_accuracy
    one_by_one = config_of(blobs, VQC, shots, "engine={kind='sequential'}")
    assert start_run(one_by_one, output=tmp_path / "one").summary.test_loss == pytest.approx(
        whole.test_loss, abs=1e-4
    )


def test_circuits_and_shots_are_counted_before_the_run(blobs):
    facts = count_facts(build_experiment(config_of(blobs, VQC, SHOTS)))
    assert facts.shots.startswith("9 circuits per sample and gradient, as hardware would run them,")
    # 60 samples, 9 circuits of 50 shots; an evaluation of 90 samples with 20 each.
    assert f"about {60 * 9 * 50:.2g} shots a round, {90 * 20:.2g} an evaluation" in facts.shots
    assert "all shifted values come from one pass" in facts.shots
    (said,) = facts.caveats["shots"]
    assert "50 shots in training and 20 shots in evaluation, gradients by parameter shift" in said
    hybrid_model = "model={kind='hybrid', num_qubits=3, num_layers=1}"
    facts = count_facts(build_experiment(config_of(blobs, hybrid_model, SHOTS)))
    assert facts.shots.startswith(f"{1 + 2 * 9 + 2 * 6} circuits per sample")
    assert count_facts(build_experiment(config_of(blobs, VQC))).shots == ""


@pytest.mark.parametrize("readout", ["z0", "z_zz", "probabilities"])
def test_evaluation_has_no_shots_unless_it_asks(readout):
    circuit, x = ansatz.qunetqfl(2, 1), jax.random.normal(jax.random.key(1), (5, 4))
    classes = 2 if readout == "z0" else 3
    exact = vqc(circuit, classes, readout=readout, noise=noise.depolarising(0.1))
    model = vqc(
        circuit,
        classes,
        readout=readout,
        noise=noise.depolarising(0.1),
        shots=Shots(100, 4000),
    )
    params = model.init(jax.random.key(0))
    infinite = exact.apply(params, x)
    np.testing.assert_array_equal(model.apply(params, x), infinite)
    few = model.apply(params, x, jax.random.key(0))
    many = model.evaluate(params, x, jax.random.key(0))
    assert np.abs(few - infinite).max() > 0.05
    assert np.abs(many - infinite).max() < np.abs(few - infinite).max()
    assert vqc(circuit, classes, readout=readout, shots=Shots(100)).evaluate is None


@pytest.mark.parametrize("rule", ["parameter_shift", "spsa"])
def test_a_head_learns_from_shots_alone(rule):
    """Its gradient goes through shifted encodings, and is near the exact one with many shots."""
    circuit = ansatz.chen_yoo(2, 1)
    params = hybrid(4, circuit, 2).init(jax.random.key(0))
    params["circuit"] = params["circuit"] + 0.5
    x = jax.random.normal(jax.random.key(1), (3, 4))

    def gradients(shots, count):
        model = hybrid(4, circuit, 2, shots=shots, dropout=0.0)

        def loss(params, rng):
            return jnp.sum(model.apply(params, x, rng)[:, 0])

        rngs = jax.random.split(jax.random.key(2), count)
        found = jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(params, rngs)
        return np.asarray(found["head"]["linear0"]["kernel"])

    exact = gradients(Shots(0, gradient="adjoint"), 1)[0]
    found = gradients(Shots(500, gradient=rule, spsa_step=0.1), 200)
    spread = found.std(axis=0)
    assert (spread > 0).all()
    assert np.abs(found.mean(axis=0) - exact).max() < 5 * spread.max() / np.sqrt(200) + 0.02


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (["model={kind='mlp'}", SHOTS], ConfigError, r"`mlp` cannot be trained with \[shots\]"),
        ([VQC, "shots={training=-1}"], ConfigError, "`shots.training` should be greater"),
        ([VQC, "shots={training=20_000_000}"], ConfigError, "`shots.training` should be less"),
        ([VQC, "shots={gradient='exact'}"], ConfigError, "`shots.gradient` should be 'parameter_s"),
        ([VQC, "shots={spsa_step=0}"], ConfigError, "`shots.spsa_step` should be greater than 0"),
        ([VQC, "shots=5"], ConfigError, "`shots` should be"),
    ],
)
def test_what_is_not_served_is_one_line(overrides, error, said, blobs):
    with pytest.raises(error, match=said) as raised:
        build_experiment(config_of(blobs, *overrides))
    assert "\n" not in str(raised.value)


def test_shots_that_do_not_fit_into_memory_are_refused(blobs, monkeypatch):
    monkeypatch.setattr("fedket.quantum.shots.memory.available_bytes", lambda: 1000)
    with pytest.raises(CircuitError, match=r"3 values from shots of 8 samples, 2 .* use a smaller"):
        build_experiment(config_of(blobs, VQC, SHOTS))
