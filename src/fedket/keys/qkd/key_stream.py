"""A queue of key bytes with absolute offsets that does not show them."""

from fedket.errors import KeyMaterialError
from fedket.keys.material import KeyMaterial


class KeyStream:
    """Bytes [start, end) of a stream; grows at the end, is forgotten from the start."""

    __slots__ = ("__held", "start")

    def __init__(self) -> None:
        self.start = 0
        self.__held = bytearray()

    @property
    def end(self) -> int:
        """The offset that the next appended byte gets."""
        return self.start + len(self.__held)

    def __len__(self) -> int:
        return len(self.__held)

    def __repr__(self) -> str:
        return f"KeyStream(bytes {self.start} to {self.end}, hidden)"

    def append(self, material: KeyMaterial) -> None:
        """Add key at the end."""
        self.__held += material.reveal()

    def read(self, offset: int, num_bytes: int) -> KeyMaterial:
        """Return bytes [offset, offset + num_bytes) and keep them.

        Raises:
            KeyMaterialError: Some of them are forgotten or not there yet.
        """
        if offset < self.start or offset + num_bytes > self.end or num_bytes < 0:
            raise KeyMaterialError(
                f"a key stream holds bytes {self.start} to {self.end}, bytes {offset} to "
                f"{offset + num_bytes} were asked for"
            )
        first = offset - self.start
        return KeyMaterial(bytes(self.__held[first : first + num_bytes]))

    def forget(self, offset: int) -> None:
        """Drop everything below an offset."""
        dropped = min(max(0, offset - self.start), len(self))
        del self.__held[:dropped]
        self.start += dropped

    def take(self, num_bytes: int) -> KeyMaterial:
        """Return the first bytes and drop them.

        Raises:
            KeyMaterialError: There are not that many.
        """
        material = self.read(self.start, num_bytes)
        self.forget(self.start + num_bytes)
        return material
