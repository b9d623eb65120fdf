"""From a KME's reply to values that may be used, or to one clear error.

Nothing is trusted: encoding, key IDs, number and length of keys, duplicates. What can be understood
in one way only is: any media type with JSON in it, a byte order mark, base64 in either alphabet and
without its end, hexadecimal keys. No message repeats a reply's body, which may hold keys; a KME's
own error message is shown shortened.
"""

import base64
import binascii
import json
import re
import uuid
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from fedket.keys.etsi014.errors import (
    KmeAnswerError,
    KmeBusyError,
    KmeError,
    KmeRefusedError,
    KmeUnauthorizedError,
)
from fedket.keys.etsi014.models import Answer, KeyContainer, KeyEntry, Status
from fedket.keys.material import KeyMaterial

A = TypeVar("A", bound=Answer)

TOO_FEW = re.compile(
    r"not enough|insufficient|too few|shortage|exhaust|(ran|run) out|unavailable|not available"
    r"|(try|come|ask) again|again later|than available|0 keys|empty"
    r"|no (more )?keys?\b.*(left|available|stored|remain)|no (more )?keys?\.?$",
    re.IGNORECASE,
)
"""Vendors' ways of saying, in a refusal, that the pool is empty."""

SUCCESS = (200, 201, 202, 203)
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""HTTP status codes that may be over after a while, whatever a KME or a proxy means by them."""

TOLD_IN = ("message", "detail", "details", "error", "error_message", "reason", "msg")
"""Where KMEs put what is wrong; the standard has `message`."""

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
    status = parse_answer(Status, reply, where)
    if not status.min_key_size <= status.key_size <= status.max_key_size:
        raise KmeAnswerError(
            f"{where}: key sizes should rise from min_key_size to key_size to max_key_size, got "
            f"{status.min_key_size}, {status.key_size}, {status.max_key_size} bits; tell the "
            "KME's operator"
        )
    return status


def read_keys(reply: Reply, where: str, number: int, size_bits: int) -> tuple[DeliveredKey, ...]:
    """Read the answer to `enc_keys`: up to `number` different keys of `size_bits` bits each.

    Raises:
        KmeBusyError: It holds no key, as if the pool were empty.
        KmeError: By kind, see `errors`; no key of a bad answer is used.
    """
    if reply.status in (204, 404):
        raise _later(reply, where)
    entries = parse_answer(KeyContainer, reply, where).keys
    if not entries:
        raise KmeBusyError(f"{where}: no keys came; too few are left, ask again later")
    if len(entries) > number:
        raise KmeAnswerError(
            f"{where}: asked for {number} keys, got {len(entries)}; none is used, tell the KME's "
            "operator"
        )
    keys = tuple(_key(entry, where, size_bits) for entry in entries)
    if len({canonical(key.key_id) for key in keys}) != len(keys):
        raise KmeAnswerError(
            f"{where}: a key_ID came twice in one answer; none of its keys is used, tell the KME's "
            "operator"
        )
    if size_bits >= DISTINCT_BITS and len({key.secret.reveal() for key in keys}) != len(keys):
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
        KmeRefusedError: The KME does not know them, perhaps yet.
        KmeError: By kind, see `errors`; no key of a bad answer is used.
    """
    said = _message_in(reply)
    if reply.status in (204, 404) or (reply.status == 401 and said):
        raise KmeRefusedError(
            f"{where}: {reply.status}{said}; this KME does not know the keys, or not yet: check "
            "the peer's ID and that each key is fetched once, by the end it was made for"
        )
    found = {canonical(k.key_id): k for k in read_keys(reply, where, len(key_ids), size_bits)}
    if found.keys() != {canonical(key_id) for key_id in key_ids}:
        raise KmeAnswerError(
            f"{where}: asked for {len(key_ids)} keys by their key_IDs, got {len(found)}, not the "
            "same; none of the keys is used, tell the KME's operator"
        )
    return tuple(DeliveredKey(key_id, found[canonical(key_id)].secret) for key_id in key_ids)


