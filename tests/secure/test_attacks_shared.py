"""Attacks on Protocol B: each works on a naive variant and fails on ours, or must work on any.

What an observer learns is counted exactly: `revealed` says how many independent combinations of
the honest clients' update blocks follow from what it sees; all else it sees is uniform.
"""

import itertools

import numpy as np
import pytest
from modular import num_revealed
from scipy.stats import chi2
from shared_parts import Session, a_plan, flipped, lost, sum_of, updates_of

from fedket.errors import ProtocolError
from fedket.keys.os_random import OsRandomSource
from fedket.secure.begun import STATEMENT_BYTES
from fedket.secure.mac import encode
from fedket.secure.phases import Failure, Reply
from fedket.secure.shared_masks import messages as shared_masks_messages
from fedket.secure.shared_masks import plan as shared_masks_plan
from fedket.secure.shared_masks.client import ClientState
from fedket.secure.shared_masks.field import (
    add,
    centre_lift,
    field_above,
    pack_residues,
    subtract,
    unpack_residues,
)
from fedket.secure.shared_masks.messages import CONFIRM, seal_share, tag_message, unseal_share
from fedket.secure.shared_masks.plan import terms_of
from fedket.secure.shared_masks.sharing import open_shares

EVERYBODY = tuple(range(6))

STATED = bytes(STATEMENT_BYTES)


def revealed(plan, num_clients, colluders, uploaded, opened, mask_shares=()):
    """Count what server and colluders learn of the honest clients' updates.

    Args:
        plan: U, T and the field.
        num_clients: The cohort is 0..num_clients - 1.
        colluders: Clients whose memory the server sees.
        uploaded: Clients whose masked update reached the server, late or not.
        opened: (client, list): the honest client opened the sum of this list.
        mask_shares: (client, other): the client gave away its share of the other's mask.

    Returns:
        Independent combinations of the U - T blocks of the honest clients' updates.
    """
    sharing = terms_of(plan, 1, tuple(range(num_clients))).sharing
    p, U, num_blocks = sharing.field.modulus, sharing.threshold, plan.threshold - plan.colluders
    honest = [i for i in range(num_clients) if i not in colluders]

    def row(updates=(), masks=()):
        """Combine update blocks (client, block) and mask coefficients (client, k, factor)."""
        blocks, coefficients = [0] * (len(honest) * num_blocks), [0] * (len(honest) * U)
        for i, k in updates:
            blocks[honest.index(i) * num_blocks + k] += 1
        for i, k, factor in masks:
            coefficients[honest.index(i) * U + k] += factor
        return blocks + coefficients

    def share(holder, clients):
        return row(masks=[(i, k, pow(holder + 1, k, p)) for i in clients for k in range(U)])

    rows = [row([(i, k)], [(i, k, 1)]) for i in uploaded if i in honest for k in range(num_blocks)]
    rows += [share(c, [i]) for c in colluders for i in honest]
    rows += [share(j, [i for i in alive if i in honest]) for j, alive in opened]
    rows += [share(j, [i]) for j, i in mask_shares]
    return num_revealed(rows, len(honest) * num_blocks, p)


def all_open(alive, colluders=()):
    return [(j, alive) for j in alive if j not in colluders]


def residues(session, outcome, num_residues):
    field = terms_of(session.plan, 1, session.ids).sharing.field
    return unpack_residues(field, outcome.payload["residues"], num_residues)


def ask_all(session, phase):
    return {i: session.ask(i, phase.action, **phase.payload_for(i)) for i in phase.to}


def unmasked(session, sent, shares):
    """What a server makes of masked vectors' sum and shares of the sum of their masks."""
    terms = terms_of(session.plan, 1, session.ids)
    field, mask = terms.sharing.field, open_shares(terms.sharing, shares).blocks.reshape(-1)
    total = np.add.reduce(sent) % np.uint64(field.modulus)
    return centre_lift(field, subtract(field, total, mask[: session.plan.num_values]))


# Collusion (attack 5)


@pytest.mark.parametrize(("n", "T", "U"), [(4, 1, 3), (6, 2, 4), (7, 0, 5), (7, 2, 5)])
def test_up_to_t_colluders_learn_the_sum_of_the_honest_and_nothing_else(n, T, U):
    plan, everybody = a_plan(T, U), tuple(range(n))
    for size in range(T + 1):
        for group in itertools.combinations(everybody, size):
            learned = revealed(plan, n, group, everybody, all_open(everybody, group))
            assert learned == U - T  # the blocks of one vector: the sum
    group = everybody[:T]
    assert revealed(plan, n, group, everybody, []) == 0  # before OPEN: nothing


