"""`make fuzz CASES=20000` draws so many seeds for each test of this folder."""

import os

import pytest
from hypothesis import settings

CASES = int(os.environ.get("FEDKET_FUZZ_CASES", "0"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """Draw as many cases as were asked for, others every time."""
    own = [item.function for item in items if "fuzz" in item.path.parts] if CASES else []
    for test in set(own):
        test._hypothesis_internal_use_settings = settings(
            settings.get_profile("long"), max_examples=CASES
        )
