"""Key providers that speak Cisco's SKIP (draft-cisco-skip-02), as firewalls and arnika do.

Three GET calls, one key each: `/capabilities`, `/key?remoteSystemID=…` for a new key and
`/key/{keyId}?remoteSystemID=…` for one that the other end got; keys are in hexadecimal. Behind the
calls of `Kme` all else stays as it is: a `sae_id` is the system ID of one's own provider, `peers`
are remote ones. TLS is with certificates, or with a pre-shared key (`psk`).
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import quote

import httpx

from fedket.keys.etsi014.answers import (
    DeliveredKey,
    parse_answer,
    read_chosen_keys,
    read_keys,
)
from fedket.keys.etsi014.client import Kme, exchange, place
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import KmeAnswerError
from fedket.keys.etsi014.models import Answer, Status
from fedket.keys.etsi014.seen import Seen

USUAL_BITS = 256
"""Size of a key where none is asked for (section 4.2)."""


class Capabilities(Answer):
    """Section 4.1: what a provider can do; remote systems may be patterns such as `QKD_*`."""

    key: bool = True
    localSystemID: str = ""  # noqa: N815  # the draft's spelling
    remoteSystemID: list[str] = []  # noqa: N815, RUF012  # pydantic copies defaults


def skip_calls(http: httpx.Client, config: SaeConfig, seen: Seen) -> Kme:
    """The calls of a key provider, bound to one application."""

    def status(peer: str) -> Status:
        where, size_bits = place(config, "capabilities", peer), config.key_bits or USUAL_BITS
        able = parse_answer(
            Capabilities, exchange(http, config, where, "GET", "/capabilities"), where
        )
        check_capabilities(able, config, peer, where)
        return Status(
            source_KME_ID=able.localSystemID,
            target_KME_ID=peer,
            master_SAE_ID=config.sae_id,
            slave_SAE_ID=peer,
            key_size=size_bits,
            max_key_size=size_bits,
            min_key_size=size_bits,
        )

    def enc_keys(peer: str, _number: int, size_bits: int) -> tuple[DeliveredKey, ...]:
        where, asked = place(config, "key", peer), {"remoteSystemID": peer}
        asked |= {"size": f"{size_bits}"} if size_bits != USUAL_BITS else {}
        reply = exchange(http, config, where, "GET", "/key", asked)
        return seen.admit(read_keys(reply, where, 1, size_bits), where)

    def dec_keys(peer: str, key_ids: Sequence[str], size_bits: int) -> tuple[DeliveredKey, ...]:
        where, (key_id,) = place(config, "key/ID", peer), key_ids
        path = f"/key/{quote(key_id, safe='')}"
        reply = exchange(http, config, where, "GET", path, {"remoteSystemID": peer})
        return seen.admit(read_chosen_keys(reply, where, key_ids, size_bits), where)

    return Kme(status, enc_keys, dec_keys, config.connections, 1)


def check_capabilities(able: Capabilities, config: SaeConfig, peer: str, where: str) -> None:
    """Refuse a provider that gives no keys, is not ours, or has no link with the peer.

    Raises:
        KmeAnswerError: It is one of these.
    """
    if not able.key:
        raise KmeAnswerError(
            f"{where}: this provider gives no keys, only entropy; ask its operator"
        )
    if able.localSystemID and able.localSystemID.casefold() != config.sae_id.casefold():
        raise KmeAnswerError(
            f"{where}: the provider is `{able.localSystemID}`, expected `{config.sae_id}`; correct "
            "`sae_id` or `kme_url`"
        )
    known = able.remoteSystemID
    if known and not any(fnmatchcase(peer.casefold(), name.casefold()) for name in known):
        raise KmeAnswerError(
            f"{where}: the provider reaches {', '.join(known)}, not `{peer}`; correct `peers`, or "
            "ask its operator"
        )
