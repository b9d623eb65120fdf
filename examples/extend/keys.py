"""A key source of one's own: bytes of a hardware generator, for all parties of a simulation.

Run it with `python examples/extend/keys.py`, or name it: `[keys] kind = "keys.py:Device"`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import fedket as fk


def draw(device: BinaryIO, _stream: object, num_bytes: int) -> fk.KeyMaterial:
    """Bytes that nobody has had; the source sees to it that each is spent once."""
    drawn = device.read(num_bytes)
    if len(drawn) < num_bytes:
        raise fk.FedketError(f"the generator gave {len(drawn)} of {num_bytes} bytes")
    return fk.KeyMaterial(drawn)


@contextmanager
def device_source(path: str) -> Iterator[fk.KeySource]:
    """A source that is open as long as the run; any `KeySource` will do."""
    with Path(path).open("rb", buffering=0) as device:
        yield fk.StreamSource(partial(draw, device))


class Device(fk.KeysConfig):
    """The keys of `[keys]`, beside `deadline_s` and `starvation`."""

    path: str = "/dev/random"

    @contextmanager
    def build(self, context: fk.Context) -> Iterator[fk.KeySource]:
        """A context manager, since there may be something to close."""
        with device_source(self.path) as source:
            yield source


if __name__ == "__main__":
    from first import demonstrate

    with device_source("/dev/random") as source:
        demonstrate(reducer=fk.masked_sum(16, "headroom", 1.0, source))
