"""Two ends agree on keys, or do without them, whatever gets lost on the way."""

import contextlib
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lossy_link import LOSSES, STREAM, LossyLink

from fedket.errors import KeyReusedError
from fedket.keys.etsi014.agreement import (
    REMEMBERED,
    Announce,
    Answers,
    Confirm,
    check_reply,
    read_message,
)
from fedket.keys.etsi014.errors import (
    AgreementError,
    EndsApartError,
    KmeUnreachableError,
    PeerSilentError,
)


def agreed(link: LossyLink) -> bytes:
    """What both ends hold, after a look that it is the same."""
    assert link.stores["master"].held == link.stores["slave"].held
    return b"".join(secret for _, secret in link.stores["master"].held)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("step", range(10))
def test_one_loss_at_any_step_costs_no_agreement(step, loss):
    link = LossyLink([""] * step + [loss])
    fetched = link.master.fetch(100)
    assert len(agreed(link)) == fetched >= 100


@settings(max_examples=60)
@given(fates=st.lists(st.sampled_from(["", *LOSSES]), max_size=60))
def test_any_losses_cost_no_agreement_and_no_key_is_used_twice(fates):
    link = LossyLink(fates)
    fetched = link.master.fetch(150)
    secret = agreed(link)
    assert len(secret) == fetched >= 150
    pieces = [secret[i : i + 16] for i in range(0, len(secret), 16)]
    assert len(set(pieces)) == len(pieces) <= link.made


@settings(max_examples=40)
@given(fates=st.lists(st.sampled_from(["", *LOSSES]), max_size=40), patience=st.integers(0, 3))
def test_an_end_that_gives_up_in_doubt_is_one_batch_behind_until_it_asks_again(fates, patience):
    link = LossyLink(fates, patience)
    for _ in range(50):
        with contextlib.suppress(KmeUnreachableError, AgreementError):
            link.master.fetch(60)
        link.check_prefix()
    assert len(agreed(link)) >= 60


def announcement(link: LossyLink, number: int = 2, start: int = 0) -> Announce:
    """Of new keys, fetched by the master's KME."""
    keys = link.enc_keys("bob", number, 128)
    ids = tuple(key.key_id for key in keys)
    return Announce(stream=STREAM, start=start, key_ids=ids, size_bits=128)


def test_a_restarted_master_goes_on_and_old_messages_change_nothing():
    link = LossyLink()
    link.master.fetch(100)
    old = list(link.sent)
    link.master = link.new_master()
    link.master.fetch(100)
    before = agreed(link)
    for text in old:
        link.deliver(text)
    assert agreed(link) == before
    link.master.fetch(100)
    assert len(agreed(link)) >= 300


def test_a_refused_batch_is_refused_for_good():
    link = LossyLink(["", "dec_keys"])
    message = announcement(link)
    secrets = dict(link.waiting)
    assert not link.slave.answer(message).deposited
    link.waiting |= secrets  # the KME has the keys again
    again = link.slave.answer(message)
    assert (again.deposited, again.problem) == (False, "lost")
    assert link.stores["slave"].held == []


def test_a_slave_that_was_restarted_says_what_it_cannot_do_and_nobody_deposits():
    link = LossyLink(["", "reply"], patience=0)
    with pytest.raises(PeerSilentError):
        link.master.fetch(16)
    assert len(link.stores["slave"].held) == 1
    link.slave = type(link.slave)(STREAM, link.kme, "alice", link.stores["slave"])
    for _ in range(2):  # the batch in doubt, then a new one
        with pytest.raises(EndsApartError, match="ends at 0 there and at 16 here; let both ends"):
            link.master.fetch(16)
    link.connect()
    link.master.fetch(16)
    assert len(agreed(link)) == 16


def test_a_batch_in_doubt_is_given_up_when_the_ends_have_connected():
    link = LossyLink(["", "reply"], patience=2)
    link.pauses.clear()
    link.master = link.new_master()
    with pytest.raises(PeerSilentError):
        link.master.fetch(16)
    link.connect()
    with pytest.raises(AgreementError, match="were withdrawn when the ends connected"):
        link.master.fetch(16)
    link.master.fetch(16)
    assert len(agreed(link)) == 16


def test_a_batch_in_doubt_is_given_up_when_its_place_was_skipped():
    link = LossyLink(["", "message"], patience=0)
    with pytest.raises(PeerSilentError):
        link.master.fetch(16)
    for store in link.stores.values():
        store.held.append(("skipped", bytes(5)))
    fetched = link.master.fetch(16)
    assert fetched == 16
    assert len(agreed(link)) == 5 + 16


