"""Slow clients: rounds that wait for all of them, against rounds of five updates each (FedBuff).

Run it with `python examples/waiting_for_nobody.py`.
"""

import numpy as np
import optax

import fedket as fk

CLIENTS = 10


def main(seconds: float = 60) -> None:
    """Train both ways for a minute of simulated time and print how far that goes."""
    data = fk.load_dataset("digits", max_train=800, max_test=300)
    partition = fk.iid(len(data.y_train), num_clients=CLIENTS, rng=np.random.default_rng(0))
    speeds = fk.Conditions(seconds_per_step=fk.draws.lognormal(median=0.1, sigma=1.2))
    clients = fk.simulate_clients(speeds, seed=0, num_steps=[5] * CLIENTS)
    for name, how in {"all": None, "five": fk.Asynchronous(buffer=5)}.items():
        federation = fk.make_federation(
            fk.mlp(64, data.num_classes),
            data,
            partition,
            fk.fed_avg(),
            fk.LocalTraining(optax.adam(0.02), epochs=1, batch_size=16),
            clients=clients,
            asynchronous=how,
        )
        state, clock = federation.init(), 0.0
        while clock < seconds:
            state, record = federation.run_round(state)
            clock += record.simulated_s
        print(f"waiting for {name}: {state.round_num} rounds, {record.test_accuracy:.1%}")


if __name__ == "__main__":
    main()
