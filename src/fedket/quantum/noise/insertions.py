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
Batch = Complex[Array, "... dim batch"]


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

    Windows of the same gates are worked out side by side. What comes before all gates on its qubit
    acts on columns at the end, so that most gates are multiplied once for all trajectories.
    """
    blocks = _blocks(circuit)
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, block in enumerate(blocks):
        alike.setdefault(_signature(block, params.shape[1]), []).append(i)
    found: dict[int, Array] = {}
    for (size, places), which in alike.items():
        total = jnp.eye(2**size, dtype=jnp.result_type(params.dtype, 1j))[None, None, None]
        first, turned = [], set[int]()
        gates = zip(*(blocks[i].gates for i in which), strict=True)
        for (_, is_error, *where), same in zip(places, gates, strict=True):
            slots = np.array([gate.slots for gate in same])
            bits = (slots[:, :1].ravel() - params.shape[1]) // 3
            if not is_error:
                matrix = GATES[same[0].name].matrix(*(params[:, column] for column in slots.T))
                total = _times(matrix.astype(total.dtype), where, total)
                turned.update(where)
            elif where[0] in turned:
                total = _with_paulis(drawn, bits, 2 ** where[0], total)
            else:
                first.append((bits, 2 ** (size + where[0])))
        for bits, before in first:
            total = _with_paulis(drawn, bits, before, total)
        shape = (len(drawn.x), len(params), len(which), *total.shape[-2:])
        total = jnp.broadcast_to(total, shape)
        found |= {i: total[:, :, j] for j, i in enumerate(which)}
    return [found[i] for i in range(len(blocks))]


def _signature(block: WindowBlock, num_slots: int) -> tuple[int, tuple[tuple[Any, ...], ...]]:
    """A window's size and gates: name, whether it stands for an error, the window's qubits."""
    places = tuple(
        (
            g.name,
            min(g.slots, default=-1) >= num_slots,
            *(block.qubits.index(qubit) for qubit in g.qubits),
        )
        for g in block.gates
    )
    return len(block.qubits), places


def _times(
    matrix: Complex[Array, "*layers m m"],
    where: list[int],
    total: Complex[Array, "trajectories layers windows dim dim"],
) -> Array:
    """Follow up with a gate on one or two qubits of each window; leading axes may be 1."""
    lead, size = total.shape[:3], total.shape[-1].bit_length() - 1
    if len(where) == 1:
        rows = multiply(matrix[..., None, :, :], total.reshape(*lead, 2 ** where[0], 2, -1))
        return rows.reshape(*rows.shape[:3], *total.shape[3:])
    axes, front = [3 + place for place in where], [3, 4]
    view = jnp.moveaxis(total.reshape(*lead, *(2,) * size, -1), axes, front)
    rows = multiply(matrix, view.reshape(*lead, 4, -1))
    back = jnp.moveaxis(rows.reshape(*rows.shape[:3], *view.shape[3:]), front, axes)
    return back.reshape(*rows.shape[:3], *total.shape[3:])


def _with_paulis(
    drawn: Frame,
    bits: np.ndarray,
    before: int,
    total: Complex[Array, "trajectories layers windows dim dim"],
) -> Array:
    """Exchange and sign rows, or columns, as drawn for each window's place in `bits`.

    They are told apart by a bit of the entry's number; `before` are the values of all bits before.
    """
    view = total.reshape(*total.shape[:3], before, 2, -1)
    x, z = (jnp.moveaxis(part[:, bits], 1, 2)[..., None, None, None] for part in drawn)
    view = jnp.where(x, view[..., ::-1, :], view)
    view = jnp.where(z & np.array([[False], [True]]), -view, view)
    return view.reshape(*view.shape[:3], *total.shape[3:])


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
