"""Messages between parties: what was packed arrives, and whatever else arrives is a failure."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.deploy.messages import checked, failure_of, pack, unpack
from fedket.errors import ProtocolError
from fedket.secure.phases import Failure, Reply

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.binary() | NUMBERS | TEXT | st.lists(NUMBERS)
PAYLOADS = st.dictionaries(TEXT, VALUES)
WORDS = st.text(st.characters(categories=["L", "N", "P"]), max_size=500)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(payload=PAYLOADS)
def test_a_reply_arrives_as_it_was_sent(payload):
    assert unpack(pack(Reply(payload)), "north") == Reply(payload)


@given(reason=WORDS)
def test_a_failure_arrives_with_the_name_of_who_sent_it(reason):
    assert unpack(pack(Failure(reason)), "north") == Failure(f"north: {reason}")


def test_pages_of_failure_are_cut():
    outcome = unpack(pack(Failure("x" * 10**6)), "north")
    assert isinstance(outcome, Failure)
    assert len(outcome.reason) < 600


@given(message=ANYTHING | st.dictionaries(st.sampled_from(["reply", "failure"]), ANYTHING))
def test_whatever_arrives_is_an_outcome(message):
    outcome = unpack(message, "north")
    assert isinstance(outcome, Reply | Failure)
    if isinstance(outcome, Failure):
        assert outcome.reason.startswith("north")
    else:
        assert all(isinstance(name, str) for name in outcome.payload)


@pytest.mark.parametrize(
    "message",
    [
        None,
        b"reply",
        {},
        {"reply": None},
        {"reply": {1: b""}},
        {"reply": {"words": 1.5}},
        {"reply": {"words": [b""]}},
        {"reply": {"words": {"a": 1}}},
        {"failure": 3},
    ],
)
def test_what_is_no_answer_is_a_failure_that_names_who_sent_it(message):
    assert unpack(message, "north") == Failure(
        f"north sent {type(message).__name__} which is not an answer"
    )


def test_a_failure_beside_a_bad_reply_is_heard():
    assert unpack({"reply": 1, "failure": "no key"}, "north") == Failure("north: no key")


def test_messages_do_without_flare():
    code = "import sys, fedket.deploy.messages as m; sys.exit('nvflare' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ProtocolError("the key of round 3 is used"), "the key of round 3 is used"),
        (OSError(28, "No space left", "pads"), "[Errno 28] No space left: 'pads'"),
        (ValueError("patient 17: 0.3, 0.8"), "ValueError"),
        (ProtocolError(), "ProtocolError"),
    ],
)
def test_others_are_told_of_unforeseen_errors_by_kind_alone(error, told):
    assert failure_of(error) == Failure(told)


def test_the_text_of_an_unforeseen_error_stays_in_the_log(caplog):
    failure_of(ValueError("patient 17"))
    assert "patient 17" in caplog.text


@given(payload=PAYLOADS)
def test_a_request_arrives_as_it_was_sent(payload):
    assert checked(payload) == payload


@pytest.mark.parametrize(
    "payload", [None, [], b"", {1: 1}, {"a": None}, {"a": 2**63}, {"a": True}, {"a": "\ud800"}]
)
def test_what_is_no_request_is_refused(payload):
    with pytest.raises(ProtocolError, match="not the payload of a request"):
        checked(payload)
