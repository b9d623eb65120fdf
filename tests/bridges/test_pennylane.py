"""QNodes as models: translated where they can be, else on their own device."""

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from fedket.bridges.device import Patience
from fedket.bridges.pennylane.kind import pennylane_model
from fedket.errors import ConfigError, TrainingError
from fedket.models.vqc import vqc
from fedket.quantum import noise
from fedket.quantum.shots import Shots
from tests.bridges.papers import CIRCUITS
from tests.bridges.qnodes import arctan_encoding, qnode_of


def value_and_gradient(model, params, x, mix):
    def of(params):
        logits = model.apply(params, x)
        return (logits * mix).sum(), logits

    (_, logits), gradient = jax.jit(jax.value_and_grad(of, has_aux=True))(params)
    return logits, gradient


def test_noise_and_shots_are_those_of_a_circuit_of_fedkets_own():
    rates = noise.depolarising(0.02, 0.05) + noise.readout_error(0.02, 0.05)
    node = qnode_of("chen_yoo", "default.qubit", arctan_encoding)
    shape = CIRCUITS["chen_yoo"].params_shape
    given = {"noise": rates, "shots": Shots(0, 500)}
    foreign = pennylane_model(node, {"weights": shape}, 4, 3, **given)
    own = vqc(CIRCUITS["chen_yoo"], 3, encoding="arctan", readout="z", logit_scale=1.0, **given)
    weights, x = (jax.random.normal(jax.random.key(k), s) for k, s in ((0, shape), (1, (3, 4))))
    found = jax.jit(foreign.apply)({"weights": weights}, x)
    np.testing.assert_allclose(found, jax.jit(own.apply)(weights, x), atol=1e-6)
    seen = jax.jit(foreign.evaluate)({"weights": weights}, x, jax.random.key(2))
    np.testing.assert_allclose(seen, found, atol=5 / 500**0.5)
    assert (foreign.noise, foreign.shots) == (rates, own.shots)


def test_noise_on_probabilities_is_refused():
    @qml.qnode(qml.device("default.qubit", wires=2))
    def node(x, w):
        qml.AngleEmbedding(x, wires=range(2))
        qml.RX(w[0], wires=0)
        return qml.probs(wires=[0])

    with pytest.raises(ConfigError, match="returns probabilities; under"):
        pennylane_model(node, {"w": (1,)}, 2, 2, noise=noise.depolarising(0.01, 0.01))


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")  # PennyLane's U3
@pytest.mark.parametrize("name", CIRCUITS)
def test_the_papers_qnodes_are_translated_and_agree_with_their_device(name):
    own = name != "chen_yoo"
    features = 16 if own else 4
    node = qnode_of(name, "default.qubit", None if own else arctan_encoding)
    shape = CIRCUITS[name].params_shape
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.uniform(0.1, 1, size=(2, features)))
        params = {"weights": jnp.asarray(rng.normal(size=shape))}
        mix = jnp.asarray(rng.normal(size=(2, 3)))
        models = [
            pennylane_model(node, {"weights": shape}, features, 3, engine=engine)
            for engine in ("auto", "device")
        ]
        native, on_device = (value_and_gradient(model, params, x, mix) for model in models)
    assert "fedket's own engine" in models[0].runs_on
    assert models[0].circuit == CIRCUITS[name]
    assert "on its own device `default.qubit`" in models[1].runs_on
    np.testing.assert_allclose(native[0], on_device[0], atol=1e-10)
    np.testing.assert_allclose(native[1]["weights"], on_device[1]["weights"], atol=1e-10)


def everything(inputs, weights, shared):
    """Templates, nested operations, shared and scaled weights, features in the middle."""
    qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(3))
    qml.RX(2 * shared[0] + 1, wires=0)
    qml.RY(shared[0] * inputs[0] + shared[1], wires=1)
    qml.CRot(shared[0], 0.3, shared[1], wires=[0, 2])
    qml.adjoint(qml.S)(wires=1)
    qml.adjoint(qml.RX)(shared[1], wires=2)
    qml.IsingXX(shared[0] / 2, wires=[0, 1])
    qml.IsingYY(0.7, wires=[1, 2])
    qml.MultiRZ(shared[1], wires=[0, 1, 2])
    qml.Toffoli(wires=[2, 0, 1])
    qml.QFT(wires=[0, 1])
    qml.ISWAP(wires=[1, 2])
    qml.ctrl(qml.PhaseShift(shared[0], wires=1), control=0)
    return (
        qml.expval(0.5 * qml.X(0) @ qml.Y(2) + 2 * qml.Z(1) - 0.25 * qml.Identity(0)),
        qml.probs(wires=[2, 0]),
    )


def test_whatever_decomposes_is_translated():
    node = qml.QNode(everything, qml.device("default.qubit", wires=3))
    shapes = {"weights": (2, 3, 3), "shared": (2,)}
    model = pennylane_model(node, shapes, 3, 5, engine="native")
    params = model.init(jax.random.key(0))
    x = jax.random.uniform(jax.random.key(1), (2, 3))
    logits = jax.jit(model.apply)(params, x)
    for sample, found in zip(x, logits, strict=True):
        arrays = {name: np.asarray(array) for name, array in params.items()}
        value, probs = node(np.asarray(sample), **arrays)
        np.testing.assert_allclose(found, [value, *probs], atol=1e-5)


