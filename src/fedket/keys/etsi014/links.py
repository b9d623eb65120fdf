"""Links with a key manager of their own: point-to-point QKD, where each pair of devices has a KME.

A party has one name in its federation; on such a link it has the name that this link's KME knows.
"""

from collections.abc import Mapping, Sequence

from fedket.errors import ConfigError
from fedket.keys.etsi014.answers import DeliveredKey
from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.models import Status
from fedket.schema import read_table


def link_configs(config: SaeConfig) -> dict[str, SaeConfig]:
    """Read the files that `links` names: peer -> that link's.

    Raises:
        ConfigError: One is bad, or not for one link.
    """
    found = {peer: read_table(path, SaeConfig) for peer, path in config.links.items()}
    for peer, link in found.items():
        if len(link.peers) != 1 or link.links:
            raise ConfigError(
                f"{config.links[peer]} is for the link with `{peer}` alone: its `peers` should "
                f"name the other end, as this KME knows it, and nobody else; got {link.peers}"
            )
    return found


def by_peer(usual: Kme, ends: Mapping[str, tuple[Kme, str]]) -> Kme:
    """One `Kme` of several.

    Args:
        usual: For all other peers.
        ends: Peer -> its link's KME, and the peer's name there.
    """

    def at(peer: str) -> tuple[Kme, str]:
        return ends.get(peer, (usual, peer))

    def status(peer: str) -> Status:
        kme, name = at(peer)
        return kme.status(name)

    def enc_keys(peer: str, number: int, size_bits: int) -> tuple[DeliveredKey, ...]:
        kme, name = at(peer)
        return kme.enc_keys(name, number, size_bits)

    def dec_keys(peer: str, key_ids: Sequence[str], size_bits: int) -> tuple[DeliveredKey, ...]:
        kme, name = at(peer)
        return kme.dec_keys(name, key_ids, size_bits)

    kmes = [usual, *(kme for kme, _ in ends.values())]
    connections = min(kme.connections for kme in kmes)
    most_named = min(kme.most_named for kme in kmes)
    return Kme(status, enc_keys, dec_keys, connections, most_named)
