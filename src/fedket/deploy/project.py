"""`fedket deploy init`: everything that the parties of a federation need, in one folder.

One startup kit of the engine's per party, with the party's own files in it.
"""

import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from fedket.deploy.choices import Choices, check_names
from fedket.deploy.deployable import check_cohorts, check_deployable
from fedket.deploy.engines import DEFAULT, DeploymentEngine, Provisioning
from fedket.deploy.engines.kind import SitesConfig, deployment_of
from fedket.deploy.files import (
    FEDERATION,
    MIN_SITES,
    PERSON_FILE,
    SITE,
    FederationFile,
    PersonFile,
    SiteFile,
    kit_engine,
    own_files,
    sae_ids,
)
from fedket.deploy.guide import guide
from fedket.deploy.identity import authority as identity
from fedket.deploy.identity.authority import (
    COORDINATOR,
    OBSERVER,
    SERVER,
    Credentials,
    Root,
    fingerprint,
    issue,
    key_pem,
    make_root,
    new_key,
    pem,
    save_root,
)
from fedket.deploy.identity.coordinator import (
    AUTHORITY,
    EXPERIMENT,
    INVITATIONS,
    Coordinator,
    found_list,
)
from fedket.deploy.identity.departed import MEMBERS
from fedket.deploy.identity.joining import invite
from fedket.deploy.identity.members import Member, member_of
from fedket.deploy.operating.consent import approve
from fedket.deploy.private import make_private
from fedket.deploy.trial_keys import KME, write_trial_keys
from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import dump_config, revised
from fedket.experiment.run_directory import CHECKPOINT, MODEL, config_hash
from fedket.federated.checkpoint import params_in
from fedket.federated.engine_kinds import EngineConfig
from fedket.schema import Table, read_table
from fedket.section import user_files

GUIDE, ADMIN, START = "OPERATORS.md", "admin", "start.safetensors"
SHARED = {"experiment": "experiment.toml", "sae": "sae.toml", "store": "pads"}
"""What the files of all parties say."""

WAITS = ("phase_s", "training_s", "join_s", "silent_s")


class Layout(NamedTuple):
    """A federation's folder.

    Attributes:
        directory: The folder.
        kits: Party (site name, `server`, `admin`) -> its startup kit.
        job: What the administrator hands in.
    """

    directory: Path
    kits: dict[str, Path]
    job: Path

    @property
    def engine(self) -> DeploymentEngine:
        """The engine that the kits are for."""
        return deployment_of(kit_engine(self.kits[ADMIN]))

    def sites(self) -> list[str]:
        """Return the names of sites whose kits are here."""
        return [party for party, kit in self.kits.items() if (own_files(kit) / SITE).is_file()]

    def files(self, party: str) -> Path:
        """Return the folder of a party's own files; of an invited one, it is not there."""
        return own_files(self.directory / "kits" / party)


def write_project(config: ExperimentConfig, directory: Path, choices: Choices) -> Layout:
    """Write a federation's folder, all of it or nothing.

    Args:
        config: The experiment, whether or not its engine runs on sites.
        directory: New or empty; only its owner may read it, it holds everybody's private keys.
        choices: What is particular to this federation.

    Raises:
        ConfigError: The experiment cannot run on sites, a name is bad, or the folder is not empty.
    """
    check_names(choices)
    config = for_sites(config, len(choices.sites), choices.engine)
    check_deployable(config, len(choices.sites))
    check_cohorts(config, choices.min_sites or MIN_SITES)
    saes = choices.saes or (*choices.sites, "server")
    sae_ids(saes, len(choices.sites))
    start = b"" if choices.start is None else _newest_weights(choices.start)
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(f"{directory} is not empty; name a new folder")
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    try:
        return _write_all(config, directory, choices._replace(saes=saes), start)
    except BaseException:
        shutil.rmtree(directory)
        raise


def _newest_weights(run: Path) -> bytes:
    """The model of a run, whether it has ended or was stopped."""
    if (run / CHECKPOINT).is_file():
        return params_in(run / CHECKPOINT)
    if (run / MODEL).is_file():
        return (run / MODEL).read_bytes()
    raise ConfigError(f"{run} has no {CHECKPOINT} and no {MODEL}: it is no run with rounds")


