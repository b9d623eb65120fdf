"""What a party's own files must be before its process starts, as far as it can tell by itself.

Said here it is one line in the operator's terminal; said later it is a refusal at the server.
"""

from pathlib import Path

from fedket.deploy.deployable import check_cohorts, check_deployable
from fedket.deploy.files import (
    FEDERATION,
    MIN_SITES,
    SITE,
    FederationFile,
    SiteFile,
    own_files,
    read_federation,
    read_planned,
    read_site,
    sae_ids,
)
from fedket.deploy.operating.consent import check_consent
from fedket.deploy.party_keys import read_own_sae
from fedket.deploy.private import make_private, open_to_others
from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import load_config
from fedket.keys.etsi014.config import SaeConfig
from fedket.schema import read_table
from fedket.types import SERVER


def check_kit(kit: Path) -> None:
    """Check the files that the operator of a kit keeps.

    Raises:
        ConfigError: A file is missing, has a mistake, or names something that is not there; or
            nobody at a site has approved its experiment.
        KeyMaterialError: The key manager's file is another party's.
    """
    folder = own_files(kit)
    if (folder / FEDERATION).exists():
        server = read_federation(folder / FEDERATION)
        _check_party(server, SERVER)
        _must_exist(folder / FEDERATION, folder / server.test_data)
        return
    site = read_site(folder / SITE)
    if site.client >= len(site.sites) or site.sites[site.client] != site.name:
        raise ConfigError(
            f"{folder / SITE}: `client` is {site.client} and `name` is {site.name}, which is not "
            f"its place in `sites`: {', '.join(site.sites)}"
        )
    check_consent(folder, _check_party(site, site.client), site)
    _must_exist(folder / SITE, site.data)


def check_private(kit: Path) -> list[str]:
    """See to it that nobody else on this machine reads a party's files; returns what was wrong.

    Raises:
        ConfigError: The kit is not ours to close.
    """
    folder = own_files(kit)
    news = []
    if found := make_private(kit):
        news = [f"other users had rights to {found[0]} and {len(found) - 1} more files; not now"]
    if (folder / SITE).exists():
        site = read_table(folder / SITE, SiteFile)
        sae = read_table(site.sae, SaeConfig)
        for path in open_to_others([site.data, sae.secret]):
            news.append(f"other users of this machine can read {path}; run: chmod -R go= {path}")
    return news


def _check_party(file: FederationFile | SiteFile, party: int) -> ExperimentConfig:
    """Check what servers and sites have in common."""
    check_cohorts(read_planned(file), file.min_sites or MIN_SITES)
    own = sae_ids(file.saes, len(file.sites))[party]
    sae = read_own_sae(file.sae, own)
    _must_exist(file.sae, *sae.files)
    config = load_config(file.experiment)
    if not file.authority:  # no list, so nobody comes or goes
        check_deployable(config, len(file.sites))
    return config


def _must_exist(named_in: Path, *paths: Path) -> None:
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{named_in} names {path}, which is not there; put it there")
