"""Every number that a configuration takes, at its extremes: meant, or refused in a line."""

import json
import math
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError

from fedket.errors import ConfigError, FedketError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import load_config, parse_config
from fedket.kinds import BUILT_IN
from fedket.schema import inner_tables
from fedket.section import find_section


def tables(prefix, model):
    """Every table of an experiment that is no kind, and what it is called."""
    yield prefix, model
    for name, inner in inner_tables(model):
        yield from tables(f"{prefix}{name}.", inner)


SECTIONS = [
    (f"{group}.{name}.", find_section(group, name, Path()))
    for group, names in BUILT_IN.items()
    if group not in ("circuit", "loss")
    for name in names
]
FIELDS = [
    (prefix + name, field)
    for prefix, section in [*SECTIONS, *tables("", ExperimentConfig)]
    for name, field in section.model_fields.items()
]


def takes(field, value):
    """Whether a field takes a value, or a list of it."""
    adapter = TypeAdapter(Annotated[field.annotation, field], config=ConfigDict(strict=True))
    for given in (value, [value], [value, value]):
        try:
            adapter.validate_json(json.dumps(given))
        except (ValidationError, ConfigError):
            continue
        return True
    return False


def numeric(field):
    return any(word in str(field.annotation) for word in ("int", "float"))


NUMBERS = [(name, field) for name, field in FIELDS if numeric(field)]


def test_no_number_may_be_none_or_infinite():
    assert len(NUMBERS) > 100
    wrong = [
        (name, value)
        for name, field in NUMBERS
        for value in (math.nan, math.inf, -math.inf)
        if takes(field, value)
    ]
    assert wrong == []


def test_every_whole_number_fits_32_bits():
    wrong = [
        (name, value)
        for name, field in NUMBERS
        for value in (2**62, -(2**62))
        if not takes(field, 0.25) and not takes(field, 2.5) and takes(field, value)
    ]
    assert wrong == []


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1.0", "1e999", "true", '"much"', "[]"])
@pytest.mark.parametrize(
    "key",
    [
        "optimizer.learning_rate",
        "training.batch_size",
        "training.epochs",
        "partition.alpha",
        "model.num_qubits",
        "model.logit_scale",
        "federation.rounds",
        "seed",
    ],
)
def test_a_number_that_is_none_is_named_in_one_line(key, value, repository):
    with pytest.raises(FedketError, match=key.rpartition(".")[2]) as error:
        load_config(repository / "experiments/quickstart.toml", [f"{key}={value}"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["learning_rate", "epsilon"])
def test_smallest_and_largest_numbers_arrive_as_they_are_written(name):
    for value in (5e-324, 0.999):
        config = parse_config({"name": "edge", "optimizer": {"kind": "adam", name: value}})
        assert getattr(config.optimizer, name) == value
