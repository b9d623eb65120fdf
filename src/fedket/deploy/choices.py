"""What differs from one federation to another: the choices of who makes its folder."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fedket.deploy.files import SITE_NAME
from fedket.errors import ConfigError
from fedket.keys.etsi014.config import is_host
from fedket.keys.kme.trial import FIRST_PORT

PERSON = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
"""Form of the names of people, so that no site and no server has one."""


class Choices(NamedTuple):
    """What differs from one federation to another.

    Attributes:
        sites: Names of the sites, in order.
        hosts: Where sites reach the server: names or addresses, the first one first.
        port: On which port.
        coordinator: Who hands the run in and ends it, in the form of an e-mail address.
        observers: Who may see how it goes, in the same form.
        data: Site -> its samples, as its `site.toml` names them.
        prepared: Whether the samples are already what the experiment makes of them.
        saes: SAE IDs of the sites and then the server.
        trial_kme: Host name of a key manager for a trial, which is written too, and the experiment
            and statistics count as approved at every site; empty: each party
            has one of its own, and gets a template.
        kme_port: The trial's key manager's port.
        test_data: The server's own samples for evaluation, or nothing.
        min_sites: Fewest sites in a sum; None for the default.
        engine: See `for_sites`.
        waits: Further values of `federation.toml`.
        start: A run with the same model, with whose weights this one begins.
        invite: Whether server and sites are invited, and make their own keys, in place of getting
            kits.
        code: Whether files of users' own kinds go into kits, too: where one person is everybody.
    """

    sites: tuple[str, ...]
    hosts: tuple[str, ...] = ("localhost",)
    port: int = 8002
    coordinator: str = "coordinator@fedket.example"
    observers: tuple[str, ...] = ()
    data: Mapping[str, str] = {}
    prepared: bool = False
    saes: tuple[str, ...] = ()
    trial_kme: str = ""
    kme_port: int = FIRST_PORT
    test_data: str = ""
    engine: str = ""
    waits: Mapping[str, Any] = {}
    code: bool = False
    min_sites: int | None = None
    invite: bool = False
    start: Path | None = None


def check_names(choices: Choices) -> None:
    """Check names before anything is written.

    Raises:
        ConfigError: One is bad or used twice, or there are too few.
    """
    for name in choices.sites:
        if not re.fullmatch(SITE_NAME, name) or name in ("server", "admin"):
            raise ConfigError(
                f"`{name}` cannot name a site; use small letters, digits and hyphens, and neither "
                "`server` nor `admin`"
            )
    for host in choices.hosts:
        if not is_host(host):
            raise ConfigError(f"`{host}` is no host name and no address")
    for name in (choices.coordinator, *choices.observers):
        if not re.fullmatch(PERSON, name) or len(name) > 64:
            raise ConfigError(f"`{name}` cannot name a person; use the form name@example.org")
    if len(set(choices.sites)) < len(choices.sites) or len(choices.sites) < 2:
        raise ConfigError(f"name two sites or more, each once; got {', '.join(choices.sites)}")
