"""What a run records of its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.federated.gradients import make_gradient_meter
from fedket.federated.losses import cross_entropy
from fedket.models.hybrid import hybrid
from fedket.quantum.ansatz import chen_yoo
from tests.federated.problems import blobs, run_rounds, small_federation

MODEL = hybrid(4, chen_yoo(2, 3), 2)


@pytest.mark.parametrize("batch", [7, 64])
def test_each_layers_gradient_is_that_of_the_mean_loss_whatever_the_batch(batch):
    dataset, _ = blobs()
    x, y = jnp.asarray(dataset.x_test), jnp.asarray(dataset.y_test)
    params = MODEL.init(jax.random.key(1))
    gradient = jax.grad(lambda w: cross_entropy(MODEL.apply(w, x), y).mean())(params)
    expected = {f"circuit.{number}": layer for number, layer in enumerate(gradient["circuit"])}
    expected |= {f"head.linear0.{name}": of for name, of in gradient["head"]["linear0"].items()}
    found = make_gradient_meter(MODEL, cross_entropy, x, y, batch)(params)
    assert found.keys() == expected.keys()
    for name, entries in expected.items():
        assert found[name].norm == pytest.approx(float(np.linalg.norm(entries)), rel=1e-5)
        assert found[name].variance == pytest.approx(float(np.var(entries)), rel=1e-4)


def test_gradients_are_recorded_on_request_and_change_nothing_else():
    with_, (record,) = run_rounds(small_federation(gradients=True), 1)
    without, (bare,) = run_rounds(small_federation(), 1)
    assert bare.gradients == {}
    assert record.model_copy(update={"gradients": {}, "seconds": bare.seconds}) == bare
    assert all(layer.norm > 0 for layer in record.gradients.values())
    jax.tree.map(np.testing.assert_array_equal, with_.params, without.params)
