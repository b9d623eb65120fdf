"""The links of all parties of one process, filled through their key managers.

The sender of a stream is the master of its keys. Every party has an application (SAE) of its own,
with its own certificate, as on separate machines; only the messages between the two ends of a link
are function calls here.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from fedket.errors import ConfigError
from fedket.keys.etsi014.client import Kme, connect
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.fetch import MasterEnd, SlaveEnd
from fedket.keys.filled_stores import Fill
from fedket.keys.store import PadStore
from fedket.types import Stream


@contextmanager
def kme_links(
    saes: Mapping[int, SaeConfig],
    stores: Mapping[int, PadStore],
    pauses: Sequence[float] = (),
) -> Iterator[Fill]:
    """Open a client of every party's key manager and yield how streams are filled.

    Args:
        saes: Party -> its application.
        stores: Party -> its pad store.
        pauses: Seconds to wait before each further attempt when a KME has too little key.

    Raises:
        ConfigError: Two parties have the same SAE ID.
        KmeCertificateError: A certificate, key or CA file is unusable.
    """
    ids = [sae.sae_id for sae in saes.values()]
    if len(set(ids)) < len(ids):
        raise ConfigError(f"every party needs an SAE ID of its own, got {sorted(ids)}")
    with ExitStack() as stack:
        kmes = {party: stack.enter_context(connect(sae)) for party, sae in saes.items()}
        masters: dict[Stream, MasterEnd] = {}

        def fill(stream: Stream, num_bytes: int) -> None:
            if stream not in masters:
                masters[stream] = _master(stream, saes, kmes, stores, pauses)
            masters[stream].fetch(num_bytes)

        yield fill


def _master(
    stream: Stream,
    saes: Mapping[int, SaeConfig],
    kmes: Mapping[int, Kme],
    stores: Mapping[int, PadStore],
    pauses: Sequence[float],
) -> MasterEnd:
    sender, receiver = stream
    slave = SlaveEnd(stream, kmes[receiver], saes[sender].sae_id, stores[receiver], pauses)
    peer = saes[receiver].sae_id
    return MasterEnd(stream, kmes[sender], peer, slave.answer, stores[sender], pauses)
