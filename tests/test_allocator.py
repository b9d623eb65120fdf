"""Freed memory stays with the process where the C library is glibc."""

import platform
import subprocess
import sys

import pytest

REUSE = """
import resource, numpy as np
from fedket.allocator import keep_freed_memory
assert keep_freed_memory()
def touch():
    block = np.empty(100 * 2**20, np.uint8)
    block[:] = 1
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_large_buffers_are_reused_without_page_faults():
    """Five times 100 MiB would fault 128,000 pages of 4 KiB if each block came from the kernel."""
    result = subprocess.run(
        [sys.executable, "-c", REUSE], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 1000
