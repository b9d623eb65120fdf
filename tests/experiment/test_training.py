"""Local training as an experiment asks for it: schedule, clip, weights, optimiser, loss."""

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from fedket.errors import CheckpointError, ConfigError
from fedket.experiment.load import parse_config
from fedket.experiment.reference import entry_of
from fedket.experiment.run import resume_run, start_run
from tests.experiment.tiny import values_of

ALL = (
    "schedule={kind='cosine', warmup_rounds=1, rounds=4}",
    "training={batch_size=8, clip_norm=0.5, class_weights='balanced', loss='optax:huber_loss'}",
    "optimizer={kind='optax:adamw', weight_decay=0.01}",
    "federation.averaging={decay=0.5}",
)


def weights_of(run, name="model"):
    return load_file(run.directory / f"{name}.safetensors")


def test_engines_agree_and_a_run_goes_on_as_if_it_had_not_ended(tiny, tmp_path):
    runs = [
        start_run(tiny(*ALL, f"engine.kind={kind}"), output=tmp_path / kind)
        for kind in ("vectorised", "sequential")
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *map(weights_of, runs))
    start_run(tiny(*ALL, "federation.rounds=1"), output=tmp_path / "short")
    longer = resume_run(tmp_path / "short", config=tiny(*ALL))
    for name in ("model", "averaged"):
        found = weights_of(longer, name), weights_of(runs[0], name)
        jax.tree.map(np.testing.assert_array_equal, *found)


def test_a_schedule_as_long_as_the_run_is_another_one_in_a_longer_run(tiny, tmp_path):
    start_run(tiny("schedule.kind=cosine"), output=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"`federation\.rounds` is 3 there, 5 here"):
        resume_run(tmp_path / "run", config=tiny("schedule.kind=cosine", "federation.rounds=5"))


def test_balanced_classes_of_a_balanced_data_set_weigh_one(tiny, tmp_path):
    plain = start_run(tiny(), output=tmp_path / "plain")
    balanced = start_run(tiny("training.class_weights='balanced'"), output=tmp_path / "balanced")
    halved = start_run(tiny("training.class_weights=[1.0, 0.5, 0.5]"), output=tmp_path / "halved")
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        *map(weights_of, (plain, balanced)),
    )
    assert any((weights_of(plain)[n] != a).any() for n, a in weights_of(halved).items())


def test_an_optimiser_of_optax_shows_its_arguments_as_keys():
    keys = {key.name: key.default for key in entry_of("optimizer.optax:adamw").keys}
    assert keys["b1"] == "0.9"
    assert keys["weight_decay"] == "0.0001"
    assert not {"mask", "mu_dtype"} & keys.keys()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.class_weights=[1.0, 2.0]", "has 2 numbers, the data 3 classes"),
        ("training.clip_norm=0.0", "greater than 0"),
        ("optimizer={kind='optax:adamx'}", "optax has no optimiser `adamx`; did you mean `adam"),
        ("optimizer={kind='optax:adamw', b11=0.5}", "b11"),
        ("training.loss='optax:hinge'", "optax has no loss `hinge`"),
        ("schedule={kind='step'}", "every"),
    ],
)
def test_what_does_not_fit_is_told(blobs, tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        start_run(parse_config(values_of(blobs, override)), output=tmp_path / "run")
