"""`fedket deploy init`: everything that the parties of a federation need, in one folder.

One FLARE startup kit per party; in each kit, the party's own files in `local/fedket`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from fedket.deploy.files import FEDERATION, SITE, FederationFile, check_deployable
from fedket.deploy.flare.job import write_job
from fedket.deploy.flare.kits import project, provision
from fedket.deploy.flare.place import FOLDER
from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import dump_config
from fedket.experiment.run_directory import config_hash

GUIDE = "OPERATORS.md"


class Layout(NamedTuple):
    """A federation's folder.

    Attributes:
        directory: The folder.
        kits: Party (site name, `server`, `admin`) -> its startup kit.
        job: The FLARE job.
    """

    directory: Path
    kits: dict[str, Path]
    job: Path

    def files(self, party: str) -> Path:
        """Return the folder of a party's own files."""
        return self.kits[party] / "local" / FOLDER


class Choices(NamedTuple):
    """What differs from one federation to another.

    Attributes:
        sites: Names of the sites, in order.
        host: Where sites reach the server.
        port: On which port.
        data: Site -> its samples, as its `site.toml` names them.
        prepared: Whether the samples are already what the experiment makes of them.
        saes: SAE IDs of the sites and then the server.
        sae_files: Party -> its file for its KME, or nothing: a template is written.
        test_data: The server's own samples for evaluation, or nothing.
        waits: Further values of `federation.toml`.
    """

    sites: tuple[str, ...]
    host: str = "localhost"
    port: int = 8002
    data: Mapping[str, str] = {}
    prepared: bool = False
    saes: tuple[str, ...] = ()
    sae_files: Mapping[str, str] = {}
    test_data: str = ""
    waits: Mapping[str, Any] = {}


def write_project(config: ExperimentConfig, directory: Path, choices: Choices) -> Layout:
    """Write a federation's folder.

    Args:
        config: The experiment, `flare` engine or not.
        directory: New or empty.
        choices: What is particular to this federation.

    Raises:
        ConfigError: The experiment cannot run on sites, a name is bad, or the folder is not empty.
    """
    check_names(choices)
    config = for_sites(config, len(choices.sites))
    check_deployable(config, len(choices.sites))
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty; name a new folder")
    directory.mkdir(parents=True, exist_ok=True)
    content = project(config.name, choices.host, choices.port, choices.sites)
    layout = Layout(directory, provision(content, directory), directory / "job" / config.name)
    write_job(directory / "job", config.name, choices.waits.get("join_s", 120.0))
    saes = choices.saes or (*choices.sites, "server")
    experiment = dump_config(config)
    for party in ("server", *choices.sites):
        folder = layout.files(party)
        folder.mkdir(parents=True)
        (folder / "experiment.toml").write_text(experiment, encoding="utf-8")
        if party not in choices.sae_files:
            (folder / "sae.toml").write_text(_sae_template(party, saes, choices), encoding="utf-8")
    shared: dict[str, Any] = {
        "experiment": "experiment.toml",
        "sites": list(choices.sites),
        "saes": list(saes),
        "store": "pads",
    }
    server = {
        **shared,
        "host": choices.host,
        "port": choices.port,
        "run": "run",
        **_sae(choices, "server"),
        **choices.waits,
    }
    if choices.test_data:
        server["test_data"] = choices.test_data
    _write(layout.files("server") / FEDERATION, server)
    for number, name in enumerate(choices.sites):
        site = {
            "name": name,
            "client": number,
            **shared,
            "data": choices.data.get(name, "samples.npz"),
            "prepared": choices.prepared,
            **_sae(choices, name),
        }
        _write(layout.files(name) / SITE, site)
    (directory / GUIDE).write_text(_guide(config, choices, layout), encoding="utf-8")
    return layout


