"""What a program is compiled for, and what is an argument of it."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.tree_util import Partial

from fedket.federated.ditto import ditto
from fedket.federated.fed_dyn import fed_dyn
from fedket.federated.fed_nova import fed_nova
from fedket.federated.federation import make_federation
from fedket.federated.fisher import FisherSettings
from fedket.federated.local import LocalTraining
from fedket.federated.personal import personal_layers
from fedket.federated.program import Program, tunable
from fedket.federated.qfedfisher import qfedfisher
from fedket.federated.scaffold import scaffold
from fedket.federated.sequential import sequential_engine
from fedket.federated.strategies import (
    fed_adagrad,
    fed_adam,
    fed_avg,
    fed_avg_m,
    fed_opt,
    fed_prox,
    fed_yogi,
)
from fedket.federated.vectorised import vectorised_engine
from fedket.kinds import BUILT_IN
from fedket.models.classical import mlp
from fedket.secure import quantised_sum
from tests.compilations import compiled_programs
from tests.federated.problems import blobs, run_rounds

MODEL = mlp(4, 2, (5,))
SHAPES = jax.eval_shape(lambda: MODEL.init(jax.random.key(0)))

STRATEGIES = {
    "fed_avg": lambda number: fed_avg(),
    "fed_avg_m": lambda number: fed_avg_m(number, 0.5 + number),
    "fed_prox": lambda number: fed_prox(number),
    "fed_adagrad": lambda number: fed_adagrad(number, 0.5 + number, number / 100),
    "fed_adam": lambda number: fed_adam(number, 0.5 + number, 0.6 + number, number / 100),
    "fed_yogi": lambda number: fed_yogi(number, 0.5 + number, 0.6 + number, number / 100),
    "scaffold": lambda number: scaffold(5, number, 1 + number),
    "fed_nova": lambda number: fed_nova(number, 24),
    "ditto": lambda number: ditto(number),
    "fed_dyn": lambda number: fed_dyn(5, number),
    "personal": lambda number: personal_layers(scaffold(5, number), ("linear0",), SHAPES),
    "qfedfisher": lambda number: qfedfisher(number),
    "qfedfisher_literal": lambda number: qfedfisher(number, "both", FisherSettings("literal")),
    "fed_opt": lambda number: fed_opt(tunable(optax.sgd, number)),
}
"""Every strategy as a function of a number between 0.1 and 0.3."""
FEW = ("fed_adam", "qfedfisher", "scaffold")


def test_every_built_in_strategy_compiles_once_by_the_laws_here():
    assert set(BUILT_IN["strategy"]) <= set(STRATEGIES)


def federation(strategy, number=0.1, seed=0, sizes=(7, 19, 3, 12, 30), **options):
    """A federation of new objects, as a new run would make them."""
    dataset, partition = blobs(seed, sizes=sizes)
    training = LocalTraining(tunable(optax.adam, number), 2, 8)
    return make_federation(
        mlp(4, 2, (5,)), dataset, partition, STRATEGIES[strategy](number), training, seed=seed,
        **options,
    )  # fmt: skip


def reducer(quantised):
    return quantised_sum(16, "headroom", 1.0) if quantised else None


@pytest.mark.parametrize("quantised", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_compiles_after_the_first_round(strategy, quantised):
    made = federation(strategy, reducer=reducer(quantised), clients_per_round=3)
    state, _ = run_rounds(made, 1)
    with compiled_programs() as programs:
        for _ in range(3):
            state, _ = made.run_round(state)
    assert programs == []


@pytest.mark.parametrize(
    ("strategy", "engine", "quantised"),
    [
        *((name, vectorised_engine, False) for name in STRATEGIES),
        *((name, vectorised_engine, True) for name in FEW),
        *(
            pytest.param(name, vectorised_engine, True, marks=pytest.mark.long)
            for name in STRATEGIES
            if name not in FEW
        ),
        ("fed_adam", sequential_engine, True),
    ],
)
def test_another_seed_number_or_partition_compiles_nothing(strategy, engine, quantised):
    options = {"reducer": reducer(quantised), "engine": engine, "clients_per_round": 3}
    run_rounds(federation(strategy, **options), 1)
    with compiled_programs() as programs:
        run_rounds(federation(strategy, 0.2, 5, (9, 22, 5, 12, 23), **options), 1)
    assert programs == []


@pytest.mark.parametrize(
    "strategy",
    ["qfedfisher", *(pytest.param(s, marks=pytest.mark.long) for s in ("fed_prox", "fed_adam"))],
)
def test_shared_programs_change_no_weight(strategy):
    """What another federation compiled gives the weights that a program of its own gives."""
    run_rounds(federation(strategy, 0.1), 1)
    shared, _ = run_rounds(federation(strategy, 0.3, 2), 2)
    jax.clear_caches()
    own, _ = run_rounds(federation(strategy, 0.3, 2), 2)
    jax.tree.map(np.testing.assert_array_equal, shared, own)


def test_a_persistent_optimiser_keeps_its_states_between_rounds_without_compiling():
    dataset, partition = blobs()
    training = LocalTraining(optax.adam(0.05), persistent=True)
    made = make_federation(MODEL, dataset, partition, fed_adam(), training)
    state, _ = run_rounds(made, 1)
    with compiled_programs() as programs:
        made.run_round(state)
    assert programs == []


def scaled(factor, shift=0.0):
    """A user's own factory, whose function closes over its numbers."""

    def apply(x):
        return factor * x + shift

    return apply


