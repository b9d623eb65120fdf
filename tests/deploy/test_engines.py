"""Deployment engines: chosen by name, and each named by its own room alone."""

from pathlib import Path

import pytest

import fedket
from fedket.deploy import engines
from fedket.deploy.engines import DeploymentEngine
from fedket.deploy.engines.kind import SitesConfig, deployment_of
from fedket.errors import ConfigError, UserCodeError
from fedket.kinds import BUILT_IN
from fedket.section import find_section

ROOM = Path(fedket.__file__).parent
OWN_PACKAGES = {"flare": "nvflare", "flower": "flwr"}
SECTIONS = {kind: find_section("engine", kind, Path()) for kind in BUILT_IN["engine"]}
ENGINES = [kind for kind, section in SECTIONS.items() if issubclass(section, SitesConfig)]


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_of_the_table_says_what_a_deployment_asks(kind):
    engine = deployment_of(SECTIONS[kind]())
    assert isinstance(engine, DeploymentEngine)
    assert engine.title
    assert engine.extra


def test_another_kind_is_refused_with_the_names_there_are():
    with pytest.raises(ConfigError, match=r'"sequential" does not run on sites; use "flare"'):
        deployment_of(SECTIONS["sequential"]())


@pytest.mark.parametrize("kind", ENGINES)
def test_only_an_engines_own_room_imports_it_or_its_package(kind):
    own = Path(engines.__file__).parent / kind
    package = OWN_PACKAGES[kind]
    words = (f"import {package}", f"from {package}", f"engines.{kind}")
    found = {
        str(path.relative_to(ROOM))
        for path in ROOM.rglob("*.py")
        if own not in path.parents and any(word in path.read_text() for word in words)
    }
    assert found == {"kinds.py"}


def test_an_engine_of_ones_own_without_a_deployment_says_what_to_define():
    class Half(SitesConfig):
        kind: str = "half.py:Half"

    with pytest.raises(UserCodeError, match=r"Half has no `deployment\(self\)`; define one"):
        deployment_of(Half())
