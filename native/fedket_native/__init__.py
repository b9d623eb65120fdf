"""Compiled kernels of fedket's circuits and small convolutions: XLA custom calls for CPUs.

fedket finds this package by itself; nothing here is meant to be called by others. There is one
library per level of the x86-64 instruction set (2: any, 3: AVX2, 4: AVX-512), one elsewhere.
"""

import ctypes
import os
from pathlib import Path
from typing import Any


def _path(level: int) -> Path:
    return Path(__file__).with_name(f"libfedket_v{level}.so")


def _chosen() -> tuple[int, ctypes.CDLL]:
    """The machine's level, or a lower one that `FEDKET_NATIVE` asks for."""
    lowest = next(level for level in (2, 0) if _path(level).exists())
    level = int(ctypes.CDLL(str(_path(lowest))).fedket_level())
    asked = os.environ.get("FEDKET_NATIVE", "")
    if asked in ("2", "3"):
        level = min(level, int(asked))
    return level, ctypes.CDLL(str(_path(level)))


LEVEL, _LIBRARY = _chosen()
"""Level of x86-64 that the kernels in use were compiled for; 0 on other machines."""

TARGETS: dict[str, Any] = {
    name: getattr(_LIBRARY, name)
    for name in (
        "fedket_forward",
        "fedket_backward",
        "fedket_trajectories",
        "fedket_trajectories_back",
        "fedket_observables_back",
        "fedket_cotangents_forth",
        "fedket_values",
        "fedket_averages",
        "fedket_pooled",
        "fedket_pooled_images_back",
        "fedket_pooled_kernel_back",
    )
}
"""XLA FFI handlers, by the name that programs call them by."""
