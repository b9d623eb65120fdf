"""The three calls of ETSI GS QKD 014 as functions of who calls, free of HTTP."""

from collections.abc import Sequence

from cryptography import x509

from fedket.keys.etsi014.models import SIZE_NOT_BYTES, UNKNOWN_EXTENSION, KeyRequest, Status
from fedket.keys.etsi014.tls import names_of
from fedket.keys.kme.config import KmeSection, Limits
from fedket.keys.kme.pools import KeyPools, PoolKey, RefusedError


def sae_of(certificate: bytes | None, kme: KmeSection) -> str:
    """Which application of a KME a verified client certificate (DER) belongs to.

    Raises:
        RefusedError: To none, or to several.
    """
    if certificate is None:
        raise RefusedError(401)
    names = set(names_of(x509.load_der_x509_certificate(certificate)))
    known = names & set(kme.saes)
    if len(known) != 1:
        raise RefusedError(401)
    return known.pop()


def get_status(pools: KeyPools, kme_id: str, me: str, slave: str) -> Status:
    """Section 5.1: what this KME can deliver to a master for a slave.

    Raises:
        RefusedError: There is no link between them.
    """
    _check_link(pools, me, slave)
    limits = pools.config.limits
    return Status(
        source_KME_ID=kme_id,
        target_KME_ID=pools.home_of(slave) or "",
        master_SAE_ID=me,
        slave_SAE_ID=slave,
        key_size=limits.key_size,
        stored_key_count=pools.stored_key_count(me, slave),
        max_key_count=limits.max_key_count,
        max_key_per_request=limits.max_key_per_request,
        max_key_size=limits.max_key_size,
        min_key_size=limits.min_key_size,
        max_SAE_ID_count=limits.max_sae_id_count,
    )


def get_keys(pools: KeyPools, me: str, slave: str, asked: KeyRequest) -> tuple[PoolKey, ...]:
    """Section 5.2: new keys for a master and its slaves.

    Raises:
        RefusedError: There is no link to a slave, the request is outside the limits, or a pool
            holds too little.
    """
    slaves = tuple(dict.fromkeys([slave, *(asked.additional_slave_SAE_IDs or ())]))
    for each in slaves:
        _check_link(pools, me, each)
    number, size_bits = _number_and_size(asked, pools.config.limits)
    return pools.deliver(me, slaves, number, size_bits)


def get_keys_by_id(
    pools: KeyPools, me: str, master: str, key_ids: Sequence[str]
) -> tuple[PoolKey, ...]:
    """Section 5.3: the keys that a master got, for one of its slaves.

    Raises:
        RefusedError: There is no link to the master, or a key was made for other slaves (401); a
            key is not there (any more).
    """
    if not pools.is_linked(me, master):
        raise RefusedError(401)
    return pools.collect(master, me, tuple(key_ids))


def _check_link(pools: KeyPools, me: str, peer: str) -> None:
    if not pools.is_linked(me, peer):
        raise RefusedError(400, "no link to that SAE_ID")


def _number_and_size(asked: KeyRequest, limits: Limits) -> tuple[int, int]:
    number = 1 if asked.number is None else asked.number
    size_bits = limits.key_size if asked.size is None else asked.size
    if size_bits % 8:
        raise RefusedError(400, SIZE_NOT_BYTES)
    if not limits.min_key_size <= size_bits <= limits.max_key_size:
        raise RefusedError(
            400, f"size shall be from {limits.min_key_size} to {limits.max_key_size} bits"
        )
    if not 1 <= number <= limits.max_key_per_request:
        raise RefusedError(400, f"number shall be from 1 to {limits.max_key_per_request}")
    if asked.extension_mandatory:
        raise RefusedError(400, UNKNOWN_EXTENSION)
    if len(asked.additional_slave_SAE_IDs or ()) > limits.max_sae_id_count:
        raise RefusedError(
            400, f"additional_slave_SAE_IDs shall have at most {limits.max_sae_id_count} entries"
        )
    return number, size_bits