def _write_all(config: ExperimentConfig, directory: Path, choices: Choices, start: bytes) -> Layout:
    """Write kits, the job, every party's own files and the guide."""
    engine, server = deployment_of(config.engine), _server_values(choices)
    wanted = Provisioning(config.name, choices.hosts, choices.port)
    parties = () if choices.invite else ("server", *choices.sites)
    everybody = (*parties, ADMIN, *choices.observers)
    kits = {party: directory / "kits" / party for party in everybody}
    layout = Layout(directory, kits, directory / "job" / config.name)
    engine.write_job(wanted, layout.job)
    root, members = _write_kits(engine, wanted, layout, choices)
    for person in (ADMIN, *choices.observers):
        layout.files(person).mkdir(parents=True)
        kind = {"engine": config.engine.kind}
        write_checked(layout.files(person) / PERSON_FILE, kind, PersonFile)
    experiment, fixed = dump_config(config), directory / AUTHORITY / EXPERIMENT
    about = {
        "federation": config.name,
        "hosts": choices.hosts,
        "port": choices.port,
        "experiment": config_hash(config),
    }
    text = found_list(directory, root, about, members)
    for folder in (fixed, *(layout.files(party) for party in parties)):
        folder.mkdir(parents=True)
        if folder != fixed:
            (folder / MEMBERS).write_text(text, encoding="utf-8")
        (folder / "experiment.toml").write_text(experiment, encoding="utf-8")
        for name, path in user_files(config).items():
            if choices.code or path.suffix != ".py":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / name)
    for party in () if choices.trial_kme else parties:
        own = choices.saes[(*choices.sites, "server").index(party)]
        template = sae_template(own, choices.saes)
        (layout.files(party) / "sae.toml").write_text(template, encoding="utf-8")
    if choices.trial_kme:
        named = zip(choices.saes, (*choices.sites, "server"), strict=True)
        places = {s: layout.files(p) if p in kits else directory / f"sae-{p}" for s, p in named}
        for place in places.values():
            place.mkdir(exist_ok=True)
        write_trial_keys(directory / KME, places, choices.trial_kme, choices.kme_port)
    of_server = directory / AUTHORITY / SERVER if choices.invite else layout.files("server")
    of_server.mkdir(exist_ok=True)
    if start:
        (of_server / START).write_bytes(start)
        server |= {"start": START}
    authority = {"authority": fingerprint(root.certificate)}
    write_checked(of_server / FEDERATION, server | authority, FederationFile)
    for name in parties[1:]:
        values = site_values(name, choices.data.get(name, "samples.npz"), choices.prepared)
        values |= {"min_sites": choices.min_sites or MIN_SITES}
        values |= {"statistics": bool(choices.trial_kme)}
        write_checked(layout.files(name) / SITE, values | authority, SiteFile)
        if choices.trial_kme:
            approve(layout.files(name), config, "a trial")
    for name in ("server", *choices.sites) if choices.invite else ():
        invite(directory / INVITATIONS, Coordinator(directory).members, name)
    (directory / GUIDE).write_text(guide(config, choices, engine.extra), encoding="utf-8")
    make_private(directory)
    return layout


def _write_kits(
    engine: DeploymentEngine, wanted: Provisioning, layout: Layout, choices: Choices
) -> tuple[Root, list[Member]]:
    """Make everybody's keys and certificates, and the kits with them."""
    people = {SERVER: SERVER, ADMIN: COORDINATOR} | dict.fromkeys(choices.observers, OBSERVER)
    roles = {party: people.get(party, identity.SITE) for party in layout.kits}
    saes = dict(zip((*choices.sites, "server"), choices.saes, strict=True))
    root, members = make_root(wanted.name), []
    save_root(root, layout.directory / AUTHORITY)
    (layout.directory / "kits").mkdir()
    for party, role in roles.items():
        name = choices.coordinator if role == COORDINATOR else party
        hosts = wanted.hosts if role == SERVER else ()
        key = new_key()
        certificate = issue(root, name, role, key.public_key(), hosts)
        shown = Credentials(name, role, pem(certificate), key_pem(key), pem(root.certificate))
        engine.write_kit(wanted, shown, layout.kits[party])
        members.append(member_of(name, role, certificate, saes.get(party, "")))
    return root, members


def _server_values(choices: Choices) -> dict[str, Any]:
    """What `federation.toml` says; deadlines are written out, so that operators see them."""
    fields = FederationFile.model_fields
    waits = {name: fields[name].default for name in WAITS}
    test = {"test_data": choices.test_data} if choices.test_data else {}
    place = {"hosts": list(choices.hosts), "port": choices.port, "run": "run"}
    least = {"min_sites": choices.min_sites} if choices.min_sites else {}
    return {**place, **SHARED, **test, **waits, **least, **choices.waits}


def site_values(name: str, data: str, prepared: bool = False) -> dict[str, Any]:
    """Return what a `site.toml` says."""
    return {"name": name, "data": data, "prepared": prepared, **SHARED}


def read_layout(directory: Path) -> Layout:
    """Return the layout of a federation's folder.

    Raises:
        ConfigError: It is not one.
    """
    kits = {kit.name: kit for kit in sorted((directory / "kits").glob("*"))}
    jobs = sorted(path for path in (directory / "job").glob("*") if path.is_dir())
    if ADMIN not in kits or not jobs:
        raise ConfigError(f"{directory} is not a federation's folder; make one with `deploy init`")
    return Layout(directory, kits, jobs[0])


def for_sites(config: ExperimentConfig, sites: int, engine: str = "") -> ExperimentConfig:
    """The experiment as sites run it: as many clients as sites, pads from key managers.

    Args:
        config: Any experiment.
        sites: How many.
        engine: Its kind; nothing for the experiment's own, or the default if that one simulates.
    """
    values = config.model_dump(mode="json")
    values["keys"] = {"kind": "etsi014", "deadline_s": values["keys"]["deadline_s"]}
    values["partition"]["num_clients"] = sites
    simulated = rf"\b{config.num_clients} clients\b"
    values["description"] = re.sub(simulated, f"{sites} sites", config.description)
    if engine or not isinstance(config.engine, SitesConfig):
        values["engine"] = _simulating(config) | {"kind": engine or DEFAULT}
    values["federation"]["checkpoint_every"] = 1
    if values["federation"]["clients_per_round"] > sites:
        values["federation"]["clients_per_round"] = sites
    return revised(config, values)


def _simulating(config: ExperimentConfig) -> dict[str, Any]:
    """The keys that all engines have."""
    return config.engine.model_dump(mode="json", include=set(EngineConfig.model_fields))


def write_checked(path: Path, values: dict[str, Any], model: type[Table]) -> None:
    """Write a file and check that it reads as it should."""
    path.write_text(tomli_w.dumps(values), encoding="utf-8")
    read_table(path, model)


def sae_template(own: str, saes: tuple[str, ...]) -> str:
    """Return a `sae.toml` to be filled in."""
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