@pytest.mark.parametrize(("n", "T", "U"), [(6, 2, 4), (7, 1, 5)])
def test_beyond_t_colluders_learn_more_and_from_u_on_everything(n, T, U):
    plan, everybody = a_plan(T, U), tuple(range(n))
    for size in range(T + 1, n):
        group, num_honest = everybody[:size], n - size
        learned = revealed(plan, n, group, everybody, all_open(everybody, group))
        known = min(size - T, U - T)  # combinations of each client's blocks
        assert learned == num_honest * known + (U - T - known)
    assert revealed(plan, n, everybody[1:], everybody, []) == U - T


def test_all_but_one_know_the_last_ones_update_from_the_sum_alone():
    """No exact sum can hide it; a distributed protocol without noise never will."""
    plan = a_plan(1, 3)
    updates = updates_of(1, (0, 1, 2, 3), plan)
    total = Session(plan, updates).run().total
    np.testing.assert_array_equal(total - sum_of(updates, (1, 2, 3)), updates[0])


def test_u_colluders_take_the_mask_off_a_single_upload():
    plan = a_plan(1, 3)
    updates = updates_of(2, (0, 1, 2, 3), plan)
    session = Session(plan, updates)
    phase = session.up_to("upload")
    for j in (1, 2, 3):
        session.ask(j, "upload", **phase.payload_for(j))
    held = {j: session.states[j].held[0] for j in (1, 2, 3)}
    sent = residues(session, session.ask(0, "upload", **phase.payload_for(0)), 13)
    np.testing.assert_array_equal(unmasked(session, [sent], held), updates[0])


@pytest.mark.parametrize("bits", [4, 8])
def test_a_masked_upload_is_uniform_whatever_is_inside(bits):
    """Chi-square over the residues; true randomness, so the bound fails once in 10^12 runs."""
    plan = a_plan(1, 3, bits, 2**15)
    updates = {i: np.zeros(2**15, np.int64) for i in range(4)}
    session = Session(plan, updates)
    p = terms_of(plan, 1, session.ids).sharing.field.modulus
    for outcome in ask_all(session, session.up_to("upload")).values():
        counts = np.bincount(residues(session, outcome, 2**15).astype(int), minlength=p)
        assert ((counts - 2**15 / p) ** 2 * p / 2**15).sum() < chi2.isf(1e-12, p - 1)


# Late arrival and differencing (attack 4)


def test_a_late_upload_says_nothing_and_one_whose_mask_was_recovered_says_all():
    """Naive: as protocols with seeds do, open the mask of a client that seems to be gone."""
    plan, alive = a_plan(1, 4), (0, 1, 2, 3, 4)
    in_time = revealed(plan, 6, (0,), alive, all_open(alive, (0,)))
    late = revealed(plan, 6, (0,), EVERYBODY, all_open(alive, (0,)))
    assert in_time == late == 3
    recovered = [(j, 5) for j in (1, 2, 3)]
    naive = revealed(plan, 6, (0,), EVERYBODY, all_open(alive, (0,)), recovered)
    assert naive == 3 + 3


def test_a_late_upload_stays_masked_and_is_left_out_of_the_sum():
    plan = a_plan(1, 3)
    updates = updates_of(3, (0, 1, 2, 3), plan)
    session, arrived = Session(plan, updates), {}

    def late(payload):
        arrived.update(payload)
        return {}

    session.faults = {"upload": {3: late}}
    result = session.run()
    assert result.members == (0, 1, 2)
    np.testing.assert_array_equal(result.total, sum_of(updates, (0, 1, 2)))
    assert residues(session, Reply(arrived), 13).size == 13
    for i in (0, 1, 2):  # nobody opens a second sum, with the late one in it
        outcome = session.ask(i, "open", alive=[0, 1, 2, 3], dropped=[])
        assert isinstance(outcome, Failure)


def test_the_naive_recovery_of_a_missing_clients_mask_unmasks_its_late_upload():
    plan = a_plan(1, 3)
    updates = updates_of(3, (0, 1, 2, 3), plan)
    session = Session(plan, updates)
    phase = session.up_to("upload")
    for j in (0, 1, 2):
        session.ask(j, "upload", **phase.payload_for(j))
    recovered = {j: session.states[j].held[3] for j in (0, 1, 2)}
    late = residues(session, session.ask(3, "upload", **phase.payload_for(3)), 13)
    np.testing.assert_array_equal(unmasked(session, [late], recovered), updates[3])


