"""What a round began with at a client: what clients tell each other under MACs, to find a lie.

A server that shows clients different models, or different numbers of samples, makes "the sum" the
update of one of them (Pasquini et al. 2022, arXiv:2111.07380). So every client states two hashes,

    SHA-256 of the model | SHA-256 of all else that the round began with,

and goes on only with those that state the same. Here, and nowhere else in the protocols, something
rests on a computational assumption: that a lying server finds no collision of SHA-256.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from fedket.secure.mac import encode_fields
from fedket.secure.phases import Payload
from fedket.types import RoundContext

DIGEST_BYTES = 32
STATEMENT_BYTES = 2 * DIGEST_BYTES

PARTS = ("model", "cohort, other numbers of samples or another graph")


class Begun(NamedTuple):
    """The round that a client was sent a model for.

    Attributes:
        context: The round.
        statement: What it says to others about its beginning, `STATEMENT_BYTES`.
    """

    context: RoundContext
    statement: bytes

    @property
    def model(self) -> bytes:
        """SHA-256 of the model."""
        return self.statement[:DIGEST_BYTES]


NOTHING_BEGUN = Begun(RoundContext(0, 0, (), ()), bytes(STATEMENT_BYTES))
"""The state of a client that was sent no model yet."""


def statement_of(opening: Payload) -> bytes:
    """Return what a client states about what it was sent."""
    rest: Mapping[str, object] = {k: v for k, v in opening.items() if k != "model"}
    model = opening.get("model", b"")
    return sha256(encode_fields({"model": model})).digest() + sha256(encode_fields(rest)).digest()


def difference(own: bytes, other: bytes) -> str:
    """Say in which parts two statements differ."""
    starts = range(0, STATEMENT_BYTES, DIGEST_BYTES)
    differ = [
        f"another {part}"
        for part, start in zip(PARTS, starts, strict=True)
        if own[start : start + DIGEST_BYTES] != other[start : start + DIGEST_BYTES]
    ]
    return " and ".join(differ)
