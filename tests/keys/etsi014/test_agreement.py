"""Two ends agree on keys, or do without them, whatever gets lost on the way."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lossy_link import LOSSES, STREAM, LossyLink

from fedket.keys.etsi014.agreement import (
    SlaveState,
    accept,
    announce,
    batch_id,
    commit,
    confirm,
    new_master,
    repeated,
    settle,
)
from fedket.keys.etsi014.errors import AgreementError, KmeUnreachableError, PeerSilentError
from fedket.keys.etsi014.messages import read_message


def agreed(link: LossyLink) -> bytes:
    """What both ends hold, after a look that it is the same."""
    assert link.deposits["master"] == link.deposits["slave"]
    return b"".join(secret for _, secret in link.deposits["master"])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("step", range(10))
def test_one_loss_at_any_step_costs_no_agreement(step, loss):
    link = LossyLink([""] * step + [loss])
    fetched = link.master.fetch(100)
    assert len(agreed(link)) == fetched.num_bytes >= 100


@settings(max_examples=60)
@given(fates=st.lists(st.sampled_from(["", *LOSSES]), max_size=60))
def test_any_losses_cost_no_agreement_and_no_key_is_used_twice(fates):
    link = LossyLink(fates)
    fetched = link.master.fetch(150)
    secret = agreed(link)
    assert len(secret) == fetched.num_bytes >= 150
    pieces = [secret[i : i + 16] for i in range(0, len(secret), 16)]
    assert len(set(pieces)) == len(pieces) == fetched.num_keys
    assert fetched.num_keys + fetched.lost_keys <= link.made


@settings(max_examples=40)
@given(fates=st.lists(st.sampled_from(["", *LOSSES]), max_size=40), patience=st.integers(0, 3))
def test_an_end_that_gives_up_in_doubt_is_one_batch_behind_until_it_asks_again(fates, patience):
    link = LossyLink(fates, patience)
    for _ in range(50):
        with contextlib.suppress(KmeUnreachableError, AgreementError):
            link.master.fetch(60)
        link.check_prefix()
    assert len(agreed(link)) >= 60


def test_a_restarted_master_agrees_in_a_new_session_and_old_messages_change_nothing():
    link = LossyLink()
    link.master.fetch(100)
    old = list(link.sent)
    link.master = link.new_master()
    link.master.fetch(100)
    before = agreed(link)
    for text in old:
        reply = link.deliver(text)
        assert reply.key_ids == ()
    assert agreed(link) == before
    link.master.fetch(100)
    assert len(agreed(link)) >= 300


def test_a_refused_batch_is_refused_for_good():
    link = LossyLink()
    keys = link.enc_keys("bob", 2, 128)
    master, announcement = announce(new_master(STREAM), keys, 128)
    confirmation = confirm(SlaveState(STREAM), announcement, keys)[1]
    master, decision = commit(master, confirmation)
    fresh = SlaveState(STREAM)  # the slave restarts, its keys are gone
    fresh, receipt, deposit = accept(fresh, decision)
    assert (receipt.key_ids, deposit) == ((), ())
    assert settle(master, receipt)[1] == ()
    assert repeated(fresh, announcement).key_ids == ()
    assert accept(fresh, decision)[2] == ()


def test_only_confirmed_keys_are_committed_in_the_announced_order():
    keys = LossyLink().enc_keys("bob", 3, 128)
    master, announcement = announce(new_master(STREAM), keys, 128)
    slave, confirmation = confirm(SlaveState(STREAM), announcement, (keys[2], keys[0]))
    master, decision = commit(master, confirmation)
    assert decision.key_ids == (keys[0].key_id, keys[2].key_id)
    _, receipt, at_slave = accept(slave, decision)
    assert settle(master, receipt)[1] == at_slave == (keys[0], keys[2])


def test_an_end_in_doubt_announces_nothing_else():
    keys = LossyLink().enc_keys("bob", 1, 128)
    master, announcement = announce(new_master(STREAM), keys, 128)
    master, _ = commit(master, confirm(SlaveState(STREAM), announcement, keys)[1])
    with pytest.raises(AgreementError, match="in doubt"):
        announce(master, keys, 128)


def test_answers_to_other_messages_are_refused():
    keys = LossyLink().enc_keys("bob", 2, 128)
    master, announcement = announce(new_master(STREAM), keys, 128)
    slave, confirmation = confirm(SlaveState(STREAM), announcement, keys)
    stray = confirmation.model_copy(update={"batch_num": 7})
    with pytest.raises(AgreementError, match="batch 7"):
        commit(master, stray)
    ids = (*confirmation.key_ids, "00000000-0000-0000-0000-000000000099")
    foreign = confirmation.model_copy(update={"key_ids": ids})
    with pytest.raises(AgreementError, match="not announced"):
        commit(master, foreign)
    master, decision = commit(master, confirmation)
    receipt = accept(slave, decision)[1]
    with pytest.raises(AgreementError, match="deposited other keys"):
        settle(master, receipt.model_copy(update={"key_ids": receipt.key_ids[:1]}))
    with pytest.raises(AgreementError, match="stream"):
        repeated(slave, decision.model_copy(update={"stream": (3, 0)}))


@pytest.mark.parametrize("end", ["master", "slave"])
def test_a_failed_deposit_is_made_up_for_when_the_commit_comes_again(end):
    link, full = LossyLink(), [True, True]
    whole = link.depositor(end)

    def deposit(stream, key_id, secret):
        if full and full.pop():
            raise OSError(28, "No space left on device")
        whole(stream, key_id, secret)

    getattr(link, end)._deposit = deposit
    for _ in range(2):
        with pytest.raises(OSError, match="space"):
            link.master.fetch(16)
    assert link.master.fetch(16).num_bytes == 16
    assert len(agreed(link)) == 16


@pytest.mark.parametrize("restarted", [False, True])
def test_an_announcement_that_comes_too_late_is_refused_although_its_keys_are_there(restarted):
    link = LossyLink(["", "", "", "", "", "message"], patience=0)
    link.master.fetch(16)
    with pytest.raises(PeerSilentError):
        link.master.fetch(16)
    lost = link.sent[-1]
    if restarted:
        link.master = link.new_master()
    link.master.fetch(16)
    assert set(read_message(lost).key_ids) <= link.waiting.keys()
    assert link.deliver(lost).key_ids == ()
    assert set(read_message(lost).key_ids) <= link.waiting.keys()
    link.master.fetch(16)
    assert len(agreed(link)) == 48


def test_a_dead_session_that_speaks_up_does_not_end_the_live_one():
    link = LossyLink(["", "message"], patience=1)
    link.master.fetch(16)
    dead = link.sent[0]
    link.master = link.new_master()
    link.master.fetch(16)
    stranger = read_message(dead).model_copy(update={"session": "0" * 32})
    link.waiting |= {k: link.new_key(128).secret for k in stranger.key_ids}
    assert link.deliver(stranger.model_dump_json()).key_ids == stranger.key_ids
    link.master.fetch(16)
    assert len(agreed(link)) == 48


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"kind":"other"}', "[1]", "\xff", '{"kind":"done","session":"x","batch_num":1}'],
)
def test_a_malformed_message_is_one_line(text):
    with pytest.raises(AgreementError, match="malformed") as error:
        read_message(text)
    assert "\n" not in str(error.value)


def test_messages_survive_json():
    announcement = announce(new_master(STREAM), LossyLink().enc_keys("bob", 2, 128), 128)[1]
    assert read_message(announcement.model_dump_json()) == announcement


def test_a_batch_has_one_name_at_both_ends_whatever_the_case_of_its_ids():
    ids = ["550e8400-e29b-41d4-a716-44665544000a", "550e8400-e29b-41d4-a716-44665544000b"]
    assert batch_id(ids) == batch_id(i.upper() for i in ids) != batch_id(reversed(ids))
