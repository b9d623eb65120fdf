"""The key source that an experiment names: opened for a run if its aggregation takes key."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from fedket.experiment.aggregation import first_context, protocol_of
from fedket.experiment.build import build
from fedket.experiment.config import ExperimentConfig
from fedket.types import KeySource


def takes_key(config: ExperimentConfig) -> bool:
    """Whether the aggregation of an experiment masks anything."""
    protocol = protocol_of(config)
    return protocol is not None and protocol.takes_key


@contextmanager
def open_keys(config: ExperimentConfig) -> Iterator[KeySource | None]:
    """Open the key source of an experiment, or None if it masks nothing.

    Raises:
        ConfigError: The source does not suit the experiment.
        KeyMaterialError: A pad store is in use, damaged or another party's; a certificate is bad.
    """
    if not takes_key(config):
        yield None
        return
    with build(config.keys, first_context(config), AbstractContextManager) as source:  # type: ignore[type-abstract]
        yield source
