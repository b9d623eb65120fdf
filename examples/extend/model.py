"""A model of one's own: a circuit that reads every sample twice (data re-uploading).

Run it with `python examples/extend/model.py`, or name it: `[model] kind = "model.py:Reupload"`.
"""

import jax
import jax.numpy as jnp

import fedket as fk


def reupload(num_features: int, num_classes: int, num_qubits: int, num_layers: int) -> fk.Model:
    """Angles of every layer are a trained linear map of the sample: φ_l = A_l x + b_l.

    The logits are 10 times the probabilities of the first basis states.
    """
    gates = [("RY", q) for q in range(num_qubits)]
    gates += [("CZ", q, q + 1) for q in range(num_qubits - 1)]
    circuit = fk.make_circuit(num_qubits, gates, num_layers)

    def init(rng: jax.Array) -> fk.Params:
        shape = num_layers, num_qubits, num_features
        slope = jax.random.normal(rng, shape) / jnp.sqrt(num_features)
        return {"slope": slope, "offset": jnp.zeros(shape[:2])}

    def one(params: fk.Params, x: jax.Array) -> jax.Array:
        angles = params["slope"] @ x.ravel() + params["offset"]
        psi = fk.run_circuit(circuit, angles, fk.zero_state(num_qubits))
        return 10 * fk.probabilities(psi)[:num_classes, 0]

    def apply(params: fk.Params, x: jax.Array, rng: jax.Array | None = None) -> jax.Array:  # noqa: ARG001
        return jax.vmap(one, in_axes=(None, 0))(params, x)

    return fk.Model(init, apply, circuit=circuit)


class Reupload(fk.Section):
    """The keys of `[model]`."""

    num_qubits: fk.PositiveInt = 4
    num_layers: fk.PositiveInt = 4

    def build(self, context: fk.Context) -> fk.Model:
        """The model, for the features and classes of the data."""
        features, classes = context.num_features, context.num_classes
        return reupload(features, classes, self.num_qubits, self.num_layers)


if __name__ == "__main__":
    from first import demonstrate

    demonstrate(model=reupload(64, 10, 4, 4))