def test_one_update_in_two_rounds_is_leaked_by_the_difference_of_two_sums():
    """Why an update is for one round only, whatever protocol adds it up."""
    plan = a_plan(1, 3)
    updates = updates_of(4, (0, 1, 2, 3), plan)
    session = Session(plan, updates)
    first = session.run(1).total
    session.faults = {"upload": lost(2)}
    np.testing.assert_array_equal(first - session.run(2).total, updates[2])


def test_a_round_cut_short_at_open_tells_part_of_that_sum_and_nothing_else():
    """Each opening beyond T tells one combination of the blocks of the sum."""
    plan = a_plan(2, 5)
    for num_opened in range(5):
        opened = [(j, EVERYBODY) for j in (2, 3, 4, 5)][:num_opened]
        learned = revealed(plan, 6, (0, 1), EVERYBODY, opened)
        assert learned == min(num_opened, 3)
        whole = all_open(EVERYBODY, (0, 1)) + opened
        assert revealed(plan, 6, (0, 1), EVERYBODY, whole) == 3  # inside what the sum tells


# A server that names different U1 (attack 6)


def test_without_confirmation_two_lists_give_away_one_clients_update():
    """n = 6, T = 1, U = 3: two groups of two open two sums, which differ in client 5."""
    plan = a_plan(1, 3)
    updates = updates_of(5, EVERYBODY, plan)
    session = Session(plan, updates)
    sent = {
        i: residues(session, o, 13) for i, o in ask_all(session, session.up_to("upload")).items()
    }
    spy, sums = session.states[0].held, []
    field = terms_of(plan, 1, EVERYBODY).sharing.field
    for helpers, alive in (((1, 2), EVERYBODY), ((3, 4), EVERYBODY[:5])):
        dropped = [i for i in EVERYBODY if i not in alive]
        shares = {0: np.add.reduce([spy[i] for i in alive]) % np.uint64(field.modulus)}
        for j in helpers:
            outcome = session.ask(j, "open", alive=list(alive), dropped=dropped)
            shares[j] = residues(session, outcome, 7)
        sums.append(unmasked(session, [sent[i] for i in alive], shares))
    np.testing.assert_array_equal(sums[0] - sums[1], updates[5])


def test_even_a_high_threshold_leaks_blocks_of_two_sums_without_confirmation():
    """U = 4 > (n + T)/2: no two whole sums, but the shares are a ramp. So B3 is not optional."""
    plan = a_plan(1, 4)
    lists = [(j, EVERYBODY) for j in (1, 2, 3)] + [(j, EVERYBODY[:5]) for j in (4,)]
    assert revealed(plan, 6, (0,), EVERYBODY, lists) == 3 + 1
    assert revealed(plan, 6, (0,), EVERYBODY, all_open(EVERYBODY, (0,))) == 3


@pytest.mark.parametrize("split", [3, 2], ids=["one group is large enough", "none is"])
def test_with_confirmation_at_most_one_list_is_ever_opened(split):
    """The server shows two lists, and its colluder confirms to each client what it was shown."""
    plan = a_plan(1, 4, malicious=True)
    session = Session(plan, updates_of(5, EVERYBODY, plan))
    terms = terms_of(plan, 1, EVERYBODY)
    ask_all(session, session.up_to("upload"))
    lists = {j: EVERYBODY if j <= split else EVERYBODY[:5] for j in range(1, 5)}
    tags = {}
    for j, alive in lists.items():
        dropped = [i for i in EVERYBODY if i not in alive]
        outcome = session.ask(j, "confirm", alive=list(alive), dropped=dropped)
        others = [i for i in alive if i != j]
        pieces = [outcome.payload["tags"][16 * k : 16 * k + 16] for k in range(len(others))]
        tags[j] = dict(zip(others, pieces, strict=True))
    offsets = session.states[0].offsets
    tags[0] = {
        j: tag_message(
            session.source, terms, CONFIRM, (0, j), offsets[0, j], encode(lists[j], STATED)
        )
        for j in lists
    }
    opened = []
    for j, alive in lists.items():
        confirmed = [i for i in range(5) if i != j]
        outcome = session.ask(
            j,
            "open",
            alive=list(alive),
            dropped=[i for i in EVERYBODY if i not in alive],
            confirmed=confirmed,
            tags=b"".join(tags[i][j] for i in confirmed),
        )
        if isinstance(outcome, Reply):
            opened.append(j)
        else:
            assert "the server may have told others something else" in outcome.reason
    assert opened == ([1, 2, 3] if split == 3 else [])


