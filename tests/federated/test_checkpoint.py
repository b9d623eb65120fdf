"""A state on disk comes back bit for bit, or not at all."""

import jax
import numpy as np
import optax
import pytest

from fedket.errors import CheckpointError
from fedket.federated.checkpoint import load_checkpoint, params_sha256, save_checkpoint
from fedket.federated.local import LocalTraining
from fedket.federated.scaffold import scaffold
from fedket.federated.strategies import fed_adam
from tests.federated.problems import run_rounds, small_federation


@pytest.fixture(scope="module", params=[fed_adam(), scaffold(5)], ids=["fed_adam", "scaffold"])
def trained(request):
    training = LocalTraining(optax.adam(0.05), persistent=True)
    federation = small_federation(strategy=request.param, training=training)
    return federation, run_rounds(federation, 2)[0]


def test_a_state_survives_the_disk_bit_for_bit(trained, tmp_path):
    federation, state = trained
    save_checkpoint(tmp_path / "c", state, "hash")
    loaded = load_checkpoint(tmp_path / "c", federation.init(), "hash")
    assert jax.tree.structure(loaded) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, loaded, state)
    assert params_sha256(loaded.params) == params_sha256(state.params)


def test_continuing_from_disk_equals_never_having_stopped(trained, tmp_path):
    federation, state = trained
    save_checkpoint(tmp_path / "c", state, "hash")
    resumed = load_checkpoint(tmp_path / "c", federation.init(), "hash")
    ahead, resumed = federation.run_round(state)[0], federation.run_round(resumed)[0]
    jax.tree.map(np.testing.assert_array_equal, ahead, resumed)


def test_every_truncation_is_a_clear_error(trained, tmp_path):
    federation, state = trained
    path = tmp_path / "c"
    save_checkpoint(path, state, "hash")
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="damaged"):
            load_checkpoint(path, federation.init(), "hash")


def test_a_checkpoint_of_another_experiment_is_refused(trained, tmp_path):
    federation, state = trained
    save_checkpoint(tmp_path / "c", state, "hash")
    with pytest.raises(CheckpointError, match="another configuration"):
        load_checkpoint(tmp_path / "c", federation.init(), "other")
    other = small_federation(strategy=fed_adam(), sizes=(5, 6))
    with pytest.raises(CheckpointError, match="should be"):
        load_checkpoint(
            tmp_path / "c",
            other.init()._replace(params={"new": np.zeros(3, np.float32)}),
            "hash",
        )
