"""Parameters that stay at clients, and models of their own that are evaluated on their samples."""

import jax
import numpy as np
import optax
import pytest

from fedket.errors import ConfigError
from fedket.federated.checkpoint import load_checkpoint, save_checkpoint
from fedket.federated.ditto import ditto
from fedket.federated.local import LocalTraining
from fedket.federated.personal import personal_layers
from fedket.federated.qfedfisher import qfedfisher
from fedket.federated.scaffold import scaffold
from fedket.federated.sequential import sequential_engine
from fedket.federated.strategies import fed_adam, fed_avg
from fedket.models.classical import mlp
from tests.federated.problems import SIZES, blobs, run_rounds, small_federation

MODEL = mlp(4, 2, (5,))
SHAPES = jax.eval_shape(lambda: MODEL.init(jax.random.key(0)))
HEAD, BODY = 5 * 2 + 2, 4 * 5 + 5


def personal(strategy, *paths):
    return personal_layers(strategy, paths, SHAPES)


@pytest.mark.parametrize(
    ("paths", "shared"),
    [(("linear1",), BODY), (("linear0",), HEAD), (("linear0.bias", "linear1.bias"), 4 * 5 + 5 * 2)],
)
def test_personal_layers_are_in_no_message_and_stay_in_the_global_model(paths, shared):
    federation = small_federation(strategy=personal(fed_adam(), *paths))
    before = federation.init()
    after, record = federation.run_round(before)
    assert record.upload_bytes == record.download_bytes == 4 * shared * len(SIZES)
    assert record.test_accuracy is None
    moved = jax.tree_util.tree_map_with_path(
        lambda path, old, new: (
            jax.tree_util.keystr(path, simple=True, separator=".").startswith(paths),
            bool((old != new).any()),
        ),
        before.params,
        after.params,
    )
    pairs = jax.tree.leaves(moved, is_leaf=lambda node: isinstance(node, tuple))
    assert {own for own, changed in pairs if changed} == {False}
    assert len(jax.tree.leaves(after.clients.memory.own)) == sum(own for own, _ in pairs)


STRATEGIES = {"scaffold": scaffold(5), "qfedfisher": qfedfisher(0.1)}


@pytest.mark.parametrize("name", STRATEGIES)
def test_engines_agree_on_personal_layers_of_any_strategy(name):
    strategy = personal(STRATEGIES[name], "linear1")
    options = {"strategy": strategy, "clients_per_round": 3}
    fast, records = run_rounds(small_federation(**options), 2)
    slow, others = run_rounds(small_federation(**options, engine=sequential_engine), 2)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), fast, slow)
    assert [r.client_accuracy for r in records] == [r.client_accuracy for r in others]


def test_a_client_alone_with_a_personal_head_trains_as_in_fed_avg():
    """With one client nobody else has a say in anything, shared or not."""
    training = LocalTraining(optax.adam(0.05), 1, 8, persistent=True)
    options = {"training": training, "sizes": (20,)}
    own = run_rounds(small_federation(strategy=personal(fed_avg(), "linear1"), **options), 3)[0]
    all_shared = run_rounds(small_federation(**options), 3)[0].params
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5)  # noqa: E731
    jax.tree.map(close, own.params["linear0"], all_shared["linear0"])
    for part in ("kernel", "bias"):
        close(own.clients.memory.own[f"linear1.{part}"][0], all_shared["linear1"][part])


@pytest.mark.parametrize("strategy", [personal(fed_avg(), "linear1"), ditto()])
def test_clients_own_models_are_evaluated_on_their_samples(strategy):
    dataset, partition = blobs()
    federation = small_federation(strategy=strategy, eval_clients="all")
    state, records = run_rounds(federation, 2)
    expected = []
    for client, rows in enumerate(partition):
        memory = jax.tree.map(lambda leaf, client=client: leaf[client], state.clients.memory)
        sent = strategy.broadcast(state.server, state.params)
        params = strategy.memory.personal(sent, memory)
        logits = MODEL.apply(params, jax.numpy.asarray(dataset.x_train[rows]))
        expected.append(np.mean(logits.argmax(axis=1) == dataset.y_train[rows]))
    np.testing.assert_allclose(records[-1].client_accuracy, expected, atol=1e-6)


def test_a_run_with_personal_layers_goes_on_from_its_checkpoint(tmp_path):
    federation = small_federation(strategy=personal(scaffold(5), "linear0"), clients_per_round=3)
    state, _ = run_rounds(federation, 2)
    save_checkpoint(tmp_path / "c", state, "hash")
    resumed = load_checkpoint(tmp_path / "c", federation.init(), "hash")
    ahead, resumed = federation.run_round(state)[0], federation.run_round(resumed)[0]
    jax.tree.map(np.testing.assert_array_equal, ahead, resumed)


@pytest.mark.parametrize(
    ("strategy", "paths", "problem"),
    [
        (fed_avg(), ("head",), "no parameters `head`; it has linear0.bias, linear0.kernel"),
        (fed_avg(), ("linear0", "linear1"), "nothing is shared"),
        (ditto(), ("linear1",), "whole models"),
    ],
)
def test_what_cannot_stay_at_clients_is_said_in_one_line(strategy, paths, problem):
    with pytest.raises(ConfigError, match=problem):
        personal(strategy, *paths)
