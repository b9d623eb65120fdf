"""The link's protocol against a server that forges; the long version is `tests.keys.link_fuzz`."""

import pytest
from link_fuzz import fuzz


@pytest.mark.parametrize("cases", [15, pytest.param(10_000, marks=pytest.mark.long)])
def test_no_byte_is_given_out_twice_whatever_is_killed_restored_or_forged(tmp_path, cases):
    happened = fuzz(cases, directory=tmp_path)
    assert {"used", "used alone", "restored", "killed"} <= set(happened)
