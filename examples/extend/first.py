"""What these examples change one part of: ten clients learn digits by logistic regression."""

from collections.abc import Callable

import numpy as np
import optax

import fedket as fk


def demonstrate(
    *,
    data: fk.Dataset | None = None,
    model: fk.Model | None = None,
    strategy: fk.Strategy | None = None,
    partition: fk.Partition | None = None,
    training: fk.LocalTraining | None = None,
    graph: fk.Topology | None = None,
    reducer: fk.Reducer | None = None,
    engine: Callable[..., fk.Engine] = fk.vectorised_engine,
    clients: fk.SimulatedClients | None = None,
) -> None:
    """Train three rounds, with some parts replaced, and print the accuracy."""
    data = data or fk.load_dataset("digits", max_train=400, max_test=200)
    if partition is None:
        rng = np.random.default_rng(0)
        partition = fk.iid(len(data.y_train), num_clients=10, rng=rng)
    features = int(np.prod(data.x_train.shape[1:]))
    federation = fk.make_federation(
        model or fk.mlp(features, data.num_classes),
        data,
        partition,
        strategy or fk.fed_avg(),
        training or fk.LocalTraining(optax.adam(0.05), epochs=5, batch_size=8),
        graph=graph,
        reducer=reducer,
        engine=engine,
        clients=clients,
    )
    state = federation.init()
    for _ in range(3):
        state, record = federation.run_round(state)
    print(f"test accuracy after {state.round_num} rounds: {record.test_accuracy:.1%}")
