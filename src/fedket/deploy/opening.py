"""What a party looks at before its process starts: samples, pads, key manager, certificates.

What is wrong with them would otherwise be found when the run begins, and by others.
"""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from fedket.deploy.files import (
    FEDERATION,
    SITE,
    FederationFile,
    SiteFile,
    own_files,
    read_federation,
    read_planned,
    read_site,
    sae_ids,
    seats_of,
)
from fedket.deploy.operating.certificates import WARN_DAYS, certificates_of, days_left
from fedket.deploy.party_keys import read_own_sae
from fedket.deploy.site_data import load_site_data, load_test_data
from fedket.deploy.site_trainer import make_task
from fedket.errors import FedketError, KeyMaterialError
from fedket.experiment.config import ExperimentConfig
from fedket.keys.etsi014.doctor import Check, examine
from fedket.keys.store import PadStore
from fedket.keys.store.disk import lock_store
from fedket.keys.store.reading import read_status
from fedket.types import SERVER, Dataset

KNOCK_S = 3.0
"""Longest wait for a port to answer."""


def look_at(kit: Path, server_of: Callable[[Path], str] = lambda _: "") -> Iterator[Check]:
    """Look at what a party will open; `fail` is what cannot come right while it runs.

    Args:
        kit: Its startup kit, whose files `check_kit` has found sound.
        server_of: Startup kit of a site -> HOST:PORT of its server, or nothing.
    """
    folder = own_files(kit)
    if (folder / FEDERATION).exists():
        server = read_federation(folder / FEDERATION)
        config = read_planned(server)
        if server.test_data:
            yield _samples(lambda: load_test_data(server.test_data, folder, config), config)
        yield from _keys(server, SERVER)
    else:
        site = read_site(folder / SITE)
        config = read_planned(site)
        yield _samples(lambda: load_site_data(site, config), config)
        yield from _keys(site, site.client)
    yield _certificates(kit)
    if address := server_of(kit):
        yield _server(address)


def _samples(load: Callable[[], Dataset | None], config: ExperimentConfig) -> Check:
    """Load samples as the run will, and ask the model whether it suits them."""
    try:
        loaded = load()
        if loaded is None:
            return Check("samples", "skip", "none")
        x, y = loaded.x_train, loaded.y_train
        if not len(y):
            x, y = loaded.x_test, loaded.y_test
        make_task(config, x.shape[1:], loaded.num_classes)
    except FedketError as error:
        return Check("samples", "fail", f"{error}")
    labels = ", ".join(map(str, sorted({int(label) for label in y})))
    return Check("samples", "ok", f"{len(y)} of shape {list(x.shape[1:])}, labels {labels}")


def _keys(file: FederationFile | SiteFile, me: int) -> Iterator[Check]:
    """Look at the pad store and the key manager, using up no key."""
    ids = sae_ids(file.saes, len(file.sites))
    try:
        PadStore.open(file.store, me).close()
        links = {frozenset(stream[:2]) for stream in read_status(file.store).streams}
        yield Check("pads", "ok", f"{file.store} is sound, {len(links)} links have had key")
    except FedketError as error:
        yield Check("pads", "note" if _is_held(file.store) else "fail", f"{error}")
    sae = read_own_sae(file.sae, ids[me])
    present = {SERVER, *seats_of(file)} - {me}
    peers = tuple(sae_id for party, sae_id in ids.items() if party in present)
    found = list(examine(sae.model_copy(update={"peers": peers}), sample_s=0))
    for check in found:
        if check.outcome in ("note", "fail"):  # it may come right: links are filled later
            yield Check(f"key manager, {check.name}", "note", check.found)
    if not any(check.outcome == "fail" for check in found):
        clock = next(c.found for c in found if c.name.endswith("clocks"))
        yield Check("key manager", "ok", f"{sae.kme_url} serves {len(peers)} links; clock {clock}")


def _is_held(store: Path) -> bool:
    """Whether another process has a store: a party's last one may need seconds to end."""
    try:
        os.close(lock_store(store))
    except KeyMaterialError as error:
        return isinstance(error.__context__, BlockingIOError)
    return False


def _server(address: str) -> Check:
    """Knock at the server's port; a site waits for a server that is not up yet."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    except OSError as error:
        found = f"{address} is not reached ({error}); the site tries again until it is"
        return Check("server", "note", found)
    return Check("server", "ok", f"{address} is reached")


def _certificates(kit: Path) -> Check:
    """Say which certificate ends first."""
    first = next(iter(certificates_of(kit)), None)
    if first is None:
        return Check("certificates", "note", "the kit holds none")
    days = days_left(first)
    said = f"the first to end is {first.file}, in {days:.0f} days ({first.ends[:10]})"
    if days > WARN_DAYS:
        return Check("certificates", "ok", said)
    return Check("certificates", "note" if days > 0 else "fail", f"{said}; renew it")
