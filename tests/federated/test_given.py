"""Misuse in Python: one line that says what to do, from one place, before anything compiles."""

import inspect

import numpy as np
import optax
import pytest

import fedket as fk
from fedket.errors import FedketError
from tests.federated.problems import blobs

MAKE = inspect.unwrap(fk.make_federation)  # the suite checks types and shapes of its own
DATASET, PARTITION = blobs()
TRAINING = fk.LocalTraining(optax.sgd(0.1))
GIVEN = {
    "model": fk.mlp(4, 2, (3,)),
    "dataset": DATASET,
    "partition": PARTITION,
    "strategy": fk.fed_avg(),
    "training": TRAINING,
}
WITH_NAN = DATASET.x_train.copy()
WITH_NAN[17, 2] = np.nan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": fk.mlp}, "`model` is the function `mlp` itself; call it"),
        (
            {"strategy": fk.fed_avg},
            r"`strategy` is the function `fed_avg` itself; .*fk\.fed_avg\(\)",
        ),
        ({"strategy": "fed_avg"}, "`strategy` is 'fed_avg'; it should be a Strategy"),
        ({"dataset": (1, 2)}, r"`dataset` is a tuple; it should be a Dataset: fk\.load_dataset"),
        ({"training": optax.sgd(0.1)}, "`training` is a GradientTransformation.*fk.LocalTraining"),
        ({"training": fk.LocalTraining("adam")}, r"`training\.optimizer` is 'adam'; .*optax\.adam"),
        ({"training": fk.LocalTraining(optax.adam)}, r"optimizer` is the function `adam` itself"),
        ({"training": TRAINING._replace(batch_size=0)}, r"`training\.batch_size` .* from 1, got 0"),
        ({"training": TRAINING._replace(epochs=0.5)}, r"`training\.epochs` .* from 1, got 0\.5"),
        ({"training": TRAINING._replace(loss="mse")}, r"`training\.loss` is 'mse'"),
        ({"engine": "fast"}, r"`engine` is 'fast'; it should be fk\.vectorised_engine"),
        ({"reducer": "masked"}, "`reducer` is 'masked'"),
        ({"graph": [(0, 1)]}, r"`graph` is a list; make one: fk\.make_topology"),
        ({"seed": -1}, "`seed` should be a whole number from 0, got -1"),
        ({"clients_per_round": 99}, "clients_per_round is 99, there are 5 clients"),
        ({"memory_limit_mb": 0}, "`memory_limit_mb` should be a whole number from 1"),
        ({"dtype": "float16"}, "`dtype` is 'float16'; it should be float32 or float64"),
        ({"dtype": "float64"}, "first say jax.config.update"),
        ({"partition": 5}, r"`partition` is 5; make one: fk\.iid"),
        ({"partition": []}, "the partition has no clients"),
        ({"partition": [np.arange(3), np.arange(2, 5)]}, "sample 2 is held 2 times"),
        ({"partition": [np.array([70, 71])]}, "indices run from 70 to 71; the data has 71"),
        ({"partition": [np.array([0.5])]}, "one-dimensional integer array"),
        ({"dataset": DATASET._replace(x_train=WITH_NAN)}, r"x_train\[17\] holds NaN"),
        (
            {"dataset": DATASET._replace(y_train=DATASET.y_train + 1)},
            "y_train holds the label 2, num_",
        ),
        ({"dataset": DATASET._replace(y_test=DATASET.y_test - 1)}, "y_test holds the label -1"),
        (
            {"dataset": DATASET._replace(y_train=DATASET.y_train[:-1])},
            r"y_train \(70,\); they should",
        ),
        (
            {"dataset": DATASET._replace(x_test=DATASET.x_test[:, :3])},
            "x_test has samples of shape",
        ),
        ({"model": fk.mlp(4, 3, (3,))}, "the model has 3 outputs, the data 2 classes"),
        ({"model": fk.mlp(5, 2, (3,))}, r"does not take samples of shape \(4,\)"),
    ],
)
def test_what_is_given_wrongly_is_named_in_one_line(change, said):
    given = GIVEN | change
    parts = [given.pop(name) for name in GIVEN]
    with pytest.raises(FedketError, match=said) as error:
        MAKE(*parts, **given)
    assert "\n" not in str(error.value)


def test_what_is_given_rightly_passes_in_any_usual_form():
    shares = [part.tolist()[::-1] for part in PARTITION[:3]]
    MAKE(*(GIVEN | {"partition": shares}).values(), clients_per_round=2)


@pytest.mark.parametrize("encoding", ["amplitud", None])
def test_a_model_names_the_nearest_encoding_and_readout(encoding):
    vqc, circuit = inspect.unwrap(fk.vqc), fk.ansatz.qfedfisher(2, 1)
    with pytest.raises(FedketError, match=r"unknown encoding .*known: amplitude, angle"):
        vqc(circuit, 2, encoding=encoding)
    with pytest.raises(FedketError, match="unknown readout `zz`; did you mean"):
        vqc(circuit, 2, readout="zz")


def test_a_partition_asks_for_a_generator():
    with pytest.raises(
        FedketError, match=r"rng is 0; make a generator: numpy\.random\.default_rng"
    ):
        inspect.unwrap(fk.iid)(10, num_clients=2, rng=0)
