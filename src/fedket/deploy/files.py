"""The files that operators of a federation keep: one for the server, one for each site.

Both name the experiment beside them. A site takes part only in the experiment that its own
operator has put there: its fingerprint must be the server's.
"""

from pathlib import Path
from typing import Annotated, TypeVar, cast

from pydantic import Field, field_validator

from fedket.deploy import kit
from fedket.deploy.deployable import check_deployable
from fedket.deploy.identity.departed import MEMBERS
from fedket.deploy.identity.members import Members, read_list
from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import load_config, revised
from fedket.federated.engine_kinds import EngineConfig
from fedket.keys.etsi014.config import Host, Id, LocalPath
from fedket.schema import NonNegativeInt, Table, read_table
from fedket.section import find_section
from fedket.statistics.pooled import SMALLEST
from fedket.types import SERVER

FEDERATION, SITE, PERSON_FILE, PROBLEM = kit.FEDERATION, kit.SITE, kit.PERSON_FILE, kit.PROBLEM
OWN_FILES, own_files = kit.OWN_FILES, kit.own_files

FINGERPRINT = r"^([0-9a-f]{64})?$"
Fingerprint = Annotated[str, Field(pattern=FINGERPRINT)]
SITE_NAME = r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$"
SiteName = Annotated[str, Field(pattern=SITE_NAME)]
AtLeastTwo = Annotated[int, Field(ge=2, le=1000)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]

MIN_SITES = 3
"""Fewest sites in a sum, unless operators say otherwise: of two, each knows the other's update."""

F = TypeVar("F", "FederationFile", "SiteFile")


class FederationFile(Table):
    """What the server must know; `federation.toml`."""

    experiment: LocalPath
    authority: Fingerprint = ""
    """Of the root key that signs `members.json` beside, which then says who the sites are."""
    sites: Annotated[tuple[SiteName, ...], Field(max_length=1000)] = ()
    """Names of the sites; the order gives their numbers, from 0."""
    present: tuple[NonNegativeInt, ...] = ()
    """Numbers of the sites that have not left; none: nobody has."""
    hosts: Annotated[tuple[Host, ...], Field(min_length=1)] = ("localhost",)
    """Names and addresses under which sites reach the server; its certificate has them all."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8002
    run: LocalPath
    """Run directory, at the server."""
    start: str = ""
    """Weights of the first round (safetensors), of a run with the same model; without, drawn."""
    test_data: str = ""
    """`npz` file of its own with x and y as models take them; without, sites report accuracy."""
    saes: tuple[Id, ...] = ()
    """SAE IDs of the sites, in order, and then the server's."""
    sae: LocalPath
    """How the server reaches its key manager."""
    store: LocalPath
    """The server's pad store."""
    phase_s: Seconds = 30.0
    """Longest wait for an answer that takes no training."""
    training_s: Seconds = 3600.0
    """Longest wait for an answer that takes training, or compiling."""
    join_s: Seconds = 120.0
    """Longest wait for sites at the start of the run, and of a round that has too few."""
    silent_s: Seconds = 8.0
    """Time without a heartbeat after which a site counts as away."""
    min_sites: AtLeastTwo | None = None
    """Fewest sites in a sum; left out, 3, and three quarters of all in the first."""
    smallest: AtLeastTwo = SMALLEST
    """Smallest count that statistics of all sites tell."""

    @field_validator("sites")
    @classmethod
    def _are_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("name each site once")
        return value


class PersonFile(Table):
    """What the kit of a coordinator or an observer must know; `person.toml`."""

    engine: str
    """Kind of the federation's engine."""


class SiteFile(Table):
    """What a site must know; `site.toml`."""

    name: SiteName
    authority: Fingerprint = ""
    """Of the root key that signs `members.json` beside, which then says who the sites are."""
    client: NonNegativeInt = 0
    """Its number in the federation, from 0."""
    sites: tuple[SiteName, ...] = ()
    """Names of all sites, in order."""
    present: tuple[NonNegativeInt, ...] = ()
    """Numbers of the sites that have not left; none: nobody has."""
    experiment: LocalPath
    data: LocalPath
    """The site's own samples: an `npz` file (x and y, or x_train, y_train, x_test and y_test), or a
    folder of images, `class/name.jpg`."""
    prepared: bool = False
    """The samples are already what the experiment's `transform` and `features` would make."""
    saes: tuple[Id, ...] = ()
    """SAE IDs of the sites, in order, and then the server's."""
    sae: LocalPath
    """How this site reaches its key manager."""
    store: LocalPath
    """This site's pad store."""
    min_sites: AtLeastTwo = MIN_SITES
    """Fewest sites in a sum to which this site gives its update, whatever the server says."""
    statistics: bool = False
    """Whether this site takes part in statistics of what all sites have, as masked sums."""
    approve_members: bool = False
    """Whether this site is in no sum with one that joined later and it has not approved."""


