"""Key in the background: a round waits for what it needs, and for nothing of anybody else."""

import threading

import pytest

from fedket.deploy.refill import Need, Refill
from fedket.keys.etsi014.errors import KmeBusyError

ONE, OTHER = (0, 1), (0, 2)


class Pads:
    """Streams that are filled when they may be."""

    def __init__(self, refill):
        self.have, self.asked, self.error = dict.fromkeys((ONE, OTHER), 0), [], None
        self.open = {ONE: threading.Event(), OTHER: threading.Event()}
        self.refill = refill

    def need(self, stream, now=10, ahead=160):
        def fetch(least, at_once):
            self.asked.append((stream, least, at_once))
            self.open[stream].wait(5)
            if self.error:
                raise self.error
            self.have[stream] += least

        return {stream: Need(now, ahead, lambda: self.have[stream], fetch)}


@pytest.fixture
def pads():
    refill = Refill()
    made = Pads(refill)
    yield made
    for event in made.open.values():
        event.set()
    refill.close(5)


def test_a_round_gets_what_it_needs_and_the_rest_comes_when_it_has_begun(pads):
    pads.open[ONE].set()
    assert pads.refill.wait_for(pads.need(ONE)) == {}
    assert pads.have[ONE] == 10
    pads.refill.go_ahead(pads.need(ONE))
    pads.refill.close(5)
    assert pads.have[ONE] == 160
    assert pads.asked == [(ONE, 10, 160), (ONE, 150, 150)]


def test_links_are_filled_at_the_same_time_and_each_by_one_thread(pads):
    pads.refill.go_ahead(pads.need(ONE))
    pads.open[OTHER].set()
    assert pads.refill.wait_for(pads.need(OTHER)) == {}
    pads.refill.go_ahead(pads.need(ONE))
    assert [stream for stream, *_ in pads.asked].count(ONE) == 1


def test_an_error_is_told_for_its_stream_once_its_key_is_needed(pads):
    pads.error = KmeBusyError("empty")
    for event in pads.open.values():
        event.set()
    pads.have[OTHER] = 10
    pads.refill.go_ahead(pads.need(OTHER))
    failed = pads.refill.wait_for(pads.need(ONE) | pads.need(OTHER))
    assert failed == {ONE: pads.error}


def test_nothing_begins_after_the_end(pads):
    pads.refill.close(1)
    assert "being closed" in str(pads.refill.wait_for(pads.need(ONE))[ONE])
    assert pads.asked == []
