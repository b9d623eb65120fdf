"""Standard output and error of the program, which outlive whoever reads them."""

import errno
import io
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

GONE = {errno.EPIPE, errno.EIO}
"""The reader, such as `head`, has seen enough; the terminal was closed."""


class _Outlet(io.FileIO):
    """A file descriptor that takes everything, and drops what nobody reads any more."""

    def write(self, data: "Buffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in GONE:
                raise
            return memoryview(data).nbytes


def open_outlets() -> None:
    """Let neither a reader that leaves end a run, nor a character that it cannot spell (`⟨Z⟩`)."""
    sys.stdout, sys.stderr = _outlet(sys.stdout), _outlet(sys.stderr)


def _outlet(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    raw = _Outlet(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
