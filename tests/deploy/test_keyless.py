"""Whose end of a link is at fault: the fewest parties are left out, and the right ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.deploy.keyless import FIRST_S, LONGEST_S, Keyless, LinkFault, heard, to_leave_out, told
from fedket.types import SERVER

PARTIES = (0, 1, 2, 3, SERVER)


def faults(*told):
    return [LinkFault(teller, peer, theirs, f"{teller}-{peer}") for teller, peer, theirs in told]


@pytest.mark.parametrize(
    ("what", "told", "out"),
    [
        ("the last one's key manager", [(0, 2, True), (1, 2, True)], {2}),
        ("the first one's, as it says", [(0, 1, False), (0, 2, False)], {0}),
        ("one link, at the other end", [(0, 1, True)], {1}),
        ("one link, at the teller's end", [(0, 1, False)], {0}),
        ("the link with the server", [(1, SERVER, True)], {1}),
        ("the server's key manager", [(i, SERVER, True) for i in range(3)], {SERVER}),
        ("a site that accuses everybody", [(0, i, True) for i in (1, 2, 3)], {0}),
        ("two of them", [(0, 2, True), (1, 2, True), (0, 3, True), (1, 3, True)], {2, 3}),
        ("both ends of a link tell", [(0, 1, True), (1, 0, False)], {1}),
    ],
)
def test_who_is_left_out(what, told, out):
    assert set(to_leave_out(faults(*told), {})) == out


def test_who_accuses_others_at_random_is_found_out_the_second_time():
    keyless = Keyless(lambda: 0.0)
    assert set(keyless.judge(faults((0, 1, True)))) == {1}
    assert set(keyless.judge(faults((0, 2, True)))) == {0}


@given(
    st.lists(
        st.builds(
            LinkFault, st.sampled_from(PARTIES), st.sampled_from(PARTIES), st.booleans(), st.text()
        ).filter(lambda fault: fault.teller != fault.peer),
        max_size=12,
    )
)
def test_without_those_left_out_no_faulty_link_is_left(told):
    out = to_leave_out(told, {})
    assert all({fault.teller, fault.peer} & set(out) for fault in told)


def test_a_party_is_left_alone_for_twice_as_long_each_time_and_others_are_not():
    now = [0.0]
    keyless, waited = Keyless(lambda: now[0]), []
    for _ in range(8):
        keyless.judge(faults((0, 2, True), (1, 2, True)))
        assert set(keyless.resting()) == {2}
        start = now[0]
        while keyless.resting():
            now[0] += FIRST_S
        waited.append(now[0] - start)
    assert waited == [min(LONGEST_S, FIRST_S * 2**k) for k in range(8)]
    keyless.has_key([2])
    keyless.judge(faults((0, 2, True), (1, 2, True)))
    assert f"in {FIRST_S:.0f} s" in keyless.resting()[2]


def test_what_a_site_tells_is_heard_as_far_as_it_makes_sense():
    own = [LinkFault(1, 2, True, "two\nlines"), LinkFault(1, SERVER, False, "at home")]
    assert heard(1, told(own)) == [own[0]._replace(why="two lines"), own[1]]
    assert heard(1, {}) == []
    assert heard(1, {"faulty": [1, 2], "theirs": [1, 1, 1], "why": "x"}) == []
