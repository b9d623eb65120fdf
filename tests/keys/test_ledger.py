import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.errors import KeyExhaustedError, KeyMaterialError, KeyReusedError
from fedket.keys.ledger import PadLedger, PadState, PadTotals

AHEAD, BACK = (1, 2), (2, 1)
"""The two streams between parties 1 and 2."""

small = st.integers(0, 6)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), small, small),
        st.tuples(st.just("accept"), small, st.integers(-1, 30), small),
        st.tuples(st.just("spend"), small, small, small),
        st.tuples(st.just("burn"), small),
    ),
    max_size=40,
)


@pytest.mark.parametrize("end", AHEAD)
@settings(deadline=None)
@given(script=operations)
def test_whatever_is_asked_no_byte_is_handed_to_an_end_twice(end, script):
    """End 1 reserves, end 2 accepts; bytes are named by their offset in the stream."""
    ledger, handed, mark, skipped, rounds = PadLedger(), set(), 0, 0, [-1]
    for name, round_num, *numbers in script:
        try:
            if name == "reserve":
                (length,) = numbers
                offset = ledger.reserve(round_num, end, {AHEAD: length})[AHEAD]
                assert (offset, end) == (mark, 1)
            elif name == "accept":
                offset, length = numbers
                ledger.accept(round_num, end, {AHEAD: (offset, length)})
                assert offset >= mark
                assert end == 2
            elif name == "spend":
                start, length = numbers
                where = ledger.spend(round_num, end, AHEAD, start, length)
                piece = set(range(where, where + length))
                assert not piece & handed
                assert round_num == rounds[-1]
                assert where + length <= mark
                handed |= piece
                continue
            else:
                ledger.burn(round_num, end, [AHEAD])
                continue
        except KeyMaterialError:
            continue
        assert round_num > rounds[-1]
        rounds.append(round_num)
        skipped, mark = skipped + offset - mark, offset + length
    totals = ledger.totals()
    assert totals.consumed == len(handed)
    assert sum(totals) == mark
    assert totals.burned >= skipped


def test_a_reservation_goes_from_available_to_reserved_to_consumed():
    ledger = PadLedger()
    assert ledger.state(1, 1, AHEAD) is PadState.AVAILABLE
    assert ledger.reserve(1, 1, {AHEAD: 10}) == {AHEAD: 0}
    assert ledger.spend(1, 1, AHEAD, 0, 4) == 0
    assert ledger.state(1, 1, AHEAD) is PadState.RESERVED
    assert ledger.spend(1, 1, AHEAD, 4, 6) == 4
    assert ledger.state(1, 1, AHEAD) is PadState.CONSUMED
    ledger.burn(1, 1, [AHEAD])
    assert ledger.state(1, 1, AHEAD) is PadState.CONSUMED
    assert ledger.totals() == PadTotals(reserved=0, consumed=10, burned=0)


def test_burned_bytes_never_come_back():
    ledger = PadLedger()
    ledger.reserve(1, 1, {AHEAD: 10})
    ledger.spend(1, 1, AHEAD, 0, 4)
    ledger.burn(1, 1, [AHEAD, BACK])
    assert ledger.state(1, 1, AHEAD) is PadState.BURNED
    with pytest.raises(KeyReusedError):
        ledger.spend(1, 1, AHEAD, 4, 6)
    with pytest.raises(KeyReusedError):
        ledger.reserve(1, 1, {AHEAD: 10})
    assert ledger.reserve(2, 1, {AHEAD: 1}) == {AHEAD: 10}
    assert ledger.totals() == PadTotals(reserved=1, consumed=4, burned=6)


def test_skipped_bytes_are_burned_and_not_given_later():
    ledger = PadLedger()
    ledger.reserve(1, 1, {AHEAD: 10})
    assert ledger.spend(1, 1, AHEAD, 4, 6) == 4
    assert ledger.state(1, 1, AHEAD) is PadState.BURNED
    with pytest.raises(KeyReusedError):
        ledger.spend(1, 1, AHEAD, 0, 4)
    assert ledger.totals() == PadTotals(reserved=0, consumed=6, burned=4)


