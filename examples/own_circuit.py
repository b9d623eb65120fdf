"""A circuit of one's own, its unitary, its gradient, and a drawing.

Run it with `python examples/own_circuit.py`.
"""

import jax
import jax.numpy as jnp

from fedket.quantum import angle_state, draw_layer, expval_z, make_circuit, run_circuit


def main() -> None:
    """Draw a brickwork circuit and take a gradient through it."""
    gates = [("U3", 0), ("U3", 1), ("U3", 2), ("CRX", 0, 1), ("CNOT", 1, 2)]
    circuit = make_circuit(3, gates, num_layers=4)
    print(draw_layer(circuit))
    x = jnp.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])

    def energy(angles: jax.Array) -> jax.Array:
        psi = run_circuit(circuit, angles, angle_state(x, 3))
        return expval_z(psi, (2,)).mean()

    angles = 0.1 * jnp.ones(circuit.params_shape)
    value, gradient = jax.jit(jax.value_and_grad(energy))(angles)
    print(f"⟨Z₂⟩ = {value:.4f}, gradient of {gradient.size} angles, largest {gradient.max():.4f}")


if __name__ == "__main__":
    main()
