"""The smallest federation: four hospitals, one circuit, ten rounds.

Run it with `python examples/first_federation.py [ROUNDS]`.
"""

import sys

import numpy as np
import optax

import fedket as fk


def main(rounds: int = 10) -> None:
    """Train and print a line per round."""
    data = fk.load_dataset("digits", classes=(3, 6))
    clients = fk.iid(len(data.y_train), num_clients=4, rng=np.random.default_rng(0))
    model = fk.vqc(fk.ansatz.qunetqfl(num_qubits=6, num_layers=4), num_classes=2, readout="z")
    training = fk.LocalTraining(optax.adam(0.05), epochs=1, batch_size=16)
    federation = fk.make_federation(model, data, clients, fk.fed_avg(), training)
    state = federation.init()
    for _ in range(rounds):
        state, record = federation.run_round(state)
        print(
            f"round {record.round}: loss {record.train_loss:.3f}, "
            f"accuracy {record.test_accuracy:.1%}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