def call(function, x):
    return function(x)


def test_functions_of_one_factory_and_equal_numbers_are_one_program():
    Program(call, scaled(2.0))(jnp.ones(7))
    with compiled_programs() as programs:
        Program(call, scaled(2.0))(jnp.zeros(7))
    assert programs == []


@given(factor=st.floats(-4, 4, width=32), shift=st.sampled_from([0.0, -0.0, 1.0]))
def test_a_number_is_never_taken_for_another(factor, shift):
    """Closed over, in a partial, or bound: the result is that of the plain function."""
    x = jnp.array([1.0, -2.0, 0.5], jnp.float32)
    expected = np.asarray(scaled(factor, shift)(x))
    plus = lambda a, b, x: a * x + b  # noqa: E731
    for bound in (
        scaled(factor, shift),
        partial(plus, factor, shift),
        Partial(plus, factor, shift),
    ):
        np.testing.assert_array_equal(Program(call, bound)(x), expected)


def test_integers_words_and_types_choose_the_program():
    def shape(bound, x):
        return jnp.full(bound["size"], x) if bound["how"] == "full" else x

    for size, how, expected in [(2, "full", (2,)), (3, "full", (3,)), (3, "bare", ())]:
        assert Program(shape, {"size": size, "how": how})(1.0).shape == expected
    assert Program(call, Partial(lambda kind, x: x + (kind is True), True))(1.0) == 2
    assert Program(call, Partial(lambda kind, x: x + (kind is True), 1))(1.0) == 1


def test_a_function_that_calls_itself_can_be_bound():
    def factory(factor):
        def power(n, x):
            return x if n == 0 else factor * power(n - 1, x)

        return power

    def cube(function, x):
        return function(3, x)

    assert Program(cube, factory(2.0))(1.0) == 8
    with compiled_programs() as programs:
        assert Program(cube, factory(2.0))(3.0) == 24
    assert programs == []
    assert Program(cube, factory(3.0))(1.0) == 27


def test_compiling_ahead_gives_the_same_and_takes_other_numbers():
    program = Program(call, Partial(lambda a, x: a * x, 3.0))
    assert program.compile(jnp.ones(2))(jnp.full(2, 2.0)).tolist() == [6.0, 6.0]


@pytest.mark.parametrize("make", [optax.adam, optax.sgd, optax.adamw, optax.rmsprop])
def test_a_tunable_optimiser_steps_as_its_original(make):
    params = {"w": jnp.arange(3.0)}
    original, tuned = make(0.1), tunable(make, 0.1)
    update = Program(lambda optimizer, *given: optimizer.update(*given), tuned)
    state, other = original.init(params), tuned.init(params)
    for grads in ({"w": jnp.array([1.0, -2.0, 0.3])}, {"w": jnp.array([0.1, 0.2, -5.0])}):
        expected, state = original.update(grads, state, params)
        found, other = update(grads, other, params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)


SWEEP = """
import sys
import jax
import numpy as np
import optax
from pathlib import Path

import fedket as fk
from fedket.experiment.build import build_experiment
from fedket.experiment.load import load_config
from fedket.experiment.shipped import find_experiment
from tests.compilations import compiled_programs

def from_toml(seed):
    overrides = [f"seed={seed}", f"optimizer.learning_rate=0.0{1 + seed}"]
    overrides += [f"strategy.learning_rate=0.1{seed}"]
    return build_experiment(load_config(find_experiment(Path("quickstart")), overrides)).federation

def from_python(seed):
    dataset = fk.load_dataset("digits")
    rng = np.random.default_rng(seed)
    partition = fk.dirichlet(
        dataset.y_train, num_clients=20, alpha=0.5, rng=rng, min_samples=5
    )
    model = fk.vqc(fk.ansatz.qfedfisher(6, 2), dataset.num_classes)
    training = fk.LocalTraining(optax.adam(0.02), epochs=2)
    strategy = fk.fed_adam(0.1 + seed / 100)
    return fk.make_federation(model, dataset, partition, strategy, training, seed=seed)

make = {"toml": from_toml, "python": from_python}[sys.argv[1]]
counts = []
for seed in range(10):
    with compiled_programs() as programs:
        federation = make(seed)
        federation.run_round(federation.init())
    counts.append(len(programs))
assert counts[0] > 0, counts
print(counts[1:])
"""


@pytest.mark.parametrize("way", ["toml", pytest.param("python", marks=pytest.mark.long)])
def test_a_sweep_over_ten_seeds_of_the_quickstart_compiles_once(way, repository):
    """Everything is made anew for each seed, in a process that does not check shapes."""
    result = subprocess.run(
        [sys.executable, "-c", SWEEP, way],
        capture_output=True,
        text=True,
        check=False,
        cwd=repository,
    )
    assert result.stdout == f"{[0] * 9}\n", result.stderr[-2000:]
