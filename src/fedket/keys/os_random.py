"""Key streams from the operating system's generator, for all parties in one process."""

import os

from fedket.keys.material import KeyMaterial
from fedket.keys.streams import StreamSource


class OsRandomSource(StreamSource):
    """`fedket.types.KeySource` over `os.urandom`."""

    def __init__(self) -> None:
        super().__init__(lambda _stream, num_bytes: KeyMaterial(os.urandom(num_bytes)))
