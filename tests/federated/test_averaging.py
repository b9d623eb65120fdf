"""The average is that of the models the rounds went through, and changes none of them."""

import jax
import numpy as np
import pytest

from fedket.errors import ConfigError
from fedket.federated.averaging import averaged
from fedket.federated.strategies import fed_adam
from tests.compilations import run_as_users_do
from tests.federated.problems import small_federation

ROUNDS = 5


SAME_PATH = """
import jax, numpy as np
from fedket.federated.averaging import averaged
from fedket.federated.strategies import fed_adam
from tests.federated.problems import run_rounds, small_federation

def model(strategy):
    state, _ = run_rounds(small_federation(strategy=strategy), 5)
    return state.params

path = model(fed_adam(0.1))
for kept in ({"rounds": 3}, {"decay": 0.6}):
    jax.tree.map(np.testing.assert_array_equal, model(averaged(fed_adam(0.1), **kept)), path)
print("same")
"""


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


@pytest.mark.parametrize("kept", [{"rounds": 3}, {"decay": 0.6}])
def test_it_is_the_mean_of_the_path(kept):
    strategy = averaged(fed_adam(0.1), **kept)
    federation = small_federation(strategy=strategy)
    state, path, records = federation.init(), [], []
    for _ in range(ROUNDS):
        state, record = federation.run_round(state)
        path.append(flat(state.params))
        records.append(record)
    expected = np.mean(path[-3:], axis=0)
    if "decay" in kept:
        expected = path[0]
        for number, model in enumerate(path[1:], start=1):
            share = min(0.6, number / (number + 1))
            expected = share * expected + (1 - share) * model
    np.testing.assert_allclose(flat(strategy.average(state.server)), expected, atol=1e-6)
    assert 0 <= records[-1].metrics["averaged_test_accuracy"] <= 1
    assert records[0].metrics["averaged_test_loss"] == pytest.approx(records[0].test_loss, abs=1e-5)


@pytest.mark.long
def test_it_changes_no_bit_of_the_path():
    assert run_as_users_do(SAME_PATH) == "same\n"


def test_a_mean_is_of_one_kind():
    for wrong in ({}, {"decay": 0.5, "rounds": 3}):
        with pytest.raises(ConfigError, match="either `decay` or `rounds`"):
            averaged(fed_adam(0.1), **wrong)
