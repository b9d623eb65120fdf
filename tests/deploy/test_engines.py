"""Deployment engines: chosen by name, and each named by its own room alone."""

from pathlib import Path

import pytest

import fedket
from fedket.deploy import engines
from fedket.deploy.engines import ENGINES, DeploymentEngine, engine_of_kind
from fedket.errors import ConfigError

ROOM = Path(fedket.__file__).parent
OWN_PACKAGES = {"flare": "nvflare"}


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_of_the_table_says_what_a_deployment_asks(kind):
    engine = engine_of_kind(kind)
    assert isinstance(engine, DeploymentEngine)
    assert engine.title
    assert engine.extra


def test_another_kind_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match=r'"sequential" does not run on sites; use one of: flare'):
        engine_of_kind("sequential")


@pytest.mark.parametrize("kind", ENGINES)
def test_only_an_engines_own_room_imports_it_or_its_package(kind):
    own = Path(engines.__file__).parent / kind
    words = (OWN_PACKAGES[kind], f"engines.{kind}")
    found = {
        str(path.relative_to(ROOM))
        for path in ROOM.rglob("*.py")
        if own not in path.parents and any(word in path.read_text() for word in words)
    }
    assert found == {"deploy/engines/__init__.py"}
