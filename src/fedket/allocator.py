"""What the C library does with freed memory.

`keep_freed_memory` is for simulations: compiled rounds ask for the same large buffers every call,
but glibc returns every block above 32 MiB to the kernel when it is freed, and the next call pays a
page fault per 4 KiB to get it back: a quarter to a half of the time of steps that need such
buffers. `return_freed_memory` is for sites that mostly wait.
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
    if not _is_linux():
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


def return_freed_memory() -> bool:
    """Give back what is free right now, in about a millisecond.

    Returns:
        Whether anything could be given back; only glibc can.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _is_linux() else None
    return bool(trim and trim(0))


def _is_linux() -> bool:
    return sys.platform.startswith("linux")
