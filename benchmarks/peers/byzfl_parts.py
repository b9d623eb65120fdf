"""ByzFL's rules and attacks without the rest of it, which imports torchvision and plots."""

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


def load(name: str) -> Any:
    """Return `byzfl.NAME`, without running `byzfl/__init__.py`."""
    if "byzfl" not in sys.modules:
        spec = find_spec("byzfl")
        assert spec is not None
        package = ModuleType("byzfl")
        package.__path__ = list(spec.submodule_search_locations or [])
        sys.modules["byzfl"] = package
    return import_module(f"byzfl.{name}")
