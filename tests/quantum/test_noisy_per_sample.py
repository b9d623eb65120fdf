"""Gradients of single samples under noise are those of each sample alone, and add up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.federated.fisher import per_sample_gradients
from fedket.models.vqc import vqc
from fedket.quantum import ansatz, noise
from tests.quantum.circuits import CIRCUITS
from tests.quantum.noise_models import MODELS


@pytest.mark.parametrize(
    ("name", "model", "readout"),
    [
        pytest.param("qunetqfl, trailing signs", "destroying", "z", marks=pytest.mark.long),
        ("qfedfisher, folded chain, odd", "damping", "z_zz"),
        ("controlled rotations", "asymmetric", "probabilities"),
    ],
)
def test_they_are_the_gradients_of_each_sample_alone(name, model, readout):
    circuit = CIRCUITS[name]
    with jax.enable_x64(True):
        fast = vqc(circuit, 3, readout=readout, noise=MODELS[model], init_std=1.0)
        slow = fast._replace(per_sample_vjp=None)
        params = fast.init(jax.random.key(0))
        x = jax.random.normal(jax.random.key(1), (4, 2**circuit.num_qubits))
        y = jnp.array([0, 1, 2, 0])
        found, expected = (
            jax.jit(lambda params, m=m: per_sample_gradients(m, params, x, y))(params)
            for m in (fast, slow)
        )
    assert found.shape == (4, *circuit.params_shape)
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_beyond_eight_qubits_each_sample_has_its_trajectories():
    model = vqc(ansatz.qunetqfl(9, 1), 2, readout="z", noise=noise.depolarising(0.01, 0.05))
    assert model.per_sample_vjp is None
    params, x = model.init(jax.random.key(0)), jnp.ones((2, 8))
    found = jax.jit(lambda p: per_sample_gradients(model, p, x, jnp.array([0, 1])))(params)
    assert np.isfinite(found).all()
    assert np.abs(found).max() > 0
