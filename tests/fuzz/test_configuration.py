"""TOML that is damaged, or made by somebody who means harm, is refused in one line."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from fedket.deploy.files import FederationFile, SiteFile
from fedket.experiment.load import dump_config, load_config
from fedket.experiment.rows import split_row
from fedket.experiment.shipped import shipped_experiments
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.kme.config import KmeConfig
from fedket.schema import read_table
from tests.fuzz.garbage import Garbage, refused

SEEDS = st.integers(0, 2**63 - 1)
SHIPPED = tuple(shipped.path for shipped in shipped_experiments())

PARTY = {"experiment": "experiment.toml", "sites": ["ada", "bob"], "saes": ["a", "b", "hub"]}
OWN = {"sae": "sae.toml", "store": "pads"}
IDENTITY = {"ca": "ca.crt", "certificate": "own.crt", "key": "own.key"}
TABLES = {
    FederationFile: PARTY | OWN | {"host": "hub", "run": "run", "phase_s": 30.0},
    SiteFile: PARTY | OWN | {"name": "bob", "client": 1, "data": "samples.npz"},
    SaeConfig: IDENTITY | {"kme_url": "https://kme:8443", "sae_id": "a", "peers": ["b"]},
    KmeConfig: {
        "kme": [IDENTITY | {"id": "kme", "saes": ["a", "b"]}],
        "link": [{"saes": ["a", "b"], "rate_bps": 1000.0}],
        "limits": {"key_size": 256},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def toml_of(values: dict[str, Any]) -> bytes:
    """What TOML can say of such values."""
    return tomli_w.dumps(_sayable(values)).encode("utf-8", "surrogatepass")


def _sayable(value: Any) -> Any:
    match value:
        case None:
            return []
        case bytes():
            return value.hex()
        case list():
            return [_sayable(item) for item in value]
        case dict():
            return {key: _sayable(inner) for key, inner in value.items()}
    return value


def bent_toml(garbage: Garbage, values: dict[str, Any]) -> bytes:
    bent = garbage.bent(values) if garbage.random() < 0.6 else values
    content = toml_of(bent if isinstance(bent, dict) else {"name": bent})
    return content if bent is not values else garbage.content(content)


@given(seed=SEEDS)
def test_experiments(folder, seed):
    garbage, path = Garbage(seed), folder / "experiment.toml"
    file, row = split_row(garbage.choice(SHIPPED))
    path.write_bytes(garbage.content(file.read_bytes()))
    with refused():
        load_config(Path(f"{path}:{row}") if row else path, fast=seed % 2 == 0)


@given(seed=SEEDS)
def test_whole_configurations(folder, seed):
    garbage, path = Garbage(seed), folder / "whole.toml"
    values = load_config(garbage.choice(SHIPPED)).model_dump(mode="json", exclude_none=True)
    path.write_bytes(bent_toml(garbage, values))
    with refused():
        dump_config(load_config(path))


@given(seed=SEEDS)
def test_set_values(folder, seed):
    garbage, path = Garbage(seed), folder / "plain.toml"
    path.write_text('name = "x"\n')
    said = garbage.content(garbage.choice((b"seed=3", b"data.classes=[0, 1]", b"model.kind=vqc")))
    with refused():
        load_config(path, [said.decode("utf-8", "surrogateescape")])


@pytest.mark.parametrize("table", TABLES)
@given(seed=SEEDS)
def test_files_of_parties(folder, table, seed):
    path = folder / f"{table.__name__}.toml"
    path.write_bytes(bent_toml(Garbage(seed), TABLES[table]))
    with refused():
        read_table(path, table)
