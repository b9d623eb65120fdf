"""Keep freed memory in the process: compiled rounds ask for the same large buffers every call.

glibc returns every block above 32 MiB to the kernel when it is freed, and the next call pays a
page fault per 4 KiB to get it back: a quarter to a half of the time of steps that need such
buffers.
"""

import ctypes
import sys

_LARGEST = 2**31 - 1  # mallopt takes an int
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


def keep_freed_memory() -> bool:
    """Make this process reuse large buffers instead of giving them back; call it at the start.

    The process then stays at its peak size until it ends. One arena serves all threads, because
    others cannot grow past 64 MiB. The command line calls this; a Python program may.

    Returns:
        Whether the C library took the settings; only glibc knows them.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = [
        (_M_MMAP_THRESHOLD, _LARGEST),
        (_M_TRIM_THRESHOLD, _LARGEST),
        (_M_ARENA_MAX, 1),
    ]
    taken = [mallopt(option, value) for option, value in settings]
    return taken == [1] * len(settings)
