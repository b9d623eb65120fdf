"""Key bytes that do not show up in `repr`, logs, exceptions, pickles or copies.

Python cannot promise to erase memory: a dropped `KeyMaterial` is garbage, not zeros.
"""

import hmac
from typing import NoReturn

from fedket.errors import KeyMaterialError


class KeyMaterial:
    """Secret bytes. Only `reveal` gives them; comparison takes constant time; never hashable."""

    __slots__ = ("__secret",)
    __hash__ = None  # type: ignore[assignment]  # a hash would be a fingerprint of the key

    def __init__(self, secret: bytes) -> None:
        self.__secret = secret

    def reveal(self) -> bytes:
        """Return the bytes; whoever calls this must not store, log or send them."""
        return self.__secret

    def __len__(self) -> int:
        return len(self.__secret)

    def __repr__(self) -> str:
        return f"KeyMaterial({len(self)} bytes, hidden)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KeyMaterial):
            return NotImplemented
        return hmac.compare_digest(self.__secret, other.__secret)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise KeyMaterialError(
            f"{self!r} cannot be pickled or copied; pass the object itself, or draw a new key"
        )
