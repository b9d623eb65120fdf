import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qkd_parts import SMALL_LINK, small_links, uniform_network

from fedket.errors import ConfigError, KeyExhaustedError, KeyMaterialError, KeyReusedError
from fedket.keys.material import KeyMaterial
from fedket.keys.qkd.link_run import LinkAlarmError
from fedket.keys.qkd.network import optimised_link
from fedket.keys.qkd.postprocess import Alarm
from fedket.keys.qkd.source import FULL_ROUND_BYTES, SimulatedKeySource
from fedket.keys.streams import KeyStream
from fedket.types import SERVER, KeySource

NETWORK = uniform_network([SERVER, 0, 1], 10.0)
LINKS = small_links(NETWORK)
BLOCK_S = SMALL_LINK.block_seconds * NETWORK.relay_mux
BLOCK_BYTES = int(SMALL_LINK.planned_bits() // 8)


def source(**options):
    return SimulatedKeySource(NETWORK, LINKS, **{"physics_seed": 1, "seed": 2, **options})


def exchange(keys, round_num, stream, num_bytes):
    """Both ends of a stream reserve, accept and spend; returns what they got."""
    sender, receiver = stream
    offset = keys.reserve(round_num, sender, {stream: num_bytes})[stream]
    keys.accept(round_num, receiver, {stream: (offset, num_bytes)})
    return [keys.spend(round_num, end, stream, 0, num_bytes).reveal() for end in stream]


def test_it_is_a_key_source():
    assert isinstance(source(), KeySource)


def test_both_ends_get_the_same_bytes_and_no_byte_comes_twice():
    keys, seen = source(), set()
    for round_num in (1, 2):
        for stream in [(0, 1), (1, 0), (0, SERVER), (SERVER, 0), (SERVER, 1)]:
            one, two = exchange(keys, round_num, stream, 64)
            assert one == two
            seen.update(one[i : i + 16] for i in range(0, 64, 16))
    assert len(seen) == 2 * 5 * 4


@settings(max_examples=8)
@given(cuts=st.sets(st.integers(1, 99), max_size=6), other=st.sets(st.integers(1, 99), max_size=6))
def test_the_ends_may_cut_a_reservation_differently(cuts, other):
    keys = source(post_processing="sampled")
    keys.reserve(1, 0, {(0, 1): 100})
    keys.accept(1, 1, {(0, 1): (0, 100)})
    got = []
    for end, places in ((0, cuts), (1, other)):
        edges = [0, *sorted(places), 100]
        pieces = itertools.pairwise(edges)
        got.append(b"".join(keys.spend(1, end, (0, 1), a, b - a).reveal() for a, b in pieces))
    assert got[0] == got[1]


def test_a_round_waits_on_the_simulated_clock_for_whole_blocks():
    keys = source()
    assert keys.waiting_time({(0, 1): 100}) == (pytest.approx(BLOCK_S), (0, 1))
    keys.reserve(1, 0, {(0, 1): 100})
    assert (keys.clock_s, keys.waited_s()) == (pytest.approx(BLOCK_S),) * 2
    assert {link.blocks for link in keys.links.values()} == {1}
    assert keys.links[0, 1].level == keys.links[0, 1].distilled_bytes - 100
    waited = keys.waited_s()
    keys.reserve(2, 0, {(0, 1): 100})
    assert keys.waited_s() == waited


def test_time_that_passes_anyway_is_not_waited_for():
    keys = source()
    keys.advance(3.5 * BLOCK_S)
    assert keys.waiting_time({(0, 1): 2 * BLOCK_BYTES}) == (0.0, None)
    keys.reserve(1, 0, {(0, 1): 2 * BLOCK_BYTES})
    assert keys.waited_s() == 0
    assert keys.links[0, 1].blocks == 3
    wait = keys.waiting_time({(0, 1): 2 * BLOCK_BYTES, (0, SERVER): 1})
    assert wait == (pytest.approx(0.5 * BLOCK_S), (0, 1))


def test_the_estimate_of_a_wait_is_what_is_waited():
    keys, need = source(), {(0, 1): 3 * BLOCK_BYTES, (0, SERVER): BLOCK_BYTES // 2}
    estimate, pair = keys.waiting_time(need)
    keys.reserve(1, 0, need)
    assert pair == (0, 1)
    assert abs(keys.waited_s() - estimate) < 1.01 * BLOCK_S


def test_key_that_nobody_needs_is_not_distilled_but_counted():
    keys = source()
    keys.advance(2 * BLOCK_S)
    link = keys.links[0, 1]
    assert link.distilled_bytes == 0
    assert 1.7 * BLOCK_BYTES < link.level < 2.3 * BLOCK_BYTES
    keys.reserve(1, 0, {(0, 1): 10})
    assert link.distilled_bytes > 0
    assert 1 < link.efficiency < 1.12


def test_a_full_store_stops_its_link_but_not_the_clock():
    keys = source(capacity_bytes=2 * BLOCK_BYTES)
    keys.advance(1000.5 * BLOCK_S)
    assert keys.clock_s == pytest.approx(1000.5 * BLOCK_S)
    assert {link.blocks for link in keys.links.values()} <= {2, 3}
    with pytest.raises(KeyExhaustedError, match="never comes: at most"):
        keys.reserve(1, 0, {(0, 1): 5 * BLOCK_BYTES})
    assert keys.reserve(2, 0, {(0, 1): 100}) == {(0, 1): 0}


def test_the_same_physics_seed_gives_the_same_clock_and_lengths_but_other_keys():
    one, two = source(seed=None), source(seed=None)
    first, second = (exchange(keys, 1, (0, 1), BLOCK_BYTES + 1) for keys in (one, two))
    assert first[0] != second[0]
    counted = [[link.counts for link in keys.links.values()] for keys in (one, two)]
    assert counted[0] == counted[1]
    assert exchange(source(), 1, (0, 1), 32) == exchange(source(), 1, (0, 1), 32)


def test_sampled_key_is_told_apart_from_distilled_key():
    keys = source(post_processing="sampled", sample_every=3)
    one, two = exchange(keys, 1, (0, 1), 5 * BLOCK_BYTES)
    assert one == two
    link = keys.links[0, 1]
    assert 1.7 < link.distilled_bytes / BLOCK_BYTES < 2.4  # blocks 0 and 3
    assert link.drawn_bytes / BLOCK_BYTES > 2.6


def test_a_tapped_link_gives_no_key_and_raises_its_alarm():
    keys = source()
    keys.intercept((0, 1), 1.0)
    with pytest.raises(LinkAlarmError, match="link of 0 and 1 raised INTRUSION") as error:
        keys.reserve(1, 0, {(0, SERVER): 10, (0, 1): 10})
    assert isinstance(error.value, KeyExhaustedError)
    link = keys.links[0, 1]
    assert (error.value.alarm, error.value.pair) == (Alarm.INTRUSION, (0, 1))
    assert (link.level, link.blocks, link.distilled_bytes, link.drawn_bytes) == (0, 1, 0, 0)
    assert keys.ledger.totals() == (0, 0, 0)
    assert keys.reserve(1, 0, {(0, SERVER): 10}) == {(0, SERVER): 0}  # others go on
    keys.intercept((0, 1), 0.0)
    with pytest.raises(LinkAlarmError):
        keys.reserve(2, 0, {(0, 1): 10})
    keys.clear_alarm((0, 1))
    one, two = exchange(keys, 2, (0, 1), 10)
    assert one == two


def test_tapping_that_begins_later_stops_the_link_then():
    keys = source()
    exchange(keys, 1, (0, 1), 100)
    keys.intercept((0, 1), 1.0)
    keys.advance(BLOCK_S)
    assert keys.waiting_time({(0, 1): 10}).seconds == float("inf")
    with pytest.raises(LinkAlarmError):
        keys.reserve(2, 0, {(0, 1): 10})


def test_a_link_without_any_key_fails_at_once():
    lossy = dict.fromkeys(LINKS, optimised_link((15.0, 15.0), pulses=1e6))
    keys = SimulatedKeySource(NETWORK, lossy, physics_seed=1)
    with pytest.raises(KeyExhaustedError, match="too lossy for its block size"):
        keys.reserve(1, 0, {(0, 1): 1})


def test_no_reservation_waits_longer_than_allowed():
    keys = source(max_wait_s=0.5 * BLOCK_S)
    with pytest.raises(KeyExhaustedError, match="are allowed"):
        keys.reserve(1, 0, {(0, 1): 1})
    keys.advance(0.6 * BLOCK_S)
    assert keys.reserve(1, 0, {(0, 1): 1}) == {(0, 1): 0}


def test_a_reservation_is_all_or_nothing():
    keys = source()
    keys.reserve(2, 0, {(0, 1): 10})
    for round_num, stream in [(2, (0, 1)), (3, (1, 0))]:
        with pytest.raises(KeyMaterialError):
            keys.reserve(round_num, 0, {(0, SERVER): 10, stream: 10})
    link = keys.links[-1, 0]
    assert link.level == link.distilled_bytes > 0
    assert keys.reserve(2, 0, {(0, SERVER): 10}) == {(0, SERVER): 0}
    with pytest.raises(KeyExhaustedError, match="the sender reserves first"):
        keys.accept(3, 1, {(0, 1): (0, 11)})
    keys.accept(3, 1, {(0, 1): (0, 10)})
    with pytest.raises(KeyReusedError):
        keys.accept(4, 1, {(0, 1): (5, 5)})


def test_spent_and_burned_bytes_are_gone():
    keys = source()
    offset = keys.reserve(1, 0, {(0, 1): 10})[0, 1]
    keys.accept(1, 1, {(0, 1): (offset, 10)})
    keys.spend(1, 0, (0, 1), 0, 10)
    keys.burn(1, 1, [(0, 1)])
    for end in (0, 1):
        with pytest.raises(KeyReusedError):
            keys.spend(1, end, (0, 1), 0, 10)
    assert keys.ledger.totals() == (0, 10, 10)
    assert "bytes 10 to 10, hidden" in repr(vars(keys))


def test_what_cannot_be_is_refused():
    with pytest.raises(KeyMaterialError, match="share no link"):
        source().reserve(1, 0, {(0, 7): 1})
    with pytest.raises(KeyMaterialError, match='choose post_processing "full"'):
        source().reserve(1, 0, {(0, 1): FULL_ROUND_BYTES + 1})
    with pytest.raises(ConfigError, match="missing: \\[\\(-1, 0\\)"):
        SimulatedKeySource(NETWORK, {}, physics_seed=1)
    with pytest.raises(ConfigError, match="physics_seed -1"):
        source(physics_seed=-1)
    with pytest.raises(ConfigError, match=r"0\.\.1 of the pulses"):
        source().intercept((0, 1), 1.5)


@given(pieces=st.lists(st.binary(max_size=9), max_size=6), data=st.data())
def test_a_key_stream_is_a_window_on_its_bytes(pieces, data):
    stream, whole = KeyStream(), b"".join(pieces)
    for piece in pieces:
        stream.append(KeyMaterial(piece))
    start = data.draw(st.integers(0, len(whole)))
    stream.forget(start)
    end = data.draw(st.integers(start, len(whole)))
    assert stream.read(start, end - start).reveal() == whole[start:end]
    assert stream.take(end - start).reveal() == whole[start:end]
    assert (stream.start, stream.end, len(stream)) == (end, len(whole), len(whole) - end)
    for offset, size in [(end - 1, 1), (len(whole), 1), (end, -1)]:
        with pytest.raises(KeyMaterialError, match="were asked for"):
            stream.read(offset, size)
