"""Protocol B: the sum is exact whoever drops out, or the round ends and nothing is opened."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_parts import Session, a_plan, flipped, lost, sum_of, updates_of

from fedket.errors import ConfigError, KeyExhaustedError, ProtocolError
from fedket.keys.ledger import PadState
from fedket.keys.os_random import OsRandomSource
from fedket.secure.metering import metered
from fedket.secure.phases import Failure, Reply, drive, in_process
from fedket.secure.shared_masks import client as client_module
from fedket.secure.shared_masks.client import Stage
from fedket.secure.shared_masks.field import random_residues, residues_of, subtract, unpack_residues
from fedket.secure.shared_masks.plan import key_of_round, key_per_pair, terms_of
from fedket.secure.shared_masks.sharing import share_blocks
from fedket.secure.words import packed_size

SHAPES = [(2, 0, 2), (3, 0, 3), (4, 1, 3), (7, 2, 5)]
SHAPES_AND_BITS = [(shape, bits) for shape in SHAPES for bits in (2, 8, 16, 32)]
ACTIONS = ["reserve", "share", "upload", "confirm", "open"]
both_modes = pytest.mark.parametrize("malicious", [False, True])


def ids_of(num_clients):
    return tuple(range(3, 3 + 2 * num_clients, 2))


@both_modes
@pytest.mark.parametrize(("shape", "bits"), [*SHAPES_AND_BITS, ((16, 5, 12), 16)])
@settings(max_examples=2)
@given(seed=st.integers(0, 2**31 - 1), num_values=st.integers(1, 40), mac=st.booleans())
def test_masks_cancel_and_the_sum_survives(shape, bits, malicious, seed, num_values, mac):
    num_clients, colluders, threshold = shape
    plan = a_plan(colluders, threshold, bits, num_values, malicious)
    updates = updates_of(seed, ids_of(num_clients), plan)
    result = Session(plan, updates, mac=mac).run()
    np.testing.assert_array_equal(result.total, sum_of(updates, updates))
    assert result.members == tuple(updates)
    assert result.corrected == ()


@both_modes
@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**31 - 1),
    fate=st.lists(st.sampled_from([*ACTIONS, *[None] * 9]), min_size=6, max_size=6),
    mac=st.booleans(),
)
def test_drop_outs_in_any_phase_leave_the_exact_sum_or_end_the_round(malicious, seed, fate, mac):
    """Each of 6 clients may vanish before any phase; 4 must last, and who uploaded is summed."""
    actions = [a for a in ACTIONS if malicious or a != "confirm"]
    plan = a_plan(1, 4, malicious=malicious)
    updates = updates_of(seed, ids_of(6), plan)
    session = Session(plan, updates, mac=mac)
    lasts = {
        i: actions.index(f) if f in actions else len(actions)
        for i, f in zip(session.ids, fate, strict=True)
    }
    session.faults = {a: lost(*(i for i in lasts if lasts[i] <= k)) for k, a in enumerate(actions)}
    if sum(k == len(actions) for k in lasts.values()) < 4:
        with pytest.raises(ProtocolError, match=r"of 6 clients are left after .*, 4 must be"):
            session.run()
        assert session.phases[-1][0].action == "abort"
        answers = [o for phase, o in session.phases if phase.action == "open"]
        assert sum(isinstance(o, Reply) for outcomes in answers for o in outcomes.values()) < 4
    else:
        result = session.run()
        members = tuple(i for i in session.ids if lasts[i] > actions.index("upload"))
        np.testing.assert_array_equal(result.total, sum_of(updates, members))
        assert result.members == members
    session.faults = {}
    np.testing.assert_array_equal(session.run(2).total, sum_of(updates, session.ids))


@pytest.mark.parametrize("action", [*ACTIONS, "abort"])
def test_a_round_that_ends_burns_the_keys_of_all_who_hear_of_it(action):
    plan = a_plan(malicious=True)
    session = Session(plan, updates_of(1, ids_of(4), plan))
    if action == "abort":
        session.up_to("open")
        for i in session.ids:
            assert isinstance(session.ask(i, "abort"), Reply)
    else:
        session.faults = {action: lost(3, 5)}
        with pytest.raises(ProtocolError, match=f"left after `{action}`"):
            session.run()
    assert session.source.ledger.totals().reserved == 0
    for i in session.ids:
        assert session.states[i].stage is Stage.ENDED
        assert not session.states[i].held
        assert session.states[i].mask is None


def test_who_has_opened_keeps_no_key_of_the_round():
    """Also none that was meant for a drop-out, here for its confirmation."""
    plan = a_plan(1, 3, malicious=True)
    session = Session(plan, updates_of(1, (0, 1, 2, 3), plan))
    session.faults = {"upload": lost(3)}
    assert session.run().members == (0, 1, 2)
    ledger = session.source.ledger
    states = {ledger.state(1, i, s) for i in (0, 1, 2) for s in ((i, 3), (3, i))}
    assert states == {PadState.BURNED}


def test_a_client_without_a_usable_update_is_a_drop_out():
    plan = a_plan()
    updates = {**updates_of(2, (1, 2, 4, 8), plan), 4: None}
    session = Session(plan, updates)
    result = session.run()
    assert result.members == (1, 2, 8)
    np.testing.assert_array_equal(result.total, sum_of(updates, (1, 2, 8)))


@pytest.mark.parametrize(
    "bad",
    [
        np.full(13, 511),
        np.full(13, -511),
        np.full(12, 1),
        np.full((13, 1), 1),
        np.full(13, -(2**63)),
    ],
    ids=["too large", "too small", "short", "another shape", "smallest integer"],
)
def test_an_update_that_does_not_fit_the_plan_never_leaves_the_client(bad):
    plan = a_plan(bits=8)
    updates = {**updates_of(2, (1, 2, 4, 8), plan), 4: bad}
    session = Session(plan, updates)
    assert session.run().members == (1, 2, 8)
    failure = next(o[4] for phase, o in session.phases if phase.action == "upload")
    assert isinstance(failure, Failure)
    assert "quantise with its bits" in failure.reason
    assert "511" not in failure.reason


@pytest.mark.parametrize("bits", [2, 8, 16, 32])
@pytest.mark.parametrize(("num_clients", "sign"), [(3, 1), (4, -1), (8, 1), (9, -1)])
def test_no_overflow_with_every_client_at_the_maximum(bits, num_clients, sign):
    plan = a_plan(0, 2, bits)
    terms = terms_of(plan, 1, ids_of(num_clients))
    assert terms.sharing.field.modulus > num_clients * (2**bits - 1)
    updates = {i: np.full(13, sign * (2 ** (bits - 1) - 1)) for i in terms.cohort}
    total = Session(plan, updates).run().total
    assert set(total.tolist()) == {sign * num_clients * (2 ** (bits - 1) - 1)}


def test_wrong_openings_are_corrected_and_named_and_beyond_that_the_round_ends():
    """16 answers, U = 12: e = 2; the liars hold valid MAC keys, so only the code finds them."""
    plan = a_plan(5, 12)
    updates = updates_of(3, ids_of(16), plan)
    session = Session(plan, updates)
    session.faults = {"open": {7: flipped("residues"), 31: flipped("residues", 2)}}
    result = session.run()
    assert result.corrected == (7, 31)
    assert result.members == session.ids
    np.testing.assert_array_equal(result.total, sum_of(updates, session.ids))
    session.faults["open"][3] = flipped("residues", 1)
    with pytest.raises(ProtocolError, match="more than 2 of 16 opened shares are wrong"):
        session.run(2)
    session.faults = {"open": {7: flipped("residues"), **lost(9, 11)}, "upload": lost(13)}
    with pytest.raises(ProtocolError, match="more than 0 of 13"):
        session.run(3)


def test_an_opening_that_is_no_vector_of_residues_counts_as_none():
    plan = a_plan()
    updates = updates_of(3, (0, 1, 2, 3), plan)
    session = Session(plan, updates)
    session.faults = {"open": {2: lambda payload: {"residues": b"\xff" * len(payload["residues"])}}}
    np.testing.assert_array_equal(session.run().total, sum_of(updates, session.ids))
    session.faults["open"][3] = lambda payload: {"residues": payload["residues"][:-1]}
    with pytest.raises(ProtocolError, match="2 of 4 clients are left after `open`"):
        session.run(2)


@both_modes
def test_one_client_whose_shares_nobody_can_read_is_left_out(malicious):
    plan = a_plan(1, 3, malicious=malicious)
    updates = updates_of(4, (0, 1, 2, 3), plan)
    session = Session(plan, updates)
    session.faults = {
        "share": {2: lambda payload: {**payload, "shares": bytes(len(payload["shares"]))}}
    }
    result = session.run()
    assert result.members == (0, 1, 3)
    np.testing.assert_array_equal(result.total, sum_of(updates, (0, 1, 3)))


def test_a_single_unreadable_share_only_costs_one_answer():
    plan = a_plan(1, 3)
    updates = updates_of(4, (0, 1, 2, 3), plan)
    session = Session(plan, updates)
    session.faults = {"share": {2: flipped("shares")}}  # the share for client 0
    result = session.run()
    assert result.members == (0, 1, 2, 3)
    np.testing.assert_array_equal(result.total, sum_of(updates, session.ids))
    phase, outcomes = session.phases[-1]
    assert phase.action == "open"
    assert isinstance(outcomes[0], Failure)
    assert "no sound share of clients [2]" in outcomes[0].reason


@pytest.mark.parametrize(
    "offsets", [[-1, 0, 0], [10**6, 0, 0], [1, 0, 0]], ids=["negative", "far ahead", "one off"]
)
def test_a_sender_that_announces_nonsense_only_harms_itself(offsets):
    plan = a_plan(1, 3)
    updates = updates_of(4, (0, 1, 2, 3), plan)
    session = Session(plan, updates)
    session.faults = {"reserve": {2: lambda payload: {**payload, "offsets": offsets}}}
    result = session.run()
    assert result.members == (0, 1, 2, 3)  # only client 2 gets no share of client 0
    np.testing.assert_array_equal(result.total, sum_of(updates, session.ids))


@pytest.mark.parametrize(
    ("action", "field"),
    [("reserve", "offsets"), ("reserve", "tags"), ("share", "peers"), ("share", "shares")],
)
def test_a_malformed_answer_is_a_drop_out(action, field):
    plan = a_plan(1, 3)
    updates = updates_of(4, (0, 1, 2, 3), plan)
    for change in (lambda value: value[:-1], lambda value: value + value, lambda value: "text"):
        session = Session(plan, updates)
        session.faults = {
            action: {2: lambda payload, change=change: {**payload, field: change(payload[field])}}
        }
        assert session.run().members == (0, 1, 3)


GOLDEN = [
    # (n, T, U, bits, pad bits per pair of A and of B, B/A as spec/secure-aggregation.md says)
    (4, 1, 3, 8, 617_064, 617_072, 1),
    (16, 5, 12, 16, 1_234_120, 352_640, 2 / 7),
]


@pytest.mark.parametrize(("n", "T", "U", "bits", "pairwise", "shared", "ratio"), GOLDEN)
def test_the_key_bill_is_the_specifications(n, T, U, bits, pairwise, shared, ratio):
    """d = 61,706: 2wd/(U - T) per pair, up to L being whole and MACs of 256 bits."""
    terms = terms_of(a_plan(T, U, bits, 61_706), 1, tuple(range(n)))
    width = terms.sharing.field.bits
    bill = key_per_pair(terms)
    assert 8 * packed_size(61_706, bits + (n - 1).bit_length()) == pairwise
    assert bill == (shared, 4 * 256)
    assert bill.pad == pytest.approx(2 * width * 61_706 / (U - T), abs=2 * (width + 8))
    assert bill.pad / pairwise == pytest.approx(ratio, rel=2e-4)


@both_modes
@pytest.mark.parametrize("bits", [4, 16, 32])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_ledger_agrees_with_the_key_bill(shape, bits, malicious):
    num_clients, colluders, threshold = shape
    plan = a_plan(colluders, threshold, bits, malicious=malicious)
    session = Session(plan, updates_of(1, ids_of(num_clients), plan))
    _, phases = drive(metered(session.server()), in_process(session.handlers, session.states))
    bill = key_of_round(terms_of(plan, 1, session.ids))
    assert (sum(p.pad_bits for p in phases), sum(p.mac_bits for p in phases)) == bill
    assert session.source.ledger.totals() == (0, 2 * sum(bill) // 8, 0)


def test_every_message_can_be_serialised():
    plan = a_plan(malicious=True)
    session = Session(plan, updates_of(1, (0, 1, 2, 3), plan))
    session.run()
    payloads = [phase.payload_for(i) for phase, _ in session.phases for i in phase.to]
    payloads += [o.payload for _, outcomes in session.phases for o in outcomes.values()]
    assert len(payloads) == 2 * 4 * 5
    for payload in payloads:
        for value in payload.values():
            assert type(value) in (int, str, bytes, list)
            assert not isinstance(value, list) or all(type(item) is int for item in value)


def test_what_is_uploaded_is_the_update_plus_the_mask():
    plan = a_plan()
    updates = updates_of(1, (0, 1, 2, 3), plan)
    session = Session(plan, updates)
    phase = session.up_to("upload")
    for i in phase.to:
        mask = session.states[i].mask
        field = session.states[i].terms.sharing.field
        data = session.ask(i, "upload", **phase.payload_for(i)).payload["residues"]
        unmasked = subtract(field, unpack_residues(field, data, 13), mask)
        np.testing.assert_array_equal(unmasked, residues_of(field, updates[i]))
        assert session.states[i].mask is None


def test_every_round_has_a_mask_and_noise_of_its_own_and_shares_are_made_of_them(monkeypatch):
    plan, drawn = a_plan(2, 4), []

    def recorded(field, shape):
        drawn.append(random_residues(field, shape))
        return drawn[-1]

    monkeypatch.setattr(client_module, "random_residues", recorded)
    session = Session(plan, updates_of(1, (0, 1, 2, 3), plan))
    for round_num in (1, 2):
        phase = session.up_to("upload", round_num)
        masks = {i: session.states[i].mask for i in session.ids}
        for i in session.ids:
            session.ask(i, "upload", **phase.payload_for(i))
        for i in session.ids:
            blocks, noise = drawn.pop(0), drawn.pop(0)
            assert (blocks.shape, noise.shape) == ((2, 7), (2, 7))
            shares = share_blocks(session.states[i].terms.sharing, blocks, noise)
            np.testing.assert_array_equal(masks[i], blocks.reshape(-1)[:13])
            for j in session.ids:
                np.testing.assert_array_equal(session.states[j].held[i], shares[j])
    assert not drawn


def test_states_and_errors_show_neither_masks_nor_updates():
    plan = a_plan(bits=32)
    updates = {i: np.full(13, 123_456_789) for i in range(4)}
    session = Session(plan, updates, mac=True)
    session.up_to("upload")
    state = session.states[1]
    assert "123456789" not in f"{session.states}{state!r}"
    assert str(int(state.inner.mask[0])) not in f"{session.states}{state!r}"
    assert not any(str(int(share[0])) in repr(state) for share in state.inner.held.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colluders": -1}, "0 or more colluders"),
        ({"bits": 1}, "2 to 32 bits"),
        ({"bits": 33}, "2 to 32 bits"),
        ({"num_values": 0}, "at least 1 value"),
        ({"threshold": 2}, r"at least colluders \+ 2 = 3"),
        ({"threshold": 6}, "at most the 5 clients"),
        ({"malicious": True}, r"above \(clients \+ colluders\)/2 = 3 in round 1, got 3"),
    ],
)
def test_senseless_plans_are_config_errors(change, message):
    plan = a_plan()
    assert terms_of(plan, 1, (0, 1, 2, 3, 4)).num_blocks == 2
    with pytest.raises(ConfigError, match=message):
        terms_of(plan._replace(**change), 1, (0, 1, 2, 3, 4))


@pytest.mark.parametrize("cohort", [(2, 1, 3), (1, 1, 2, 3), (-1, 0, 1, 2)])
def test_a_cohort_is_ascending_client_ids(cohort):
    with pytest.raises(ProtocolError, match="client ids from 0, ascending"):
        terms_of(a_plan(), 1, cohort)


def test_too_many_clients_for_the_arithmetic_is_a_config_error():
    with pytest.raises(ConfigError, match="smaller groups"):
        terms_of(a_plan(bits=32), 1, tuple(range(600)))


def test_a_client_whose_keys_have_run_out_is_a_drop_out():
    class Dry(OsRandomSource):
        def reserve(self, round_num, client_id, lengths):
            if client_id == 2:
                raise KeyExhaustedError("no key left")
            return super().reserve(round_num, client_id, lengths)

    plan = a_plan()
    updates = updates_of(1, (0, 1, 2, 3), plan)
    result = Session(plan, updates, source=Dry()).run()
    assert result.members == (0, 1, 3)
    np.testing.assert_array_equal(result.total, sum_of(updates, (0, 1, 3)))
