"""The compiled kernels against the scans in JAX: values and gradients, whatever the lanes."""

import os
import platform
import re
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.quantum import ansatz, engine, native
from fedket.quantum.engine import run_circuit
from fedket.quantum.plan import NARROW_BATCH, ProductBlock, plan_layer
from tests.quantum.circuits import CIRCUITS, random_inputs

pytestmark = pytest.mark.skipif(
    native.kernels() is None, reason="fedket-native is not installed (pip install ./native)"
)

WIDE_ENOUGH = {
    "a chain on ten qubits": ansatz.qfedfisher(10, 2),
    "windows that change lanes": ansatz.quantum_train(11, 2),
    "signs and lanes": ansatz.qunetqfl(9, 2),
}
ALL = CIRCUITS | WIDE_ENOUGH
TOLERANCE = {np.complex128: 1e-12, np.complex64: 2e-6}


def random_unitaries(circuit, blocks, seed):
    """A matrix for every block and layer, as `block_matrices` would give them."""
    rng = np.random.default_rng(seed)
    matrices = []
    for block in blocks:
        product = isinstance(block, ProductBlock)
        shape = (circuit.num_qubits, 2, 2) if product else 2 * (2 ** len(block.qubits),)
        draws = rng.normal(size=(2, circuit.num_layers, *shape))
        unitaries = np.linalg.qr(draws[0] + 1j * draws[1])[0]
        if product:
            unitaries[:, [not gates for gates in block.gates]] = np.eye(2)
        elif block.control is not None:
            halves = np.linalg.qr((draws[0] + 1j * draws[1]) * _same_control(block))[0]
            unitaries = halves * _same_control(block)
        matrices.append(unitaries)
    return matrices


def _same_control(block):
    """Entries of a pair's matrix that leave its control as it is."""
    value = np.arange(4) >> (1 - block.qubits.index(block.control)) & 1
    return value[:, None] == value


def what_matters(block, cotangent, matrix):
    """Of a window's cotangent all that leaves a control as it is; of a product's what turns qubits
    with angles: G Mᵀ less its Hermitian part."""
    if not isinstance(block, ProductBlock):
        return cotangent if block.control is None else cotangent * _same_control(block)
    turned = [qubit for qubit, gates in enumerate(block.gates) if gates and block.trainable]
    product = (cotangent @ matrix.swapaxes(-1, -2))[:, turned]
    return product - product.conj().swapaxes(-1, -2)


def both_passes(circuit, blocks, run, pull_back):
    def passes(matrices, psi, cotangent):
        final = run(circuit, blocks, matrices, psi)
        return final, *pull_back(circuit, blocks, matrices, final, cotangent)

    return jax.jit(passes)


@pytest.mark.parametrize(
    ("precision", "batch", "max_window"),
    [(np.complex128, 1, 2), (np.complex128, 2, 3), (np.complex128, 33, 4), (np.complex64, 5, 2)],
)
@pytest.mark.parametrize("name", ALL)
def test_kernels_agree_with_the_scans(name, precision, batch, max_window):
    """Batches below, at and beyond a tile; narrow ones keep qubits in lanes where they can."""
    circuit = ALL[name]
    _, psi = random_inputs(circuit, batch, batch)
    _, cotangent = random_inputs(circuit, batch + 1, batch)
    blocks = plan_layer(circuit, batch < NARROW_BATCH, max_window)
    with jax.enable_x64(True):
        matrices = [jnp.asarray(m, precision) for m in random_unitaries(circuit, blocks, batch)]
        inputs = matrices, jnp.asarray(psi, precision), jnp.asarray(cotangent, precision)
        found = both_passes(circuit, blocks, native.run, native.pull_back)(*inputs)
        expected = both_passes(circuit, blocks, engine.scan_blocks, engine.scan_blocks_back)(
            *inputs
        )
    gradients = [
        [
            what_matters(b, np.asarray(g), np.asarray(m))
            for b, g, m in zip(blocks, result[1], matrices, strict=True)
        ]
        for result in (found, expected)
    ]
    close = partial(np.testing.assert_allclose, atol=TOLERANCE[precision])
    jax.tree.map(
        close, (found[0], found[2], gradients[0]), (expected[0], expected[2], gradients[1])
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(precision)}


@pytest.mark.parametrize("batch", [2, 40])
def test_clients_with_angles_of_their_own_are_independent(batch):
    circuit = ansatz.qfedfisher(6, 2)
    inputs = [random_inputs(circuit, seed, batch) for seed in range(3)]
    angles = jnp.stack([jnp.asarray(a, jnp.float32) for a, _ in inputs])
    psi = jnp.asarray(inputs[0][1], jnp.complex64)

    def loss(angles, psi):
        return jnp.sum(jnp.abs(run_circuit(circuit, angles, psi)[:7]) ** 4)

    together = jax.jit(jax.vmap(jax.grad(loss), in_axes=(0, None)))(angles, psi)
    for row, one in zip(together, angles, strict=True):
        np.testing.assert_allclose(row, jax.jit(jax.grad(loss))(one, psi), atol=1e-6)


