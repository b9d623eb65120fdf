"""The global model on the test set and on clients' own samples."""

import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedket.data.batches import pack_partition
from fedket.federated.cohort import sample_cohort
from fedket.federated.evaluate import make_client_accuracy
from fedket.federated.federation import make_federation
from fedket.federated.local import LocalTraining
from fedket.federated.strategies import fed_avg
from fedket.models.classical import mlp
from tests.federated.problems import SIZES, blobs, run_rounds, small_federation

MODEL = mlp(4, 2, (5,))


def own_accuracy(params, sizes=SIZES):
    """Literally: each client's samples, one client after the other."""
    dataset, partition = blobs(sizes=sizes)
    hits = (
        np.asarray(MODEL.apply(params, jnp.asarray(dataset.x_train))).argmax(axis=1)
        == dataset.y_train
    )
    return np.array([hits[rows].mean() if len(rows) else np.nan for rows in partition])


@pytest.mark.parametrize("choice", ["cohort", "all", "none"])
def test_rounds_are_evaluated_on_whom_one_chooses_and_train_the_same(choice):
    federation = small_federation(clients_per_round=2, eval_clients=choice)
    state, records = run_rounds(federation, 3)
    everyone = own_accuracy(state.params)
    last = records[-1]
    drawn = sample_cohort(3, 3, len(SIZES), 2)
    expected = {"cohort": everyone[drawn], "all": everyone, "none": []}[choice]
    assert last.cohort == tuple(drawn)
    np.testing.assert_allclose(last.client_accuracy or (), expected, atol=1e-6)
    unevaluated = small_federation(clients_per_round=2)
    other = unevaluated.init()
    for _ in range(3):
        other, _ = unevaluated.run_round(other, with_evaluation=False)
    for name, leaf in state.params.items():
        np.testing.assert_array_equal(leaf["kernel"], other.params[name]["kernel"])


def test_whoever_asks_for_all_clients_gets_them_in_their_order():
    federation = small_federation(clients_per_round=2)
    params = federation.init().params
    np.testing.assert_allclose(federation.evaluate(params).client_accuracy, own_accuracy(params))
    some = federation.evaluate(params, np.array([4, 0])).client_accuracy
    np.testing.assert_allclose(some, own_accuracy(params)[[4, 0]])


@pytest.mark.parametrize("batch", [1, 4, 64])
@pytest.mark.parametrize("most", [1, 3, 9])
def test_accuracy_does_not_depend_on_batches_and_an_empty_client_has_none(batch, most):
    sizes = (5, 0, 17, 1)
    dataset, partition = blobs(sizes=sizes)
    params = MODEL.init(jax.random.key(0))
    samples = jnp.asarray(dataset.x_train), jnp.asarray(dataset.y_train)
    accuracy = make_client_accuracy(MODEL, *samples, pack_partition(partition), most, batch)
    expected = own_accuracy(params, sizes)
    np.testing.assert_allclose(accuracy(params, np.arange(4), None), expected)
    np.testing.assert_allclose(accuracy(params, np.array([3, 1, 2]), None), expected[[3, 1, 2]])
    assert accuracy(params, np.arange(0), None).shape == (0,)


def test_a_federation_keeps_who_holds_what_packed_and_no_array_per_client():
    dataset, partition = blobs()
    first = weakref.ref(partition[0])
    federation = make_federation(
        MODEL, dataset, partition, fed_avg(), LocalTraining(optax.sgd(0.1), batch_size=8)
    )
    del partition
    assert first() is None
    assert federation.init().round_num == 0