def read_layout(directory: Path) -> Layout:
    """Return the layout of a federation's folder.

    Raises:
        ConfigError: It is none.
    """
    kits = {kit.name: kit for kit in sorted((directory / "kits").glob("*"))}
    jobs = sorted((directory / "job").glob("*/meta.json"))
    if "server" not in kits or not jobs:
        raise ConfigError(f"{directory} is no federation's folder; make one with `deploy init`")
    return Layout(directory, kits, jobs[0].parent)


def for_sites(config: ExperimentConfig, sites: int) -> ExperimentConfig:
    """The experiment as sites run it: as many clients as sites, pads from key managers."""
    keys = {**config.model_dump(mode="json")["keys"], "source": "etsi014", "starvation": []}
    values = config.model_dump(mode="json")
    values["keys"] = keys
    values["partition"]["num_clients"] = sites
    values["engine"]["kind"] = "flare"
    if values["federation"]["clients_per_round"] > sites:
        values["federation"]["clients_per_round"] = sites
    return ExperimentConfig.model_validate_json(json.dumps(values))


def check_names(choices: Choices) -> None:
    """Check names before anything is written.

    Raises:
        ConfigError: One is bad or used twice, or there are too few.
    """
    import re

    from fedket.deploy.files import SITE_NAME

    for name in choices.sites:
        if not re.fullmatch(SITE_NAME, name) or name in ("server", "admin"):
            raise ConfigError(
                f"`{name}` cannot name a site; use small letters, digits and hyphens, and neither "
                "`server` nor `admin`"
            )
    if len(set(choices.sites)) < len(choices.sites) or len(choices.sites) < 2:
        raise ConfigError(f"name two sites or more, each once; got {', '.join(choices.sites)}")


def _write(path: Path, values: dict[str, Any]) -> None:
    """Write a file and check that it reads as it should."""
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
    if path.name == FEDERATION:
        from fedket.keys.etsi014.config import read_section

        read_section(path, FederationFile)


def _sae(choices: Choices, party: str) -> dict[str, str]:
    return {"sae": choices.sae_files.get(party, "sae.toml")}


def _sae_template(party: str, saes: Sequence[str], choices: Choices) -> str:
    parties = (*choices.sites, "server")
    own = saes[parties.index(party)]
    values = {
        "kme_url": "https://kme.example.org:443",
        "ca": "kme-ca.pem",
        "certificate": "sae.crt",
        "key": "sae.key",
        "sae_id": own,
        "peers": [sae for sae in saes if sae != own],
    }
    head = "# How this party reaches its own key manager; check with: fedket keys doctor sae.toml\n"
    return head + tomli_w.dumps(values)


def _guide(config: ExperimentConfig, choices: Choices, layout: Layout) -> str:
    files = f"local/{FOLDER}"
    sites = "\n".join(f"- `{layout.kits[name].name}`" for name in choices.sites)
    return f"""# What each operator has to do

Experiment `{config.name}`, fingerprint `{config_hash(config)[:16]}`. Every party reads
`{files}/experiment.toml` in its kit: it says what is trained, and nothing else will be.

Give each party its own folder of `kits/` over a channel you trust: it holds that party's private
key. Keep `provisioning/` to yourself: it holds the key that signs certificates.

## Sites

{sites}

1. Install: `pip install 'fedket[flare]'`, the version that everybody uses.
2. In `{files}/site.toml` say where your samples are (`data`). They stay there.
3. In `{files}/sae.toml` say how you reach your key manager; `fedket keys doctor {files}/sae.toml`.
4. Start: `fedket deploy start KIT`. It may be stopped and started again at any time.

## Server

1. Install as above. Sites must reach `{choices.host}:{choices.port}`.
2. In `{files}/federation.toml` check deadlines; `{files}/sae.toml` as above.
3. Start: `fedket deploy start KIT`.

## Administrator

When server and sites are up: `fedket deploy run THIS-FOLDER`. It may be stopped and started again;
the run goes on at the server, whose run directory is `{files}/run` (`fedket report` reads it).
"""
