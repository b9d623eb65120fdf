"""The list of members and the certificates in it, as they stand in a party's startup kit."""

import logging
from pathlib import Path

from fedket.deploy.engines.kind import deployment_of
from fedket.deploy.files import (
    FEDERATION,
    SITE,
    FederationFile,
    SiteFile,
    kit_engine,
)
from fedket.deploy.identity.authority import SERVER
from fedket.deploy.identity.members import Members, adopt, changes
from fedket.deploy.kit import OWN_FILES
from fedket.errors import ConfigError
from fedket.schema import read_table

log = logging.getLogger(__name__)


def keep_list(folder: Path, text: str) -> Members | None:
    """Keep a list of members that is newer than a party's own, and its own certificate in it.

    Args:
        folder: The party's own files.
        text: The list, signed.

    Returns:
        The new list; None if it is known, or the party goes by none.

    Raises:
        ConfigError: It is none, or another key signed it.
        ProtocolError: It is older than the party's own.
    """
    name, root_fingerprint = _party(folder)
    found = adopt(folder, text, root_fingerprint) if root_fingerprint else None
    if found is None:
        return None
    log.warning("%s", changes(*found))
    keep_certificate(folder.parents[1], found[1], name)
    return found[1]


def keep_certificate(kit: Path, members: Members, name: str) -> None:
    """Write a party's certificate into its kit as the list has it."""
    member = members.find(name)
    if member is None or member.left:
        return
    try:
        engine = deployment_of(kit_engine(kit))
        engine.write_certificate(kit, member.certificate.encode(), members.root.encode())
    except OSError as error:
        log.warning("cannot write this party's new certificate: %s: %s", error.strerror, kit)


def _party(folder: Path) -> tuple[str, str]:
    """Name of the party with these files, and the fingerprint of the root key that it trusts."""
    if (folder / SITE).exists():
        site = read_table(folder / SITE, SiteFile)
        return site.name, site.authority
    if (folder / FEDERATION).exists():
        return SERVER, read_table(folder / FEDERATION, FederationFile).authority
    raise ConfigError(f"{folder} has neither {SITE} nor {FEDERATION}: it is not {OWN_FILES}")
