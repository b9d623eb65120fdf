"""Pools fill at their rate, never beyond their capacity, and give no key twice."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.keys.kme.config import KmeConfig, KmeSection, Limits, LinkSection
from fedket.keys.kme.pools import KeyPools, RefusedError

FILE = Path("unused")
PAIR = frozenset(("alice", "bob"))


def pools_of(rate_bps=0.0, initial=0, clock=lambda: 0.0, **limits) -> KeyPools:
    kme = KmeSection(id="kme", ca=FILE, certificate=FILE, key=FILE, saes=("alice", "bob", "carol"))
    links = [
        LinkSection(saes=saes, rate_bps=rate_bps, initial_keys=initial)
        for saes in [("alice", "bob"), ("alice", "carol")]
    ]
    config = KmeConfig(kme=(kme,), link=tuple(links), limits=Limits(**limits))
    return KeyPools(config, clock)


@given(
    steps=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), max_size=30),
    rate_bps=st.floats(0, 1e4),
)
def test_no_more_key_is_delivered_than_was_distilled(steps, rate_bps):
    now, delivered, ids = [5.0], 0, set()
    pools = pools_of(rate_bps, initial=3, clock=lambda: now[0], max_key_count=50)
    for wait_s, number in steps:
        now[0] += wait_s
        try:
            keys = pools.deliver("alice", ("bob",), number, 256)
        except RefusedError:
            assert pools.stored_key_count("alice", "bob") < number
            continue
        delivered += number * 256
        ids |= {key.key_id for key in keys}
        assert pools.stored_key_count("bob", "alice") <= 50
    assert delivered <= 3 * 256 + rate_bps * (now[0] - 5) + 1e-6
    assert len(ids) * 256 == delivered


def test_a_full_pool_loses_what_comes_on_top():
    now = [0.0]
    pools = pools_of(rate_bps=256.0, clock=lambda: now[0], max_key_count=5)
    now[0] = 1000.0
    assert pools.stored_key_count("alice", "bob") == 5
    pools.deliver("alice", ("bob",), 5, 256)
    assert pools.stored_key_count("alice", "bob") == 0


def test_a_shortage_of_one_slave_takes_nothing_from_the_others():
    pools = pools_of(initial=2)
    pools.deliver("alice", ("carol",), 1, 256)
    with pytest.raises(RefusedError, match="503 not enough keys"):
        pools.deliver("alice", ("bob", "carol"), 2, 256)
    assert pools.stored_key_count("alice", "bob") == 2


def test_a_key_goes_to_each_of_its_slaves_once():
    pools = pools_of(initial=10)
    ids = tuple(key.key_id for key in pools.deliver("alice", ("bob",), 2, 256))
    for slave, master, wanted, status in [
        ("carol", "alice", ids, 401),
        ("bob", "carol", ids, 400),
        ("bob", "alice", (ids[0], ids[0]), 400),
        ("bob", "alice", (ids[0], ids[0].upper()), 400),
    ]:
        with pytest.raises(RefusedError) as error:
            pools.collect(master, slave, wanted)
        assert error.value.status == status
    assert pools.collect("alice", "bob", ids[:1])[0].key_id == ids[0]
    with pytest.raises(RefusedError, match="400"):
        pools.collect("alice", "bob", ids)
    pools.collect("alice", "bob", ids[1:])
    assert pools._issued == {}


def test_keys_that_nobody_fetches_do_not_fill_the_memory():
    pools = pools_of(initial=100, max_key_count=4)
    for _ in range(10):
        ids = [key.key_id for key in pools.deliver("alice", ("bob",), 1, 256)]
        pools._pools[PAIR].bits = 1024.0
    assert len(pools._issued) == 4
    assert pools.collect("alice", "bob", tuple(ids))


@pytest.mark.parametrize(("master", "slave"), [("carol", "alice"), ("alice", "carol")])
def test_keys_that_somebody_leaves_there_displace_nobody_elses(master, slave):
    pools = pools_of(initial=4, max_key_count=4)
    ids = tuple(key.key_id for key in pools.deliver("alice", ("bob",), 4, 256))
    for _ in range(10):
        pools.deliver(master, (slave,), 4, 256)
        pools._pools[frozenset(("alice", "carol"))].bits = 1024.0
    assert len(pools.collect("alice", "bob", ids)) == 4


def test_keys_are_hidden():
    pools = pools_of(initial=4)
    (key,) = pools.deliver("alice", ("bob",), 1, 64)
    assert key.secret.reveal().hex() not in repr(key) + repr(pools._issued)
