"""Circuits with drawn Paulis, run and differentiated: compiled where there are kernels."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Complex, Float

from fedket.quantum import native
from fedket.quantum.circuit import Circuit

Angles = Float[Array, "layers slots"]
States = Complex[Array, "... dim batch"]


class Method(NamedTuple):
    """How to run a circuit with Paulis; all its functions take what was drawn as last argument.

    Attributes:
        target: The kernel that `compiled` calls.
        matrices: (circuit, angles) -> matrices of its blocks.
        compiled: (circuit, matrices, states) -> final states, by kernels.
        scan: The same in JAX.
        compiled_back: (circuit, matrices, final states, their cotangent) -> cotangents of the
            matrices and of the initial states.
        scan_back: The same in JAX, where it can be differentiated again.
    """

    target: str
    matrices: Callable[..., list[Array]]
    compiled: Callable[..., States]
    scan: Callable[..., States]
    compiled_back: Callable[..., tuple[list[Array], States]]
    scan_back: Callable[..., tuple[list[Array], States]]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def run_drawn(method: Method, circuit: Circuit, params: Angles, psi: States, drawn: Any) -> States:
    """Final states; differentiable in angles and states, not in what was drawn."""
    run = _where_compiled(method, method.compiled, method.scan)
    final: States = run(circuit, method.matrices(circuit, params, drawn), psi, drawn)
    return final


def _forward(
    method: Method, circuit: Circuit, params: Angles, psi: States, drawn: Any
) -> tuple[States, tuple[Any, ...]]:
    final = run_drawn(method, circuit, params, psi, drawn)
    return final, (params, final, drawn)


def _backward(
    method: Method, circuit: Circuit, saved: tuple[Any, ...], cotangent: States
) -> tuple[Angles, States, None]:
    params, final, drawn = saved
    return *pull_back_drawn(method, circuit, params, final, cotangent, drawn), None


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def pull_back_drawn(
    method: Method, circuit: Circuit, params: Angles, final: States, cotangent: States, drawn: Any
) -> tuple[Angles, States]:
    """Cotangents of the angles and of the initial states."""
    back = _where_compiled(method, method.compiled_back, method.scan_back)
    return cotangents(method, back, circuit, params, final, cotangent, drawn)


def cotangents(
    method: Method, back: Callable[..., Any], circuit: Circuit, params: Angles, *states: Any
) -> tuple[Angles, States]:
    """The same by a given way back; the last of `states` is what was drawn."""
    matrices, to_angles = jax.vjp(lambda p: method.matrices(circuit, p, states[-1]), params)
    grads, initial = back(circuit, matrices, *states)
    return to_angles(grads)[0], initial


def _pull_back_forward(method: Method, circuit: Circuit, *arguments: Any) -> tuple[Any, Any]:
    return pull_back_drawn(method, circuit, *arguments), arguments


def _pull_back_backward(
    method: Method, circuit: Circuit, saved: Any, given: Any
) -> tuple[Array | None, ...]:
    """Second derivatives, through the scan that JAX can look into: memory grows with depth."""
    *others, drawn = saved
    again = partial(cotangents, method, method.scan_back, circuit)
    return *jax.vjp(lambda *others: again(*others, drawn), *others)[1](given), None


run_drawn.defvjp(_forward, _backward)
pull_back_drawn.defvjp(_pull_back_forward, _pull_back_backward)


def _where_compiled(
    method: Method, compiled: Callable[..., Any], scan: Callable[..., Any]
) -> Callable[..., Any]:
    """Kernels where there are any, else the scan."""
    if not native.has(method.target):
        return scan

    def run(circuit: Circuit, *arguments: Any) -> Any:
        kernel, other = partial(compiled, circuit), partial(scan, circuit)
        return native.on_cpus(kernel, other, *arguments)

    return run