def test_what_was_confirmed_is_what_is_opened():
    plan = a_plan(1, 4, malicious=True)
    session = Session(plan, updates_of(5, EVERYBODY, plan))
    phase = session.up_to("open")
    request = phase.payload_for(1)
    changed = {**request, "alive": [0, 1, 2, 3, 4], "dropped": [5]}
    outcome = session.ask(1, "open", **changed)
    assert isinstance(outcome, Failure)
    assert "it confirmed [0, 1, 2, 3, 4, 5]" in outcome.reason
    assert isinstance(session.ask(1, "open", **request), Failure)  # and no second try
    assert isinstance(session.ask(2, "open", **phase.payload_for(2)), Reply)


@pytest.mark.parametrize("action", ["confirm", "open"])
def test_a_client_confirms_and_opens_one_list_per_round(action):
    plan = a_plan(1, 4, malicious=action == "confirm")
    session = Session(plan, updates_of(5, EVERYBODY, plan))
    request = session.up_to(action).payload_for(1)
    assert isinstance(session.ask(1, action, **request), Reply)
    outcome = session.ask(1, action, **{**request, "alive": [0, 1, 2, 3, 4], "dropped": [5]})
    assert isinstance(outcome, Failure)


# Messages altered on their way (attacks 2 and 3), overflow (attack 8)


def test_a_flipped_bit_of_an_upload_falsifies_the_sum_without_mac_and_is_rejected_with_it():
    plan = a_plan(1, 3)
    updates = updates_of(6, (0, 1, 2, 3), plan)
    naive, ours = Session(plan, updates), Session(plan, updates, mac=True)
    for session in (naive, ours):
        session.faults = {"upload": {2: flipped("residues")}}
    wrong, right = naive.run(), ours.run()
    assert wrong.members == (0, 1, 2, 3)
    assert np.count_nonzero(wrong.total - sum_of(updates, updates)) == 1
    assert right.members == (0, 1, 3)
    np.testing.assert_array_equal(right.total, sum_of(updates, (0, 1, 3)))


def test_a_flipped_bit_of_an_opening_falsifies_the_sum_without_mac_and_is_rejected_with_it():
    """With just U answers there is nothing to correct errors with; the MAC makes it an erasure."""
    plan = a_plan(1, 3)
    updates = updates_of(6, (0, 1, 2, 3), plan)
    naive, ours = Session(plan, updates), Session(plan, updates, mac=True)
    for session in (naive, ours):
        session.faults = {"open": {2: flipped("residues")}, "upload": lost(0)}
    assert np.count_nonzero(naive.run().total - sum_of(updates, (1, 2, 3)))
    with pytest.raises(ProtocolError, match="fails its MAC"):
        ours.run()
    ours.faults = {"open": {2: flipped("residues")}}
    np.testing.assert_array_equal(ours.run(2).total, sum_of(updates, updates))


def test_a_flipped_bit_of_a_share_falsifies_the_sum_without_mac_and_is_rejected_with_it(
    monkeypatch,
):
    plan = a_plan(1, 3)
    updates = updates_of(6, (0, 1, 2, 3), plan)
    faults = {"share": {2: flipped("shares")}, "open": lost(3)}
    ours = Session(plan, updates)
    ours.faults = {"share": faults["share"]}
    np.testing.assert_array_equal(ours.run().total, sum_of(updates, updates))
    assert "no sound share" in ours.phases[-1][1][0].reason
    naive = Session(plan, updates)
    naive.faults = faults
    monkeypatch.setattr(shared_masks_messages, "check_tag", lambda *_: None)
    result = naive.run()
    assert result.members == (0, 1, 2, 3)
    assert np.count_nonzero(result.total - sum_of(updates, updates))


@pytest.mark.parametrize("action", ["reserve", "share", "upload", "open"])
@pytest.mark.parametrize("mac", [False, True])
def test_a_message_of_an_earlier_round_is_not_taken_for_a_new_one(action, mac):
    """Naive: without MACs a replayed upload falsifies the sum; shares have MACs of their own."""
    plan = a_plan(1, 3)
    updates = updates_of(7, (0, 1, 2, 3, 5), plan)
    session, old = Session(plan, updates, mac=mac), {}

    def record(payload):
        old.update(payload)
        return payload

    session.faults = {action: {2: record}}
    session.run(1)
    session.faults = {action: {2: lambda payload: old}}
    result = session.run(2)
    if action == "upload" and not mac:
        assert result.members == session.ids
        assert np.count_nonzero(result.total - sum_of(updates, updates))
    else:
        stays = action == "open" or (action == "reserve" and not mac)
        members = session.ids if stays else (0, 1, 3, 5)
        assert result.members == members
        np.testing.assert_array_equal(result.total, sum_of(updates, members))


