"""Clients with different networks behind one Quantum-Train generator."""

import jax
import numpy as np
import pytest

from fedket.errors import ConfigError
from fedket.experiment.build import build_experiment
from fedket.experiment.check import parameter_shapes
from fedket.experiment.load import parse_config
from fedket.models.network import cut_weights, run_network
from fedket.models.quantum_train import generate_weights

SMALL, LARGE = ["linear 3"], ["linear 6", "relu", "linear 3"]


def config_of(client_layers, layers=SMALL, **tables):
    return parse_config(
        {
            "name": "networks",
            "data": {"kind": "digits", "classes": [0, 1, 2], "max_train": 60, "max_test": 20},
            "partition": {"kind": "iid", "num_clients": 3},
            "model": {
                "kind": "quantum_train",
                "layers": layers,
                "image_side": 8,
                "num_layers": 2,
                "client_layers": client_layers,
            },
            "training": {"batch_size": 10},
        }
        | tables
    )


@pytest.fixture(scope="module")
def built():
    return build_experiment(config_of([LARGE]))


def test_each_client_runs_its_network_on_the_first_of_the_generated_weights(built):
    model, config = built.model, built.config.model
    params = model.init(jax.random.key(0))
    x = jax.numpy.asarray(built.dataset.x_test)
    for client, plan in enumerate([*config.plans(), config.plans()[0]]):
        network = cut_weights(plan.target, generate_weights(plan, params))
        found = model.at_client(jax.numpy.int32(client)).apply(params, x)
        np.testing.assert_allclose(found, run_network(plan.target, network, x), atol=1e-6)
    np.testing.assert_array_equal(
        model.apply(params, x), model.at_client(jax.numpy.int32(0)).apply(params, x)
    )


def test_all_share_the_generator_that_the_largest_needs(built):
    alone = build_experiment(config_of(None, layers=LARGE))
    shapes = [
        jax.tree.map(lambda leaf: leaf.shape, parameter_shapes(one.model)) for one in (built, alone)
    ]
    assert shapes[0] == shapes[1]


@pytest.mark.long
def test_a_federation_of_networks_trains_all_and_scores_each_client_by_its_own(built):
    state, record = built.federation.run_round(built.federation.init())
    assert record.dropped == {}
    expected = []
    for client, rows in enumerate(built.partition):
        own = built.model.at_client(jax.numpy.int32(client))
        logits = own.apply(state.params, jax.numpy.asarray(built.dataset.x_train[rows]))
        expected.append(np.mean(logits.argmax(axis=1) == built.dataset.y_train[rows]))
    np.testing.assert_allclose(record.client_accuracy, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("networks", "problem"),
    [
        ([["linear 4"]], "3, 4 outputs cannot be trained together"),
        ([SMALL] * 4, r"all 5 networks, .* up to 4; use engine.kind = \"sequential\""),
    ],
)
def test_what_cannot_be_shared_is_said_in_one_line(networks, problem):
    with pytest.raises(ConfigError, match=problem):
        build_experiment(config_of(networks))