def test_a_new_round_burns_what_is_left_of_the_old_one():
    ledger = PadLedger()
    ledger.reserve(1, 1, {AHEAD: 10})
    assert ledger.reserve(2, 1, {AHEAD: 3}) == {AHEAD: 10}
    assert ledger.totals() == PadTotals(reserved=3, consumed=0, burned=10)
    with pytest.raises(KeyReusedError):
        ledger.spend(1, 1, AHEAD, 0, 1)
    with pytest.raises(KeyMaterialError, match="round 1 is over"):
        ledger.state(1, 1, AHEAD)


def test_the_two_ends_and_the_two_directions_of_a_link_are_counted_apart():
    ledger = PadLedger()
    ledger.reserve(1, 1, {AHEAD: 4})
    ledger.accept(1, 2, {AHEAD: (0, 4)})
    assert ledger.reserve(1, 2, {BACK: 4}) == {BACK: 0}
    ledger.spend(1, 1, AHEAD, 0, 4)
    ledger.spend(1, 2, AHEAD, 0, 4)
    ledger.spend(1, 2, BACK, 0, 4)
    with pytest.raises(KeyReusedError, match="used once"):
        ledger.spend(1, 2, AHEAD, 0, 4)


def test_a_receiver_never_goes_below_its_mark_and_burns_what_it_skips():
    ledger = PadLedger()
    ledger.accept(1, 2, {AHEAD: (5, 10)})
    assert ledger.totals() == PadTotals(reserved=10, consumed=0, burned=5)
    for offset in (-1, 0, 14):
        with pytest.raises(KeyReusedError, match=f"from byte {offset} was announced, bytes below"):
            ledger.accept(2, 2, {AHEAD: (offset, 4)})
    assert ledger.spend(1, 2, AHEAD, 0, 10) == 5
    ledger.accept(2, 2, {AHEAD: (15, 4)})
    assert ledger.spend(2, 2, AHEAD, 1, 3) == 16


def test_all_streams_are_set_aside_or_none():
    ledger = PadLedger()
    ledger.reserve(3, 1, {(1, 5): 4})
    ledger.accept(3, 1, {(5, 1): (0, 4)})
    before = ledger.totals()
    with pytest.raises(KeyReusedError):
        ledger.reserve(3, 1, {(1, 4): 4, (1, 5): 4})
    with pytest.raises(KeyReusedError):
        ledger.accept(4, 1, {(4, 1): (7, 4), (5, 1): (0, 4)})
    assert ledger.totals() == before
    assert ledger.state(3, 1, (1, 4)) is ledger.state(4, 1, (4, 1)) is PadState.AVAILABLE


def test_disorder_is_refused():
    ledger = PadLedger()
    with pytest.raises(KeyMaterialError, match="nothing of it is reserved"):
        ledger.spend(1, 1, AHEAD, 0, 1)
    for lengths in ({(3, 3): 1}, {BACK: 1}, {AHEAD: -1}):
        with pytest.raises(KeyMaterialError, match="between two parties"):
            ledger.reserve(1, 1, lengths)
    for ranges in ({(3, 3): (0, 1)}, {BACK: (0, -1)}, {AHEAD: (0, 1)}):
        with pytest.raises(KeyMaterialError, match="between two parties"):
            ledger.accept(1, 1, ranges)
    ledger.reserve(1, 1, {AHEAD: 4})
    for num_bytes in (0, -1):
        with pytest.raises(KeyMaterialError, match="reserve 1 or more"):
            ledger.spend(1, 1, AHEAD, 0, num_bytes)
    with pytest.raises(KeyReusedError):
        ledger.spend(1, 1, AHEAD, -1, 2)
    with pytest.raises(KeyExhaustedError, match="has 4 bytes, 5"):
        ledger.spend(1, 1, AHEAD, 0, 5)
    with pytest.raises(KeyReusedError, match="only go up"):
        ledger.reserve(1, 1, {AHEAD: 4})
    assert ledger.totals() == PadTotals(reserved=4, consumed=0, burned=0)
    ledger.reserve(2, 1, {AHEAD: 2})
    with pytest.raises(KeyExhaustedError, match="has 2 bytes, 3"):
        ledger.spend(2, 1, AHEAD, 0, 3)
