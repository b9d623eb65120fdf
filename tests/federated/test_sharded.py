"""Clients dealt to several devices train as on one; in a process that splits its CPU."""

import jax
import pytest

from fedket.errors import ConfigError
from fedket.federated.sharded import split_cpu
from tests.compilations import run_as_users_do

COMPARE = """
import jax, numpy as np, optax
from fedket.federated.federation import make_federation
from fedket.federated.local import LocalTraining
from fedket.federated.placement import Resident, readable_everywhere
from fedket.federated.sharded import split_cpu
from fedket.federated.scaffold import scaffold
from fedket.federated.strategies import fed_adam
from fedket.federated import sharded
from fedket.federated.sharded import cores_engine, sharded_engine
from fedket.federated.vectorised import vectorised_engine
split_cpu(3)
assert jax.device_count() == 3
from fedket.models.classical import mlp
from fedket.secure import quantised_sum
from fedket.types import Dataset

compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, _, fun_name="", **__: compiled.append(fun_name)
    if event == "/jax/core/compile/backend_compile_duration" else None
)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(90, 4)).astype(np.float32), rng.integers(0, 3, 90).astype(np.int32)
sizes = [5, 30, 1, 14, 20, 13, 7]
partition = np.split(np.arange(90), np.cumsum(sizes)[:-1])

def run(engine, clients_per_round, quantised, persistent):
    training = LocalTraining(optax.adam(0.05), epochs=2, batch_size=4, persistent=persistent)
    strategy = scaffold(7) if persistent else fed_adam()
    federation = make_federation(
        mlp(4, 3, (5,)), Dataset("d", x, y, x, y, 3), partition, strategy, training,
        clients_per_round=clients_per_round, engine=engine, seed=1,
        reducer=quantised_sum(16, "safe", 1.0) if quantised else None,
    )
    state = federation.init()
    compiled.clear()
    states = [state]
    for _ in range(3):
        state, record = federation.run_round(state)
        states.append(state)
    again, _ = federation.run_round(states[1])  # not what the last round left on the devices
    jax.tree.map(np.testing.assert_array_equal, again.params, states[2].params)
    assert sum("_train" in name for name in compiled) <= 1, compiled  # programs are shared
    return state, record

def agree(other_engine, clients_per_round, quantised):
    (one, first), (other, second) = (
        run(engine, clients_per_round, quantised, clients_per_round == 4)
        for engine in (vectorised_engine, other_engine)
    )
    close = 0 if quantised else 1e-5
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=close, rtol=0),
                 one.params, other.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=0),
                 one.clients, other.clients)
    assert first.cohort == second.cohort
    return other.params

def devices_of(params):
    return {device.id for leaf in jax.tree.leaves(params) for device in leaf.devices()}

mesh = jax.sharding.Mesh(np.array(jax.devices()), ("clients",))
held = readable_everywhere(mesh, jax.numpy.ones((1000, 4)))
assert len({shard.data.unsafe_buffer_pointer() for shard in held.addressable_shards}) == 1
assert len(held.devices()) == 3

resident, ids = Resident(mesh), np.arange(3, dtype=np.int32)
placed = resident.place({"ids": ids})
assert resident.place({"ids": ids.copy()}) is placed and len(placed["ids"].devices()) == 3
for other in (ids + 1, ids.astype(np.float32)):
    np.testing.assert_array_equal(resident.place({"ids": other})["ids"], other, strict=True)
single, spread = jax.numpy.ones(2), resident.place(np.ones(2, np.float32))
resident.know(single, spread)
assert resident.place(single) is spread
assert resident.place(jax.numpy.ones(2)) is not spread  # equal, but JAX would wait to compare

for clients_per_round, quantised in ((0, False), (2, True), (4, True)):
    agree(sharded_engine, clients_per_round, quantised)
made = []
sharded.vectorised_engine = lambda *rest: made.append(rest[-1]) or vectorised_engine(*rest)
agree(cores_engine, 4, True)  # too short a round for more than one core
sharded.SHORT_ROUND = 0
params = agree(cores_engine, 4, True)
assert [mesh and mesh.devices.size for mesh in made] == [None, 3], made
assert devices_of(params) == {0}, "what follows a round runs once"
print("agree")
"""


def test_sharded_agrees_with_vectorised_to_rounding_and_quantised_bit_for_bit():
    assert run_as_users_do(COMPARE) == "agree\n"


def test_a_cpu_in_use_cannot_be_split_again():
    jax.device_count()
    with pytest.raises(ConfigError, match="start a new one"):
        split_cpu(jax.device_count() + 1)
    split_cpu()