def test_a_dead_master_that_speaks_up_stops_the_live_one_until_the_ends_connect():
    link = LossyLink()
    link.master.fetch(16)
    assert link.slave.answer(announcement(link, 1, start=16)).deposited
    with pytest.raises(EndsApartError, match="ends at 16 there and at 32 here"):
        link.master.fetch(16)
    link.connect()
    link.master.fetch(16)
    assert len(agreed(link)) == 32


def test_answers_to_other_messages_are_refused_and_leave_the_batch_in_doubt():
    link = LossyLink()
    message = announcement(link)
    reply = link.slave.answer(message)
    check_reply(message, reply)
    stray = reply.model_copy(update={"batch": str(uuid.uuid4())})
    for other in (stray, reply.model_copy(update={"stream": (3, 0)})):
        with pytest.raises(AgreementError, match="must go to the message they answer"):
            check_reply(message, other)
    with pytest.raises(AgreementError, match="check the party numbers"):
        link.slave.answer(message.model_copy(update={"stream": (3, 0)}))


@pytest.mark.parametrize("end", ["master", "slave"])
def test_a_failed_deposit_is_made_up_for_when_the_announcement_comes_again(end):
    link, full = LossyLink(), [True, True]
    store = link.stores[end]
    whole = store.deposit

    def deposit(*arguments):
        if full and full.pop():
            raise OSError(28, "No space left on device")
        whole(*arguments)

    store.deposit = deposit
    for _ in range(2):
        with pytest.raises(OSError, match="space"):
            link.master.fetch(16)
    assert link.master.fetch(16) == 16
    assert len(agreed(link)) == 16


def test_a_key_that_the_slave_had_before_is_refused():
    link = LossyLink()

    def deposit(*_arguments):
        raise KeyReusedError("was already deposited")

    link.stores["slave"].deposit = deposit
    reply = link.slave.answer(announcement(link))
    assert (reply.deposited, reply.problem) == (False, "was already deposited")


@pytest.mark.parametrize("restarted", [False, True])
def test_an_announcement_that_comes_too_late_is_refused_although_its_keys_are_there(restarted):
    link = LossyLink(["", "", "", "", "message"], patience=0)
    link.master.fetch(16)
    with pytest.raises(PeerSilentError):
        link.master.fetch(16)
    lost = link.sent[-1]
    if restarted:
        link.master = link.new_master()
    link.master.fetch(16)
    if restarted:
        ids = set(read_message(Announce, lost).key_ids)
        assert ids <= link.waiting.keys()
        assert not link.deliver(lost).deposited
        assert ids <= link.waiting.keys()
    before = agreed(link)
    link.deliver(lost)
    assert agreed(link) == before
    link.master.fetch(16)
    assert len(agreed(link)) == 48


def test_a_slave_remembers_its_latest_answers():
    link, answers = LossyLink(), Answers(STREAM)
    messages = [announcement(link, 1) for _ in range(REMEMBERED + 1)]
    given = [answers.refuse(message, 0, "no") for message in messages]
    assert answers.known(messages[0], 0) is None
    assert [answers.known(message, 0) for message in messages[1:]] == given[1:]


@pytest.mark.parametrize("kind", [Announce, Confirm])
@pytest.mark.parametrize("text", ["", "{}", '{"stream":[0,1]}', "[1]", "\xff", '{"stream":7}'])
def test_a_malformed_message_is_one_line(kind, text):
    with pytest.raises(AgreementError, match="malformed") as error:
        read_message(kind, text)
    assert "\n" not in str(error.value)


def test_messages_survive_json():
    message = announcement(LossyLink())
    assert read_message(Announce, message.model_dump_json()) == message
    with pytest.raises(AgreementError, match="malformed"):
        read_message(Confirm, message.model_dump_json())


def test_a_batch_has_one_name_at_both_ends_whatever_the_case_of_its_ids():
    ids = ["550e8400-e29b-41d4-a716-44665544000a", "550e8400-e29b-41d4-a716-44665544000b"]
    told = [
        Announce(stream=STREAM, start=0, key_ids=tuple(named), size_bits=128).batch
        for named in (ids, [i.upper() for i in ids], reversed(ids))
    ]
    assert told[0] == told[1] != told[2]