@lru_cache(maxsize=1 << 12)
def canonical(key_id: str) -> str:
    """One spelling per UUID (RFC 4122: case does not count); other names stay as they are.

    Remembered, since a dozen places ask for that of each key.
    """
    try:
        return str(uuid.UUID(key_id))
    except ValueError:
        return key_id


def parse_answer(model: type[A], reply: Reply, where: str) -> A:
    """Read an answer of one kind.

    Raises:
        KmeError: By kind, see `errors`.
    """
    if reply.status not in SUCCESS:
        raise _refusal(reply, where)
    try:
        return model.model_validate(_json_in(reply))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the answer"
        raise KmeAnswerError(
            f"{where}: `{field}` is not as prescribed ({problem['type']}); tell the KME's operator"
        ) from None
    except ValueError:
        raise KmeAnswerError(
            f"{where}: got {reply.media_type or 'something without a media type'} instead of "
            "JSON; check that `kme_url` leads to a KME and not to a proxy or a web page"
        ) from None


def _json_in(reply: Reply) -> Any:
    """The body as JSON, in UTF-8, -16 or -32, with or without a byte order mark (RFC 8259).

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(reply.body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _key(entry: KeyEntry, where: str, size_bits: int) -> DeliveredKey:
    text = "".join(entry.key.split())
    if len(text) == size_bits // 4 and re.fullmatch("[0-9A-Fa-f]+", text):
        return DeliveredKey(entry.key_ID, KeyMaterial(bytes.fromhex(text)))
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        secret = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise KmeAnswerError(
            f"{where}: key {entry.key_ID} is not base64; tell the KME's operator"
        ) from None
    if len(secret) * 8 != size_bits:
        raise KmeAnswerError(
            f"{where}: key {entry.key_ID} has {len(secret) * 8} bits, {size_bits} were asked for; "
            "none of the answer's keys is used. If this KME has one size only, name it: `key_bits`"
        )
    return DeliveredKey(entry.key_ID, KeyMaterial(secret))


def _later(reply: Reply, where: str) -> KmeError:
    said = f"{reply.status}{_message_in(reply)}"
    return KmeBusyError(f"{where}: {said}; the KME cannot deliver now, ask again later")


def _refusal(reply: Reply, where: str) -> KmeError:
    status, said = reply.status, _message_in(reply)
    if status in BUSY:
        return _later(reply, where)
    if status in (401, 403):
        return KmeUnauthorizedError(
            f"{where}: {status} unauthorized{said}; the KME does not take our certificate for this "
            "call: check that it names `sae_id`, that the KME knows it, and the peer's ID"
        )
    if 400 <= status < 500 and TOO_FEW.search(said):
        return KmeBusyError(f"{where}: {status}{said}; too few keys are left, ask again later")
    if status in (400, 409, 410, 422):
        return KmeRefusedError(
            f"{where}: {status}{said or ' without a reason'}; check the peer's ID and that each "
            "key is fetched once, by the end it was made for"
        )
    advice = {
        404: "check `kme_url`, also the part behind the host, and the peer's ID",
        405: 'the KME takes no such request; try `method = "GET"`, or "POST"',
        415: 'the KME takes no JSON; try `method = "GET"`',
    }.get(status, "check `kme_url`, or ask the KME's operator")
    return KmeAnswerError(
        f"{where}: HTTP {status}{said} ({reply.media_type or 'no media type'}), which ETSI GS QKD "
        f"014 does not have; {advice}"
    )


def _message_in(reply: Reply) -> str:
    """What the KME says, in quotes and shortened; "" if it says nothing readable."""
    try:
        told = _json_in(reply)
    except ValueError:
        return ""
    while told and isinstance(told, dict | list):
        told = told[0] if isinstance(told, list) else _told_in(told)
    if not isinstance(told, str) or not told:
        return ""
    return f" {json.dumps(' '.join(told.split())[:SHOWN], ensure_ascii=True)}"


def _told_in(problem: dict[str, Any]) -> Any:
    return next((problem[name] for name in TOLD_IN if problem.get(name)), "")