THREADS = """
import jax, hashlib, numpy as np
from functools import partial
from fedket.quantum import ansatz, noise
from fedket.quantum.engine import run_circuit
from tests.quantum.circuits import random_inputs

circuit = ansatz.qfedfisher(10, 8)
angles, psi = random_inputs(circuit, 0, 64)
inputs = angles.astype(np.float32), psi.astype(np.complex64)
run = jax.jit(lambda a, x: jax.vjp(partial(run_circuit, circuit), a, x)[1](x))
for _ in range(5):
    results = run(*map(jax.numpy.asarray, inputs))
    print(hashlib.sha256(b"".join(np.asarray(r).tobytes() for r in results)).hexdigest())

circuit, model = ansatz.qfedfisher(6, 8), noise.depolarising(0.01, 0.02)
angles, psi = random_inputs(circuit, 0, 40)
read = partial(noise.expval_parity, circuit, model, subsets=tuple((q,) for q in range(6)))
run = jax.jit(lambda a, x: jax.vjp(lambda a: read(a, x), a)[1](jax.numpy.ones((40, 6)))[0])
inputs = angles.astype(np.float32), psi.astype(np.complex64)
for _ in range(5):
    print("noisy", hashlib.sha256(np.asarray(run(*inputs)).tobytes()).hexdigest())
"""


def test_the_same_bits_whatever_the_number_of_threads(repository):
    found = [python(repository, THREADS, PJRT_NPROC=number) for number in "12"]
    lines = {line for output in found for line in output.splitlines()}
    assert len(lines) == 2, lines  # one of each kind


def python(repository, program, **environment):
    """What a program prints in a process with these variables."""
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        cwd=repository,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


OLDER = """
import jax, numpy as np
from functools import partial
from fedket.quantum import ansatz, engine, native
from fedket.quantum.noise import frame_run, heisenberg, plan
from fedket.quantum.noise import native as noisy
from fedket.quantum.noise.frames import Frame
from tests.quantum.circuits import random_inputs
from tests.quantum.noise_models import MODELS

for circuit, batch in ((ansatz.qfedfisher(7, 2), 9), (ansatz.quantum_train(7, 2), 1)):
    angles, psi = random_inputs(circuit, 0, batch)
    psi = psi.astype(np.complex64)
    blocks = engine.blocks_of(circuit, jax.numpy.asarray(psi))
    matrices = jax.jit(partial(engine.block_matrices, blocks))(angles.astype(np.float32))
    found = jax.jit(partial(native.run, circuit, blocks))(matrices, psi)
    expected = jax.jit(partial(engine.scan_blocks, circuit, blocks))(matrices, psi)
    np.testing.assert_allclose(found, expected, atol=1e-5)
circuit = ansatz.qunetqfl(4, 2)
blocks = plan.plan_noisy(circuit, MODELS["asymmetric"])
angles = jax.numpy.asarray(random_inputs(circuit, 0, 1)[0], np.float32)
h, cotangent = np.random.default_rng(0).normal(size=(2, 3, 256)).astype(np.float32) / 16
def both(back, forth):
    return jax.jit(lambda a, h, c: forth(blocks, a, back(blocks, a, h)[1], c))(angles, h, cotangent)
found = both(noisy.take_back_keeping, noisy.take_forth)
expected = both(heisenberg._scan_back, heisenberg._scan_forth)
jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), found, expected)

circuit, columns = ansatz.chen_yoo(4, 2), 5
angles, psi = random_inputs(circuit, 0, columns)
angles, psi = jax.numpy.asarray(angles, np.float32), jax.numpy.asarray(psi, np.complex64)
bits = np.random.default_rng(0).random((2, 2, 1, 4, columns)) < 0.3
matrices = engine.block_matrices(frame_run._blocks(circuit), angles)
found = jax.jit(frame_run.run_with_paulis, static_argnums=0)(circuit, angles, psi, Frame(*bits))
expected = jax.jit(partial(frame_run._scan, circuit))(matrices, psi, Frame(*bits))
np.testing.assert_allclose(abs((found.conj() * expected).sum(axis=0)), 1.0, atol=1e-5)
print(native.engine_name())
"""


@pytest.mark.parametrize("level", [2, 3])
@pytest.mark.skipif(platform.machine() != "x86_64", reason="levels are those of x86-64")
def test_kernels_for_older_cpus_agree(repository, level):
    output = python(repository, OLDER, FEDKET_NATIVE=str(level))
    assert output == f"native, x86-64-v{level}\n"


def test_nothing_runs_on_no_states():
    circuit = ansatz.qfedfisher(3, 1)
    final = jax.jit(partial(run_circuit, circuit))(
        jnp.zeros(circuit.params_shape), jnp.zeros((8, 0), jnp.complex64)
    )
    assert final.shape == (8, 0)


def test_the_engine_names_its_kernels():
    assert native.engine_name().startswith("native")


def test_kernels_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("FEDKET_NATIVE", "0")
    assert native.kernels.__wrapped__() is None


def traced(function, *arguments):
    """The words of a new trace."""
    anew = lambda *arguments: function(*arguments)  # noqa: E731
    return set(re.findall(r"\w+", str(jax.make_jaxpr(anew)(*arguments))))


def test_scans_are_traced_only_where_other_devices_may_run_them(monkeypatch):
    circuit = ansatz.qunetqfl(3, 2)
    params, psi = jnp.zeros(circuit.params_shape), jnp.zeros((8, 5), jnp.complex64)
    run = partial(run_circuit, circuit)
    assert "fedket_forward" in traced(run, params, psi)
    assert "scan" not in traced(run, params, psi)
    with native.for_any_device():
        assert "scan" in traced(run, params, psi)
    assert "scan" not in traced(run, params, psi)
    monkeypatch.setattr(native, "backends", lambda: dict.fromkeys(["cpu", "cuda"]))
    assert {"scan", "fedket_forward"} <= traced(run, params, psi)
