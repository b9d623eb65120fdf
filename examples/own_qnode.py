"""A PennyLane QNode trained by four clients on fedket's engine.

Run it with `python examples/own_qnode.py`; it needs `pip install 'fedket[quantum]'`.
"""

import numpy as np
import optax
import pennylane as qml

import fedket as fk


@qml.qnode(qml.device("default.qubit", wires=4))
def circuit(inputs, weights):
    """Sixteen pixels in, one value per class out."""
    qml.AmplitudeEmbedding(inputs, wires=range(4), normalize=True, pad_with=0.0)
    qml.StronglyEntanglingLayers(weights, wires=range(4))
    return [qml.expval(qml.PauliZ(wire)) for wire in range(2)]


def main() -> None:
    """Say what runs the circuit, and train it for five rounds."""
    data = fk.load_dataset("digits", classes=(0, 1))
    shrunk = data._replace(x_train=data.x_train[:, ::2, ::2], x_test=data.x_test[:, ::2, ::2])
    model = fk.pennylane_model(circuit, {"weights": (3, 4, 3)}, 16, 2, logit_scale=5.0)
    print(model.runs_on)
    federation = fk.make_federation(
        model,
        shrunk,
        fk.iid(len(shrunk.y_train), num_clients=4, rng=np.random.default_rng(0)),
        fk.fed_avg(),
        fk.LocalTraining(optax.adam(0.05), epochs=2, batch_size=16),
    )
    state = federation.init()
    for _ in range(5):
        state, record = federation.run_round(state)
    print(f"{record.test_accuracy:.1%} after {record.round} rounds")


if __name__ == "__main__":
    main()