def read_site(path: Path) -> SiteFile:
    """Read a `site.toml`, with what the list of members beside it says.

    Raises:
        ConfigError: One of the two has a mistake, or the site has left.
    """
    file = read_table(path, SiteFile)
    if not file.authority:
        return _complete(file, path)
    members = read_members(path.parent, file.authority)
    own = members.find(file.name)
    if own is None or own.left or own.role != "site":
        why = f"{own.left}" if own and own.left else "is not in it"
        raise ConfigError(
            f"version {members.version} of the list of members: site {file.name} {why}; ask the "
            "coordinator for an invitation"
        )
    seats = _seats(members) | {"client": members.names.index(file.name)}
    return file.model_copy(update=seats)


def read_federation(path: Path) -> FederationFile:
    """Read a `federation.toml`, with what the list of members beside it says.

    Raises:
        ConfigError: One of the two has a mistake, or there are too few sites.
    """
    file = read_table(path, FederationFile)
    if file.authority:
        file = file.model_copy(update=_seats(read_members(path.parent, file.authority)))
    return _complete(file, path)


def read_members(folder: Path, authority: str) -> Members:
    """Read the list of members in a party's own files.

    Raises:
        ConfigError: It is not there, damaged, or signed by another key.
    """
    path = folder / MEMBERS
    if not path.exists():
        raise ConfigError(f"{path} is not there; ask the coordinator for the newest list")
    return read_list(path.read_text(encoding="utf-8"), authority, f"{path}")


def seats_of(file: "FederationFile | SiteFile") -> tuple[int, ...]:
    """Return the numbers of the sites that have not left."""
    return file.present or tuple(range(len(file.sites)))


def _seats(members: Members) -> dict[str, object]:
    saes = *(site.sae for site in members.sites), members.saes[SERVER]
    return {"sites": members.names, "saes": saes, "present": members.present}


def _complete(file: F, path: Path) -> F:
    if len(seats_of(file)) < 2:
        raise ConfigError(
            f"{path}: the federation has {len(seats_of(file))} sites, it needs 2; they are in "
            f"{MEMBERS} beside it, or in `sites` and `saes`"
        )
    return file


def kit_engine(kit: Path) -> EngineConfig:
    """Return the engine that a startup kit is for: its experiment's `[engine]`.

    Raises:
        ConfigError: It is not a kit that fedket made, or a file has a mistake.
    """
    folder = own_files(kit)
    if (folder / FEDERATION).exists():
        return load_config(read_table(folder / FEDERATION, FederationFile).experiment).engine
    if (folder / PERSON_FILE).exists():
        kind = read_table(folder / PERSON_FILE, PersonFile).engine
        return cast(EngineConfig, find_section("engine", kind, folder)())
    if (folder / SITE).exists():
        return load_config(read_table(folder / SITE, SiteFile).experiment).engine
    raise ConfigError(
        f"{kit} is not a startup kit of a server or a site: {OWN_FILES} in it has neither "
        f"{FEDERATION} nor {SITE}"
    )


def sae_ids(saes: tuple[str, ...], sites: int) -> dict[int, str]:
    """Party -> SAE ID.

    Raises:
        ConfigError: There are not as many as parties.
    """
    if len(saes) != sites + 1:
        raise ConfigError(
            f"`saes` names {len(saes)} SAE IDs; {sites} sites and the server need {sites + 1}"
        )
    return dict(enumerate(saes[:-1])) | {SERVER: saes[-1]}


def read_experiment(path: Path, sites: int) -> ExperimentConfig:
    """Read the experiment of a federation, as that many sites run it.

    Its fingerprint is that of the file, `load_config`: it stays when sites come and go.

    Raises:
        ConfigError: It is not one that sites can run.
    """
    config = seated(load_config(path), sites)
    check_deployable(config, sites)
    return config


def read_planned(file: "FederationFile | SiteFile") -> ExperimentConfig:
    """Read the experiment as it will run: in a young federation not all sites have come yet.

    Raises:
        ConfigError: It is not one that sites can run.
    """
    founded = load_config(file.experiment)
    return read_experiment(file.experiment, max(len(seats_of(file)), founded.num_clients))


def seated(config: ExperimentConfig, sites: int) -> ExperimentConfig:
    """Return an experiment for another number of sites than that with which it was founded."""
    if config.num_clients == sites:
        return config
    values = config.model_dump(mode="json")
    values["partition"]["num_clients"] = sites
    drawn = values["federation"]["clients_per_round"]
    values["federation"]["clients_per_round"] = 0 if drawn >= sites else drawn
    return revised(config, values)
