"""The compiled kernels of exact noise against its JAX: both passes, values, whatever the widths."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.quantum import ansatz, noise
from fedket.quantum.circuit import make_circuit
from fedket.quantum.noise import channels, heisenberg, native, observables
from fedket.quantum.noise.plan import plan_noisy
from tests.quantum.circuits import CIRCUITS, random_inputs
from tests.quantum.noise_models import ASYMMETRIC, MODELS

pytestmark = pytest.mark.skipif(
    not native.available(), reason="fedket-native is not installed (pip install ./native)"
)

RELAXING = MODELS["depolarising"] + noise.after(
    channels.thermal_relaxation(2.0, 9.0, 7.0, 0.1), "CNOT", "CZ", "RY"
)
FAR = make_circuit(7, [("CNOT", 4, 0), ("RX", 1), ("CZ", 0, 2), ("CNOT", 1, 0), ("CNOT", 5, 6)], 2)
CASES = {
    "one qubit": (CIRCUITS["one qubit"], MODELS["damping"]),
    "three qubits": (ansatz.chen_yoo(3, 2), RELAXING),
    "destroyed": (CIRCUITS["chen_yoo, ring by gather"], MODELS["destroying"]),
    "asymmetric": (CIRCUITS["qunetqfl, trailing signs"], ASYMMETRIC),
    "nothing after gates": (CIRCUITS["qfedfisher, folded chain, odd"], noise.NoiseModel()),
    "relaxation between moves": (CIRCUITS["qfedfisher, two groups"], RELAXING),
    "couples across padding": (FAR, RELAXING),
    "eight qubits": (ansatz.qfedfisher(8, 2), RELAXING),
}
TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}


def random_arrays(circuit, seed, count, batch, precision):
    """Angles, observables, their cotangent, states and the values' cotangent."""
    rng = np.random.default_rng(seed)
    angles, psi = random_inputs(circuit, seed, batch)
    strings = rng.normal(size=(2, count, 4**circuit.num_qubits)) / 2**circuit.num_qubits
    real = (angles, *strings, rng.normal(size=(batch, count)))
    angles, h, cotangent, of_values = (jnp.asarray(x, precision) for x in real)
    return (
        angles,
        h,
        cotangent,
        jnp.asarray(psi, jnp.result_type(precision, jnp.complex64)),
        of_values,
    )


def all_passes(blocks, back, forth, values, averages):
    """What both directions find, and both of the values', as one program."""

    def passes(angles, h, cotangent, psi, of_values):
        final, kept = back(blocks, angles, h)
        found = forth(blocks, angles, kept, cotangent)
        return final, *found, values(h, psi), averages(psi, of_values)

    return passes


def kernels_of(blocks):
    return all_passes(
        blocks, native.take_back_keeping, native.take_forth, native.values, native.averages
    )


def scans_of(blocks):
    return all_passes(
        blocks,
        heisenberg._scan_back,
        heisenberg._scan_forth,
        observables._products,
        observables._averages,
    )


@pytest.mark.parametrize(
    ("name", "precision", "count", "batch"),
    [
        ("one qubit", np.float64, 5, 3),
        ("three qubits", np.float32, 5, 33),
        ("asymmetric", np.float64, 2, 1),
        ("couples across padding", np.float64, 3, 34),
        *(
            pytest.param(name, precision, 1 + 2 * i, 1 + 11 * i, marks=pytest.mark.long)
            for i, name in enumerate(CASES)
            for precision in TOLERANCE
        ),
    ],
)
def test_kernels_agree_with_jax(name, precision, count, batch):
    circuit, model = CASES[name]
    blocks = plan_noisy(circuit, model)
    assert native.serves(blocks)
    with jax.enable_x64(precision is np.float64):
        inputs = random_arrays(circuit, count, count, batch, precision)
        found, expected = (
            jax.jit(passes)(*inputs) for passes in (kernels_of(blocks), scans_of(blocks))
        )
        only = native.take_back(blocks, *inputs[:2])
    jax.tree.map(
        partial(np.testing.assert_allclose, atol=TOLERANCE[precision]),
        (*found, only),
        (*expected, expected[0]),
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(precision)}


def test_what_clients_share_is_not_copied_for_each():
    """Angles of each client's own, observables and states of all, two `vmap`s deep."""
    circuit, model = CASES["three qubits"]
    passes = jax.jit(kernels_of(plan_noisy(circuit, model)))
    inputs = random_arrays(circuit, 0, 3, 5, np.float32)
    angles = jnp.stack([inputs[0] + i for i in range(6)]).reshape(2, 3, *inputs[0].shape)
    psi = jnp.stack([inputs[3] * i for i in range(3)])
    axes = (0, None, None, 0, None)
    nested = jax.vmap(jax.vmap(passes, in_axes=axes), in_axes=(0, *[None] * 4))
    together = jax.jit(nested)(angles, inputs[1], inputs[2], psi, inputs[4])
    for i in range(2):
        for j in range(3):
            one = passes(angles[i, j], inputs[1], inputs[2], psi[j], inputs[4])
            for found, expected in zip(together, one, strict=True):
                np.testing.assert_array_equal(found[i, j], expected)


def test_gates_on_pairs_with_angles_stay_with_jax():
    circuit = CIRCUITS["controlled rotations"]
    assert not native.serves(plan_noisy(circuit, MODELS["damping"]))
