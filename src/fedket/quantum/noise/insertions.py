"""Random Pauli errors as gates of a longer circuit, for circuits that let no error through.

Gates fall into windows, dense matrices on few qubits, and so do the errors among them: a trajectory
is a pure circuit with other matrices, whatever its gates are. All trajectories' matrices are worked
out side by side, where an error exchanges and signs rows; the plain engine's kernels run them.
In the longer circuit a rotation with slots beyond the circuit's own stands for each error.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from fedket.quantum import native
from fedket.quantum.circuit import Circuit, Gate
from fedket.quantum.engine import scan_blocks, scan_blocks_back
from fedket.quantum.gates import GATES, multiply
from fedket.quantum.noise.channels import Channel
from fedket.quantum.noise.drawn_run import Method, run_drawn
from fedket.quantum.noise.frames import Frame, draw_paulis
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.plan import MAX_WINDOW, WindowBlock, plan_layer

Angles = Float[Array, "layers slots"]
Batch = Complex[Array, "*trajectories dim batch"]


def with_errors(circuit: Circuit, noise: NoiseModel) -> tuple[Circuit, list[Channel]]:
    """The circuit with a rotation on each qubit of every channel, and the channels in order.

    Their slots follow the circuit's own: three for each qubit of each channel.
    """
    gates, channels, slot = [], [], circuit.num_slots
    for gate in circuit.layer:
        gates.append(gate)
        for channel, qubits in noise.after(gate):
            channels.append(channel)
            for qubit in qubits:
                gates.append(Gate("Rot", (qubit,), (slot, slot + 1, slot + 2)))
                slot += 3
    return Circuit(circuit.num_qubits, tuple(gates), circuit.num_layers), channels


def run_with_errors(
    circuit: Circuit,
    noise: NoiseModel,
    params: Float[Array, "layers slots"],
    psi: Complex[Array, "dim batch"],
    rng: PRNGKeyArray,
    trajectories: int,
) -> Complex[Array, "dim columns"]:
    """Final states of some trajectories, which all states share.

    Args:
        circuit: The circuit.
        noise: Pauli channels after its gates.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States that enter, as columns.
        rng: Decides the errors.
        trajectories: How many.

    Returns:
        Shape (2**num_qubits, batch · trajectories), a state's trajectories side by side.
    """
    longer, channels = with_errors(circuit, noise)
    draw = partial(_draw, channels=channels, num_layers=circuit.num_layers)
    drawn = jax.vmap(draw)(jax.random.split(rng, trajectories))
    final = run_drawn(WINDOWS, longer, params, psi, drawn)
    return jnp.moveaxis(final, 0, 2).reshape(len(psi), -1)


def _draw(rng: PRNGKeyArray, channels: list[Channel], num_layers: int) -> Frame:
    """Paulis of a trajectory, on each qubit of every channel: bits (places, layers)."""
    bits = jax.random.bits(rng, (len(channels), num_layers), jnp.uint32)
    letters = [jnp.zeros((0, num_layers), int)]
    for channel, drawn in zip(channels, bits, strict=True):
        index = draw_paulis(channel, drawn)
        places = reversed(range(channel.num_qubits))
        letters += [((index >> (2 * place)) & 3)[None] for place in places]
    letter = jnp.concatenate(letters)
    return Frame((letter == 1) | (letter == 2), letter >= 2)


def _blocks(circuit: Circuit) -> tuple[WindowBlock, ...]:
    window = native.MAX_WINDOW if native.kernels() else MAX_WINDOW
    planned = plan_layer(circuit, narrow=True, max_window=window)
    return tuple(block for block in planned if isinstance(block, WindowBlock))


def _matrices(circuit: Circuit, params: Angles, drawn: Frame) -> list[Array]:
    """Matrices of the windows, (trajectories, layers, 2**k, 2**k) each.

    Windows of the same gates are worked out side by side.
    """
    blocks = _blocks(circuit)
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, block in enumerate(blocks):
        alike.setdefault(_signature(block), []).append(i)
    found: dict[int, Array] = {}
    for (size, places), which in alike.items():
        gates = list(zip(*(blocks[i].gates for i in which), strict=True))
        total = jnp.eye(2**size, dtype=jnp.result_type(params.dtype, 1j))[None, None, None]
        for (_, *where), same in zip(places, gates, strict=True):
            total = _times(params, drawn, same, where, total)
        shape = (drawn.x.shape[0], len(params), len(which), *total.shape[-2:])
        total = jnp.broadcast_to(total, shape)
        found |= {i: total[:, :, j] for j, i in enumerate(which)}
    return [found[i] for i in range(len(blocks))]


def _signature(block: WindowBlock) -> tuple[Any, ...]:
    places = tuple(
        (gate.name, *(block.qubits.index(qubit) for qubit in gate.qubits)) for gate in block.gates
    )
    return len(block.qubits), places


def _times(
    params: Angles, drawn: Frame, gates: tuple[Gate, ...], where: list[int], total: Array
) -> Array:
    """Follow up with equal gates, or drawn Paulis, on some qubits of windows.

    Args:
        params: Angles in radians.
        drawn: Bits (trajectories, places, layers).
        gates: One for each window.
        where: The window's qubits that they act on.
        total: So far, (trajectories, layers, windows, 2**k, 2**k); leading axes may be 1.
    """
    size = total.shape[-1].bit_length() - 1
    view = total.reshape(*total.shape[:3], *(2,) * size, -1)
    axes = [3 + place for place in where]
    front = list(range(3, 3 + len(where)))
    view = jnp.moveaxis(view, axes, front)
    rows = view.reshape(*view.shape[:3], 2 ** len(where), -1)
    slots = np.array([gate.slots for gate in gates])
    if slots.size and slots.min() >= params.shape[1]:
        bits = (slots[:, 0] - params.shape[1]) // 3
        x, z = (jnp.moveaxis(part[:, bits], 1, 2)[..., None, None] for part in drawn)
        rows = jnp.where(x, rows[..., ::-1, :], rows)
        rows = jnp.where(z & np.array([[False], [True]]), -rows, rows)
    else:
        matrix = GATES[gates[0].name].matrix(*(params[:, column] for column in slots.T))
        rows = multiply(matrix.astype(total.dtype), rows)
    view = rows.reshape(*rows.shape[:3], *view.shape[3:])
    return jnp.moveaxis(view, front, axes).reshape(*rows.shape[:3], *total.shape[3:])


def _each(
    run: Callable[..., Batch],
    circuit: Circuit,
    matrices: list[Array],
    psi: Batch,
    _drawn: Frame,
) -> Batch:
    """Final states of each trajectory."""
    return jax.vmap(partial(run, circuit, _blocks(circuit)), (0, None))(matrices, psi)


def _each_back(
    back: Callable[..., tuple[list[Array], Batch]],
    circuit: Circuit,
    matrices: list[Array],
    final: Batch,
    cotangent: Batch,
    _drawn: Frame,
) -> tuple[list[Array], Batch]:
    """Cotangents of each trajectory's matrices, and of the states that all of them start from."""
    undo = jax.vmap(partial(back, circuit, _blocks(circuit)))
    grads, initial = undo(matrices, final, cotangent)
    return grads, initial.sum(axis=0)


WINDOWS = Method(
    "fedket_forward",
    _matrices,
    partial(_each, native.run),
    partial(_each, scan_blocks),
    partial(_each_back, native.pull_back),
    partial(_each_back, scan_blocks_back),
)
