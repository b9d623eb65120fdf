"""Where there are no compiled kernels, the cores share the batches of a single client."""

import pytest

from tests.compilations import run_as_users_do

COMPARE = """
import jax, numpy as np, optax
from fedket.federated import sharded
from fedket.federated.ditto import ditto
from fedket.federated.federation import make_federation
from fedket.federated.local import LocalTraining
from fedket.federated.sharded import cores_engine, split_cpu
from fedket.federated.vectorised import vectorised_engine
split_cpu(2)
from fedket.models.vqc import vqc
from fedket.quantum import ansatz
from fedket.secure import quantised_sum
from fedket.types import Dataset

rng = np.random.default_rng(0)
x, y = rng.normal(size=(22, 4)).astype(np.float32), rng.integers(0, 3, 22).astype(np.int32)
made, sharded.SHORT_ROUND = [], 0
sharded.vectorised_engine = lambda *rest: made.append(rest[-1]) or vectorised_engine(*rest)
circuit = vqc(ansatz.qfedfisher(4, 2), 3)

def federation(engine, model, clients, batch_size, reducer=None):
    training = LocalTraining(optax.sgd(0.3), epochs=2, batch_size=batch_size)
    partition = np.array_split(np.arange(22), clients)
    dataset = Dataset("d", x, y, x, y, 3)
    return make_federation(
        model, dataset, partition, ditto(0.7), training, engine=engine, reducer=reducer
    )

def axes(*case):
    federation(cores_engine, *case)
    return made[-1] and dict(made[-1].shape)

def trained(engine, reducer):
    whole = federation(engine, circuit, 1, 8, reducer)  # the last of three batches holds 6 samples
    state = whole.init()
    for _ in range(2):  # from the second on the client's own model is pulled to another one
        state, record = whole.run_round(state)
    return state.params, state.clients, record.train_loss

print(axes(circuit, 1, 8))
print(axes(circuit, 1, 7))
print(axes(circuit, 3, 8))
print(axes(circuit._replace(plain_network=lambda _: None), 1, 8))
print(axes(circuit._replace(noise="drawn"), 1, 8))
for reducer in (None, quantised_sum(32, "safe", 4.0)) if made[0] else ():
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
                 trained(cores_engine, reducer), trained(vectorised_engine, reducer))
"""


def test_each_core_takes_its_part_and_results_are_the_same(monkeypatch):
    monkeypatch.setenv("FEDKET_NATIVE", "0")
    split, dealt, alone = "{'batch': 2}", "{'clients': 2}", "None"
    assert run_as_users_do(COMPARE).split() == f"{split} {alone} {dealt} {alone} {alone}".split()


def test_compiled_kernels_share_a_batch_themselves():
    pytest.importorskip("fedket_native")
    assert run_as_users_do(COMPARE).split("\n")[:3] == ["None", "None", "{'clients': 2}"]
