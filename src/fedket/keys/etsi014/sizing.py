"""How much to ask a KME for at a time."""

import math
from typing import NamedTuple

from fedket.keys.etsi014.errors import KmeAnswerError
from fedket.keys.etsi014.models import Status

BATCH_BYTES = 1 << 20
"""Most key bytes in one call, whatever the KME allows."""

MOST_KEYS = 65536
"""Most keys in one call, or in one announcement."""


class Request(NamedTuple):
    """`number` keys of `size_bytes` bytes each."""

    number: int
    size_bytes: int


def plan(status: Status, num_bytes: int) -> Request:
    """The largest keys, and as many of them, as the KME allows and `num_bytes` needs.

    Raises:
        KmeAnswerError: The KME's limits leave no size in whole bytes.
    """
    least, most = math.ceil(status.min_key_size / 8), status.max_key_size // 8
    if most < least:
        raise KmeAnswerError(
            f"KME {status.source_KME_ID or '(unnamed)'} delivers keys of {status.min_key_size} to "
            f"{status.max_key_size} bits, none of them in whole bytes; have its limits changed"
        )
    size_bytes = max(least, min(most, num_bytes, BATCH_BYTES))
    allowed = min(status.max_key_per_request, MOST_KEYS, max(1, BATCH_BYTES // size_bytes))
    return Request(min(allowed, math.ceil(num_bytes / size_bytes)), size_bytes)


def shrink(request: Request, status: Status) -> Request:
    """Half as much, for a pool that had too little: fewer keys first, then shorter ones."""
    if request.number > 1:
        return request._replace(number=request.number // 2)
    least = math.ceil(status.min_key_size / 8)
    return request._replace(size_bytes=max(least, request.size_bytes // 2))
