import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.errors import KeyExhaustedError, KeyMaterialError, KeyReusedError
from fedket.keys.ledger import PadLedger, PadState, PadTotals

small = st.integers(0, 6)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), small, small),
        st.tuples(st.just("spend"), small, small, small),
        st.tuples(st.just("burn"), small),
    ),
    max_size=40,
)


@settings(deadline=None)
@given(operations)
def test_whatever_is_asked_no_byte_is_handed_out_twice(script):
    ledger, handed, was_reserved = PadLedger(), set(), {}
    for name, round_num, *numbers in script:
        try:
            getattr(ledger, name)(round_num, 1, 2, *numbers)
        except KeyMaterialError:
            continue
        if name == "reserve":
            assert round_num not in was_reserved
            assert all(round_num > earlier for earlier in was_reserved)
            was_reserved[round_num] = numbers[0]
        if name == "spend":
            offset, length = numbers
            piece = {(round_num, byte) for byte in range(offset, offset + length)}
            assert not piece & handed
            assert offset + length <= was_reserved[round_num]
            handed |= piece
    totals = ledger.totals()
    assert totals.consumed == len(handed)
    assert sum(totals) == sum(was_reserved.values())


def test_a_pad_goes_from_available_to_reserved_to_consumed():
    ledger = PadLedger()
    assert ledger.state(1, 1, 2) is PadState.AVAILABLE
    ledger.reserve(1, 1, 2, 10)
    ledger.spend(1, 1, 2, 0, 4)
    assert ledger.state(1, 1, 2) is PadState.RESERVED
    ledger.spend(1, 1, 2, 4, 6)
    assert ledger.state(1, 1, 2) is PadState.CONSUMED
    ledger.burn(1, 1, 2)
    assert ledger.state(1, 1, 2) is PadState.CONSUMED
    assert ledger.totals() == PadTotals(reserved=0, consumed=10, burned=0)


def test_burned_bytes_never_come_back():
    ledger = PadLedger()
    ledger.reserve(1, 1, 2, 10)
    ledger.spend(1, 1, 2, 0, 4)
    ledger.burn(1, 1, 2)
    assert ledger.state(1, 1, 2) is PadState.BURNED
    with pytest.raises(KeyReusedError):
        ledger.spend(1, 1, 2, 4, 6)
    with pytest.raises(KeyReusedError):
        ledger.reserve(1, 1, 2, 10)
    assert ledger.totals() == PadTotals(reserved=0, consumed=4, burned=6)


def test_a_new_round_burns_what_is_left_of_the_old_one():
    ledger = PadLedger()
    ledger.reserve(1, 1, 2, 10)
    ledger.reserve(2, 1, 2, 3)
    assert ledger.totals() == PadTotals(reserved=3, consumed=0, burned=10)
    with pytest.raises(KeyReusedError):
        ledger.spend(1, 1, 2, 0, 1)
    with pytest.raises(KeyMaterialError, match="round 1 is over"):
        ledger.state(1, 1, 2)


def test_the_two_ends_of_a_link_are_counted_apart():
    ledger = PadLedger()
    ledger.reserve(1, 1, 2, 4)
    ledger.reserve(1, 2, 1, 4)
    ledger.spend(1, 1, 2, 0, 4)
    ledger.spend(1, 2, 1, 0, 4)
    with pytest.raises(KeyReusedError, match="used once"):
        ledger.spend(1, 2, 1, 0, 4)


def test_disorder_is_refused():
    ledger = PadLedger()
    with pytest.raises(KeyMaterialError, match="never reserved"):
        ledger.spend(1, 1, 2, 0, 1)
    with pytest.raises(KeyMaterialError, match="two clients"):
        ledger.reserve(1, 3, 3, 1)
    ledger.reserve(1, 1, 2, 4)
    with pytest.raises(KeyMaterialError, match="in order"):
        ledger.spend(1, 1, 2, 2, 2)
    with pytest.raises(KeyExhaustedError, match="has 4 bytes, 5"):
        ledger.spend(1, 1, 2, 0, 5)
    with pytest.raises(KeyReusedError, match="only go up"):
        ledger.reserve(1, 1, 2, 4)
