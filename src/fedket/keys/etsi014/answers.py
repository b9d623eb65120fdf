"""From a KME's reply to values that may be used, or to one clear error.

Nothing is trusted: media type, base64, UUIDs, number and length of keys, duplicates. No message
repeats a reply's body, which may hold keys; a KME's own error message is shown shortened.
"""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from fedket.keys.etsi014.errors import (
    KmeAnswerError,
    KmeBusyError,
    KmeError,
    KmeRefusedError,
    KmeUnauthorizedError,
)
from fedket.keys.etsi014.models import KeyContainer, KeyEntry, Problem, Status, Wire
from fedket.keys.material import KeyMaterial

W = TypeVar("W", bound=Wire)

TOO_FEW = re.compile(
    r"not enough|insufficient|too few|shortage|exhaust|(ran|run) out|unavailable"
    r"|no (more )?keys?\b.*(left|available|stored)|no (more )?keys?\.?$",
    re.IGNORECASE,
)
"""Vendors' ways of saying, in a 400, that the pool is empty."""

DISTINCT_BITS = 128
"""Random keys this long are never equal: above, two equal keys are one key delivered twice."""

SHOWN = 120
"""Characters of a KME's message that an error repeats."""


class Reply(NamedTuple):
    """An HTTP answer.

    Attributes:
        status: HTTP status.
        media_type: Lower case, without parameters; "" if none was given.
        date: The Date header; "" if none was given.
        body: As sent.
    """

    status: int
    media_type: str
    date: str
    body: bytes

    def __repr__(self) -> str:
        return f"Reply({self.status}, {self.media_type!r}, {len(self.body)} bytes, hidden)"


class DeliveredKey(NamedTuple):
    """A key as an end of a link has it.

    Attributes:
        key_id: As the master's KME spelt it.
        secret: Its bytes, hidden.
    """

    key_id: str
    secret: KeyMaterial


def read_status(reply: Reply, where: str) -> Status:
    """Read the answer to `status`.

    Raises:
        KmeError: By kind, see `errors`.
    """
    status = _parse(Status, reply, where)
    if not status.min_key_size <= status.key_size <= status.max_key_size:
        raise KmeAnswerError(
            f"{where}: key sizes should rise from min_key_size to key_size to max_key_size, got "
            f"{status.min_key_size}, {status.key_size}, {status.max_key_size} bits; tell the "
            "KME's operator"
        )
    return status


def read_keys(reply: Reply, where: str, number: int, size_bits: int) -> tuple[DeliveredKey, ...]:
    """Read the answer to `enc_keys`: `number` different keys of `size_bits` bits each.

    Raises:
        KmeError: By kind, see `errors`; no key of a bad answer is used.
    """
    entries = _parse(KeyContainer, reply, where).keys
    if len(entries) != number:
        raise KmeAnswerError(
            f"{where}: asked for {number} keys, got {len(entries)}; none is used, tell the KME's "
            "operator"
        )
    keys = tuple(_key(entry, where, size_bits) for entry in entries)
    if len({canonical(key.key_id) for key in keys}) != number:
        raise KmeAnswerError(
            f"{where}: a key_ID came twice in one answer; none of its keys is used, tell the KME's "
            "operator"
        )
    if size_bits >= DISTINCT_BITS and len({key.secret.reveal() for key in keys}) != number:
        raise KmeAnswerError(
            f"{where}: the same key came under two key_IDs; none is used, this KME's key "
            "generation is broken"
        )
    return keys


def read_chosen_keys(
    reply: Reply, where: str, key_ids: Sequence[str], size_bits: int
) -> tuple[DeliveredKey, ...]:
    """Read the answer to `dec_keys`: the keys asked for, in the order and spelling asked for.

    Raises:
        KmeError: By kind, see `errors`; no key of a bad answer is used.
    """
    found = {canonical(k.key_id): k for k in read_keys(reply, where, len(key_ids), size_bits)}
    if found.keys() != {canonical(key_id) for key_id in key_ids}:
        raise KmeAnswerError(
            f"{where}: got other key_IDs than were asked for; none of the keys is used, tell the "
            "KME's operator"
        )
    return tuple(DeliveredKey(key_id, found[canonical(key_id)].secret) for key_id in key_ids)


def canonical(key_id: str) -> str:
    """One spelling per UUID (RFC 4122: case does not count)."""
    return key_id.lower()


def _parse(model: type[W], reply: Reply, where: str) -> W:
    _check_success(reply, where)
    try:
        return model.model_validate_json(reply.body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the answer"
        raise KmeAnswerError(
            f"{where}: `{field}` is not as ETSI GS QKD 014 prescribes ({problem['type']}); tell "
            "the KME's operator"
        ) from None


def _key(entry: KeyEntry, where: str, size_bits: int) -> DeliveredKey:
    try:
        secret = base64.b64decode(entry.key, validate=True)
    except (binascii.Error, ValueError):
        raise KmeAnswerError(
            f"{where}: key {entry.key_ID} is not base64; tell the KME's operator"
        ) from None
    if len(secret) * 8 != size_bits:
        raise KmeAnswerError(
            f"{where}: key {entry.key_ID} has {len(secret) * 8} bits, {size_bits} were asked for; "
            "none of the answer's keys is used"
        )
    return DeliveredKey(entry.key_ID, KeyMaterial(secret))


def _check_success(reply: Reply, where: str) -> None:
    if reply.status != 200:
        raise _refusal(reply, where)
    if reply.media_type != "application/json":
        raise KmeAnswerError(
            f"{where}: got {reply.media_type or 'no media type'} instead of application/json; "
            "check that `kme_url` leads to a KME and not to a proxy or a web page"
        )


def _refusal(reply: Reply, where: str) -> KmeError:
    said = _message_in(reply)
    match reply.status:
        case 401:
            return KmeUnauthorizedError(
                f"{where}: 401 unauthorized; the KME does not take our certificate for this call: "
                "check that it names `sae_id`, that the KME knows it, and the peer's ID"
            )
        case 503:
            return KmeBusyError(f"{where}: 503{said}; the KME cannot deliver now, ask again later")
        case 400 if TOO_FEW.search(said):
            return KmeBusyError(f"{where}: 400{said}; too few keys are left, ask again later")
        case 400:
            return KmeRefusedError(
                f"{where}: 400{said or ' without a reason'}; check the peer's ID and that each key "
                "is fetched once, by the end it was made for"
            )
    return KmeAnswerError(
        f"{where}: HTTP {reply.status} ({reply.media_type or 'no media type'}), which ETSI GS QKD "
        "014 does not have; check `kme_url`, or ask the KME's operator"
    )


def _message_in(reply: Reply) -> str:
    """What the KME says, in quotes and shortened; "" if it says nothing readable."""
    try:
        message = Problem.model_validate_json(reply.body).message
    except ValidationError:
        return ""
    shown = json.dumps(" ".join(message.split())[:SHOWN], ensure_ascii=True)
    return f" {shown}" if len(shown) > 2 else ""
