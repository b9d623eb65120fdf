"""OpenQASM 3 as a model: the papers' circuits, angles, repetition, and what is refused."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.bridges.native import native_run, sections_of
from fedket.bridges.qasm.kind import qasm_model
from fedket.bridges.qasm.reader import MAX_CHARACTERS, base_name, read_qasm
from fedket.errors import CircuitError, ConfigError
from fedket.models.vqc import vqc
from fedket.quantum import noise
from fedket.quantum.shots import Shots
from tests.bridges.papers import ARCTAN, CIRCUITS, ROT, in_qasm

HEAD = """OPENQASM 3.0;
include "stdgates.inc";
input float[64] x0; input float[64] w0; input float[64] w1;
qubit[2] q;
"""


def state_of(text, weights=(), x=()):
    """What a circuit makes of |0…0⟩, in double precision."""
    with jax.enable_x64(True):
        program = read_qasm(text, "test.qasm").program
        run = jax.jit(native_run(program))
        return np.asarray(run(jnp.array(weights, float), jnp.array([x], float)))[:, 0]


def same_up_to_phase(left, right):
    return abs(abs(np.vdot(left, right)) - 1) < 1e-12


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_papers_circuits_are_what_fedket_has(name):
    circuit = CIRCUITS[name]
    own = name != "chen_yoo"  # Chen and Yoo's arctan stands in the file
    text = in_qasm(circuit, () if own else ARCTAN)
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x = jnp.asarray(rng.normal(size=(5, 16 if own else 4)))
        params = jnp.asarray(rng.normal(size=circuit.params_shape))
        ours = vqc(circuit, 3, encoding="amplitude" if own else "arctan", readout="z_zz")
        theirs = qasm_model(
            text, 3, encoding="amplitude" if own else "inputs", readout="z_zz", logit_scale=10.0
        )

        def loss(model):
            def of(params):
                logits = model.apply(params, x)
                return (logits**2).sum(), logits

            return jax.jit(jax.value_and_grad(of, has_aux=True))

        (_, expected), gradient = loss(ours)(params)
        (_, found), own_gradient = loss(theirs)(params.ravel())
    np.testing.assert_allclose(found, expected, atol=1e-10)
    np.testing.assert_allclose(own_gradient, gradient.ravel(), atol=1e-9)


@pytest.mark.parametrize("name", CIRCUITS)
def test_a_circuit_written_out_is_found_to_be_layers(name):
    circuit = CIRCUITS[name]
    program = read_qasm(in_qasm(circuit, ARCTAN), "test.qasm").program
    encoder, others = sections_of(program)
    assert [s.circuit for s in others] == [circuit]
    assert [len(s.circuit.layer) for s in encoder] == [8]


@settings(max_examples=3)
@given(seed=st.integers(0, 2**31 - 1))
def test_angles_are_arithmetic(seed):
    w, v, x = np.random.default_rng(seed).uniform(0.5, 2, size=3)
    text = HEAD + "ry(w0 / 2 - 2 * (w1 - pi)) q[0]; rx(sin(x0) * w0 + w1 ** 2) q[1]; rz(w0) q[1];"
    plain = f"""qubit[2] q; ry({w / 2 - 2 * (v - np.pi)}) q[0];
        rx({np.sin(x) * w + v**2}) q[1]; rz({w}) q[1];"""
    assert same_up_to_phase(state_of(text, (w, v), (x,)), state_of(plain))


def test_a_shared_weight_gets_the_sum_of_its_gradients():
    text = HEAD + "ry(x0) q[0]; cx q[0], q[1]; ry(w0) q[0]; rx(w1) q[1]; ry(w0 / 2) q[0];"
    apart = text.replace("ry(w0 / 2)", "ry(w2 / 2)").replace("qubit", "input float[64] w2;\nqubit")
    gradients = []
    for source, weights in ((text, (0.3, 0.7)), (apart, (0.3, 0.7, 0.3))):
        model = qasm_model(source, 2)
        grad = jax.grad(lambda p, model=model: model.apply(p, jnp.array([[0.4]]))[0, 0])
        gradients.append(np.asarray(jax.jit(grad)(jnp.array(weights))))
    shared, separate = gradients
    np.testing.assert_allclose(shared[0], separate[0] + separate[2], atol=1e-6)
    np.testing.assert_allclose(shared[1], separate[1], atol=1e-6)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("h q;", "h q[0]; h q[1];"),
        ("ctrl @ ry(0.3) q[0], q[1];", "cry(0.3) q[0], q[1];"),
        ("ctrl @ ctrl @ x q[0], q[1], r;", "ccx q[0], q[1], r;"),
        ("inv @ u3(0.1, 0.2, 0.3) q[0]; inv @ s q[1];", "u3(-0.1, -0.3, -0.2) q[0]; sdg q[1];"),
        (
            "gate two(a) b, c { rx(a) b; cx b, c; } two(0.4) q[1], q[0];",
            "rx(0.4) q[1]; cx q[1], q[0];",
        ),
        # Not what fedket calls `cp`: the file's own word counts.
        (
            "gate cp(a) b, c { rx(a) b; cx b, c; } cp(0.4) q[0], q[1];",
            "rx(0.4) q[0]; cx q[0], q[1];",
        ),
        ("const float[64] half = pi / 2; rx(half) q[0];", "rx(pi / 2) q[0];"),
        ("gphase(0.3); barrier q; id q[0]; x q[-1];", "x q[1];"),
    ],
)
def test_one_circuit_in_two_ways(written, meant):
    states = [
        state_of(f"qubit[2] q; qubit r; ry(0.7) q; rx(0.4) r; cx q[0], r; {part}")
        for part in (written, meant)
    ]
    assert same_up_to_phase(*states)


REFUSED = {
    "bit c; c = measure q[0];": "a measurement",
    "if (true) { x q[0]; }": "control flow (`if`)",
    "for int i in [0:1] { x q[i]; }": "control flow (`for`)",
    "reset q[0];": "a reset",
    "hadamard q[0];": "unknown gate `hadamard`",
    "rxx(w0) q[0];": "`rxx` takes 2 qubits and 1 angles, got 1 and 1",
    "gate mine q { unknown q; } mine q[0];": "unknown gate `unknown`",
    "gate mine q { mine q; } mine q[0];": "unknown gate `mine`",
    "pow(2) @ x q[0];": "modifier `pow`",
    "ctrl @ U(0.1, 0, 0) q[0], q[1];": "`ctrl @ U`",
    "rx(v) q[0];": "unknown name `v`",
    "rx(floor(w0)) q[0];": "unknown function `floor`",
    "rx(1 / 0) q[0];": "no finite number",
    "x q[2];": "qubits go from 0 to 1",
    "cx q[0], q[0];": "names a qubit twice",
    "let a = q[0:1];": "`AliasStatement`",
    'include "mine.inc";': "include of `mine.inc`",
    "input bit b;": "`b` is no number",
    "output bit b;": "`output b`",
    "qubit[40] r;": "42 qubits",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_trained_is_one_line_that_names_it(text):
    with pytest.raises(CircuitError) as caught:
        read_qasm(HEAD + text, "mine.qasm")
    assert REFUSED[text] in str(caught.value)
    assert str(caught.value).startswith("mine.qasm, line 5: ")
    assert "\n" not in str(caught.value)


def nested(step):
    gates = [f"gate g{k}(a) q {{ {step.replace('NEXT', f'g{k - 1}')} }}" for k in range(1, 20)]
    return HEAD + "gate g0(a) q { rx(a) q; }\n" + "\n".join(gates) + "\ng19(w0) q[0];"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("qubit q; rx( q;", "is no OpenQASM 3"),
        ("OPENQASM 2.0; qreg q[2];", "is OpenQASM 2"),
        ("input float[64] w;", "declares no qubits"),
        ("/" * (MAX_CHARACTERS + 1), "characters"),
        (f"qubit q; rx({'(' * 999}1{')' * 999}) q;", "is no OpenQASM 3"),
        (nested("NEXT(a) q; NEXT(a) q;"), "gates"),
        (nested("NEXT(a * a) q;"), "terms inside each other"),
    ],
)
def test_garbage_ends_soon_in_one_line(text, said, monkeypatch):
    monkeypatch.setattr("fedket.bridges.qasm.reader.MAX_OPERATIONS", 200)
    with pytest.raises(CircuitError, match=said):
        read_qasm(text, "mine.qasm")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"inputs": ("y",)}, "reads no features"),
        ({"inputs": ("x", "w")}, "no parameter to train"),
        ({"encoding": "angle"}, "reads features itself"),
        ({"observables": ("Z0", "Z1", "X0")}, "names 3 Pauli strings for 2 classes"),
        ({"observables": ("Z0", "Q1")}, "is not a Pauli string"),
    ],
)
def test_features_enter_once_and_classes_have_a_value_each(keys, said):
    text = HEAD + "ry(x0) q[0]; rx(w0) q[0];"
    with pytest.raises((ConfigError, CircuitError), match=said):
        qasm_model(text, 2, **keys)


def test_names_without_numbers():
    written = ["x", "x0", "x_1", "x[2]", "_x_3_", "inputs[4]", "θ", "w10"]
    assert [base_name(name) for name in written] == ["x"] * 5 + ["inputs", "θ", "w"]


def test_noise_follows_the_gates_as_it_does_in_a_circuit_of_ones_own():
    circuit, rates = (
        CIRCUITS["chen_yoo"],
        noise.depolarising(0.02, 0.05) + noise.readout_error(0.02, 0.05),
    )
    params = jax.random.normal(jax.random.key(0), circuit.params_shape)
    x = jax.random.normal(jax.random.key(1), (3, 4))
    own = vqc(circuit, 3, encoding="arctan", readout="z", logit_scale=1.0, noise=rates)
    text = in_qasm(circuit, ARCTAN).replace(ROT, "").replace("rot(", "u(")
    # U3(β, γ, α) is Rot(α, β, γ) up to a phase, and one gate as well.
    written = re.sub(r"u\((\w+), (\w+), (\w+)\)", r"u3(\2, \3, \1)", text)
    foreign = qasm_model(written, 3, noise=rates)
    assert foreign.noise == rates
    expected, found = (
        jax.jit(model.apply)(p, x) for model, p in ((own, params), (foreign, params.ravel()))
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.long
def test_values_and_gradients_come_from_shots():
    text = HEAD + "input float x1; ry(x0) q[0]; ry(x1) q[1]; rx(w0) q[0]; cx q[0], q[1];"
    text += "ry(2 * w1) q[1];"
    many = 1_000_000
    exact = qasm_model(text, 2)
    model = qasm_model(text, 2, shots=Shots(many, 200))
    assert model.shots.circuits == 1 + 4
    params, x = jnp.array([0.7, -0.4]), jnp.array([[0.3, 1.2], [2.0, -1.0]])
    rng = jax.random.key(3)
    seen = jax.jit(model.evaluate)(params, x, rng)
    np.testing.assert_allclose(seen * 100, np.round(seen * 100), atol=1e-3)  # (2k - 200) / 200
    loss = lambda model, *rng: lambda p: (model.apply(p, x, *rng) ** 2).sum()  # noqa: E731
    drawn, told = jax.grad(loss(model, rng))(params), jax.grad(loss(exact))(params)
    np.testing.assert_allclose(drawn, told, atol=20 / many**0.5)
    assert (drawn != told).any()


@pytest.mark.parametrize(
    ("text", "keys", "said"),
    [
        ("ry(x0) q[0]; cx q[0], q[1]; ry(x0 * w0) q[1];", {}, "features enter between other gates"),
        ("ry(x0) q[0]; rx(w0) q[0];", {"observables": ("X0",)}, "only products of Z"),
    ],
)
def test_noise_that_is_not_served_is_said(text, keys, said):
    with pytest.raises(ConfigError, match=said):
        qasm_model(HEAD + text, 2, noise=noise.depolarising(0.01, 0.01), **keys)
