"""A circuit of one's own, its unitary, its gradient, and a drawing.

Run it with `python examples/own_circuit.py`.
"""

import jax
import jax.numpy as jnp

import fedket as fk


def main() -> None:
    """Draw a brickwork circuit and take a gradient through it."""
    gates = [("U3", 0), ("U3", 1), ("U3", 2), ("CRX", 0, 1), ("CNOT", 1, 2)]
    circuit = fk.make_circuit(3, gates, num_layers=4)
    print(fk.draw_circuit(circuit))
    x = jnp.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])

    def energy(angles: jax.Array) -> jax.Array:
        psi = fk.run_circuit(circuit, angles, fk.angle_state(x, 3))
        couplings = jnp.array([-1.0, -1.0, 0.5])
        return (fk.expval(psi, "Z0 Z1", "Z1 Z2", "X0") @ couplings).mean()

    angles = 0.1 * jnp.ones(circuit.params_shape)
    value, gradient = jax.jit(jax.value_and_grad(energy))(angles)
    print(f"energy {value:.4f}, gradient of {gradient.size} angles, largest {gradient.max():.4f}")


if __name__ == "__main__":
    main()