@pytest.mark.parametrize(
    "change",
    [{"num_values": 14}, {"bits": 15}, {"colluders": 0}, {"threshold": 4}, {"run_id": "another"}],
)
def test_a_share_under_other_terms_is_no_share(change):
    """Who agreed to another plan or run makes a tag that does not fit."""
    plan, ids, source = a_plan(1, 3), (0, 1, 2, 3), OsRandomSource()
    terms = terms_of(plan, 1, ids)
    other = terms_of(plan._replace(**change), 1, ids)
    forged = terms._replace(context=other.context, plan=plan._replace(run_id=other.plan.run_id))
    offset = source.reserve(1, 0, {(0, 1): terms.stream_bytes})[0, 1]
    source.accept(1, 1, {(0, 1): (offset, terms.stream_bytes)})
    share = np.zeros(terms.share_length, np.uint64)
    sealed = seal_share(source, forged, (0, 1), offset, share, STATED)
    with pytest.raises(ProtocolError, match="fails its MAC"):
        unseal_share(source, terms, (0, 1), offset, sealed, STATED)


def test_shares_of_two_senders_cannot_be_swapped():
    plan = a_plan(1, 3)
    session = Session(plan, updates_of(8, (0, 1, 2, 3), plan))
    request = session.up_to("upload").payload_for(1)
    size = len(request["shares"]) // 3
    pieces = [request["shares"][k * size :][:size] for k in range(3)]
    swapped = {**request, "shares": pieces[1] + pieces[0] + pieces[2]}
    assert session.ask(1, "upload", **swapped).payload["held"] == [1, 3]


@pytest.mark.parametrize("lie", ["leaves them out", "alters offsets", "alters tags"])
def test_no_pad_is_used_before_the_other_end_has_set_it_aside_under_a_mac(lie):
    """Restored from an old copy, an end learns from the other one what is spent: see `messages`."""
    plan = a_plan(1, 3)
    session = Session(plan, updates_of(8, (0, 1, 2, 3), plan))
    request = session.up_to("share").payload_for(1)
    told = {
        "leaves them out": {"senders": [], "offsets": [], "tags": b""},
        "alters offsets": {"offsets": [offset + 1 for offset in request["offsets"]]},
        "alters tags": {"tags": bytes(len(request["tags"]))},
    }
    answer = session.ask(1, "share", **{**request, **told[lie]}).payload
    assert (answer["peers"], answer["shares"]) == ([], b"")


def test_a_client_whose_memory_went_back_cannot_deal_again():
    plan = a_plan(1, 3)
    session = Session(plan, updates_of(8, (0, 1, 2, 3), plan))
    request = session.up_to("reserve").payload_for(1)
    assert isinstance(session.ask(1, "reserve", **request), Reply)
    session.states[1] = ClientState()
    outcome = session.ask(1, "reserve", **request)
    assert isinstance(outcome, Failure)
    assert "rounds only go up" in outcome.reason


def test_a_modulus_without_room_for_the_sum_wraps_and_ours_does_not(monkeypatch):
    plan = a_plan(1, 3, bits=8)
    updates = {i: np.full(13, 127) for i in range(4)}
    assert set(Session(plan, updates).run().total.tolist()) == {4 * 127}
    monkeypatch.setattr(shared_masks_plan, "field_above", lambda _: field_above(2**8 - 1))
    assert set(Session(plan, updates).run().total.tolist()) == {4 * 127 - 2 * 257}


def test_colluding_liars_cannot_exceed_what_the_code_corrects():
    plan = a_plan(1, 3)
    updates = updates_of(9, tuple(range(7)), plan)
    session = Session(plan, updates)
    field = terms_of(plan, 1, session.ids).sharing.field

    def shifted(payload):
        """The same consistent shift by all liars, the best that they can do together."""
        share = unpack_residues(field, payload["residues"], 7)
        return {"residues": pack_residues(field, add(field, share, np.ones(7, np.uint64)))}

    session.faults = {"open": {0: shifted, 1: shifted}}
    result = session.run()
    assert result.corrected == (0, 1)
    np.testing.assert_array_equal(result.total, sum_of(updates, updates))
    session.faults["open"][2] = shifted
    with pytest.raises(ProtocolError, match="more than 2 of 7"):
        session.run(2)