@qml.qnode(qml.device("default.qubit", wires=2))
def in_numpy(inputs, weights):
    for wire in range(2):
        qml.RY(np.arctan(inputs[wire]), wires=wire)
        qml.RX(weights[wire], wires=wire)
    return qml.expval(qml.PauliZ(0))


def noisy(inputs, weights):
    qml.RX(inputs[0] * 1.0, wires=0)
    qml.RY(weights[0], wires=0)
    qml.DepolarizingChannel(0.1, wires=0)
    return qml.expval(qml.PauliZ(0))


def branching(inputs, weights):
    qml.RX(inputs[0], wires=0)
    (qml.RY if weights[0] > 0.5 else qml.RX)(weights[0], wires=0)
    return qml.expval(qml.PauliZ(0))


def variance(inputs, weights):
    qml.RX(inputs[0] + weights[0], wires=0)
    return qml.var(qml.PauliZ(0))


def on(device, function, **options):
    return qml.QNode(function, qml.device(device, wires=1, **options))


STAYS = {
    "NumPy on features": (in_numpy, 2, "write `qml.math.arctan`"),
    "a channel": (on("default.mixed", noisy), 1, "`DepolarizingChannel` is no gate"),
    "branches": (on("default.qubit", branching), 1, "depend on values"),
    "a variance": (on("default.qubit", variance), 1, "which fedket does not read"),
}


@pytest.mark.parametrize("case", STAYS)
def test_what_cannot_be_translated_runs_on_its_device_and_says_why(case):
    node, size, why = STAYS[case]
    model = pennylane_model(node, {"weights": (size,)}, size, 2)
    assert why in model.runs_on
    params, x = {"weights": jnp.full(size, 0.3)}, jnp.array([[0.2] * size, [0.7] * size])
    logits, gradient = value_and_gradient(model, params, x, jnp.ones((2, 2)) * jnp.array([1, 0]))
    expected = [node(np.full(size, value), np.full(size, 0.3)) for value in (0.2, 0.7)]
    np.testing.assert_allclose(logits[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(logits[:, 1], -logits[:, 0])
    assert np.abs(gradient["weights"]).max() > 1e-3
    with pytest.raises(ConfigError, match="cannot be translated"):
        pennylane_model(node, {"weights": (size,)}, size, 2, engine="native")


def test_shots_stay_on_the_device_and_are_said_not_to_repeat():
    def rotate(inputs, weights):
        qml.RX(inputs[0] + weights[0], wires=0)
        return qml.expval(qml.PauliZ(0))

    node = qml.set_shots(on("default.qubit", rotate), shots=100)
    model = pennylane_model(node, {"weights": (1,)}, 1, 2)
    assert "no run repeats another" in model.runs_on
    x = 0.5 + 1e-6 * jnp.arange(64.0)[:, None]
    logits = jax.jit(model.apply)({"weights": jnp.zeros(1)}, x)[:, 0]
    assert abs(logits.mean() - np.cos(0.5)) < 0.1
    assert np.unique(logits).size > 1
    exact = pennylane_model(node, {"weights": (1,)}, 1, 2, engine="native")
    np.testing.assert_allclose(
        exact.apply({"weights": jnp.zeros(1)}, x[:1])[0, 0], np.cos(0.5), atol=1e-5
    )


@pytest.mark.parametrize(
    ("weights", "inputs", "said"),
    [
        ({"w": (2,)}, "", "takes inputs, weights"),
        ({"weights": (2,)}, "x", "takes inputs, weights"),
        ({}, "", "takes inputs, weights"),
    ],
)
def test_arguments_are_the_qnodes_own(weights, inputs, said):
    with pytest.raises(ConfigError, match=said):
        pennylane_model(in_numpy, weights, 2, 2, inputs=inputs)


@pytest.mark.parametrize("engine", ["auto", "device"])
def test_a_device_without_enough_wires_is_one_line(engine):
    def wide(inputs, weights):
        qml.RX(inputs[0] + weights[0], wires=3)
        return qml.expval(qml.PauliZ(0))

    node = qml.QNode(wide, qml.device("default.qubit", wires=2))
    with pytest.raises(ConfigError, match=r"device `default.qubit` .*wires") as caught:
        pennylane_model(node, {"weights": (1,)}, 1, 2, engine=engine)
    assert "\n" not in str(caught.value)


def test_a_function_is_no_qnode():
    with pytest.raises(ConfigError, match="it should be a QNode"):
        pennylane_model(noisy, {"weights": (1,)}, 1, 2)


def failing(inputs, weights):
    qml.RX(inputs[0], wires=0)
    if abs(weights[0]) > 5:
        raise RuntimeError("the fridge is warm")
    qml.RY(weights[0], wires=0)
    return qml.expval(qml.PauliZ(0))


def test_a_device_that_fails_is_one_error_at_the_end_of_the_round():
    patience = Patience(timeout_s=30.0, retries=1, wait_s=0.0)
    node = on("default.qubit", failing)
    model = pennylane_model(node, {"weights": (1,)}, 1, 2, engine="device", patience=patience)
    apply = jax.jit(model.apply)
    assert np.isnan(apply({"weights": jnp.full(1, 9.0)}, jnp.ones((1, 1)))).all()
    with pytest.raises(TrainingError, match="failed 2 times, the last time: RuntimeError: the fr"):
        model.device.finish()
    assert np.isfinite(apply({"weights": jnp.ones(1)}, jnp.ones((1, 1)))).all()
    assert model.device.finish() == ()
