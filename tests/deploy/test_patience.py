"""Waiting for key; clocks and key managers are made up."""

import pytest

from fedket.deploy import patience
from fedket.deploy.patience import RETRY_S, fill_patiently
from fedket.keys.etsi014.errors import KmeBusyError, KmeCertificateError, KmeUnreachableError


class Keys:
    """A key manager whose first answers are errors."""

    def __init__(self, *errors):
        self.errors, self.asked = list(errors), 0

    def fill(self):
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that were slept."""
    slept = []
    monkeypatch.setattr(patience.time, "monotonic", lambda: sum(slept))
    return slept


def fill(keys, clock, deadline=60.0):
    news = []
    fill_patiently(keys.fill, deadline, news.append, clock.append)
    return news


def test_it_waits_until_there_is_key_and_says_so_once(clock):
    keys = Keys(*[KmeBusyError("empty")] * 3)
    news = fill(keys, clock)
    assert keys.asked == 4
    assert clock == [RETRY_S] * 3
    assert news == ["waiting for key, 60 s at most: empty"]


def test_who_need_not_wait_does_not(clock):
    assert fill(Keys(), clock) == []
    assert clock == []


@pytest.mark.parametrize("deadline", [0.0, 4.0, 11.0])
def test_it_does_not_begin_an_attempt_after_the_deadline(clock, deadline):
    keys = Keys(*[KmeBusyError("empty")] * 99)
    with pytest.raises(KmeBusyError):
        fill(keys, clock, deadline)
    assert sum(clock) <= deadline
    assert keys.asked == 1 + deadline // RETRY_S


@pytest.mark.parametrize("error", [KmeUnreachableError("down"), KmeCertificateError("expired")])
def test_what_waiting_does_not_mend_is_said_at_once(clock, error):
    with pytest.raises(type(error)):
        fill(Keys(error), clock)
    assert clock == []
