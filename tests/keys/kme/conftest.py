"""One network for all tests of a process; each begins without faults and with full pools."""

from collections.abc import Iterator

import pytest
from kme_network import World, make_pki, serve


@pytest.fixture(scope="session")
def pki(tmp_path_factory):
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="session")
def served(pki) -> Iterator[World]:
    with serve(pki, max_sae_id_count=1, initial_keys=100_000) as world:
        yield world


@pytest.fixture
def world(served) -> Iterator[World]:
    served.inject()
    yield served
    served.inject()
