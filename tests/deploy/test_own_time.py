"""Time in which the server itself stood still makes no site silent."""

from threading import Event

import pytest

from fedket.deploy.members import MemberTable
from fedket.deploy.own_time import MOST_S, TICK_S, OwnTime


class Wall:
    """A clock that a test moves."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def own(wall):
    """The server's time, ticked by the test alone: its thread has ended."""
    stopped = Event()
    stopped.set()
    return OwnTime(stopped, wall)


def run(own, wall, seconds):
    for _ in range(round(seconds / TICK_S)):
        wall.seconds += TICK_S
        own.tick()


def test_time_passes_while_the_process_runs(own, wall):
    run(own, wall, 7.5)
    assert own() == pytest.approx(7.5)
    wall.seconds += TICK_S / 2
    assert own() == pytest.approx(7.5 + TICK_S / 2)


def test_a_standstill_counts_a_second_at_most_however_often_the_time_is_asked_for(own, wall):
    run(own, wall, 2)
    for _ in range(50):
        wall.seconds += 10
        assert own() == pytest.approx(2 + MOST_S)
    own.tick()
    run(own, wall, 1)
    assert own() == pytest.approx(3 + MOST_S)


def test_nobody_is_silent_for_what_the_server_could_not_hear(own, wall):
    table = MemberTable(("north", "west"), silent_s=6.0, clock=own)
    for i in range(2):
        table.heard(i, "first")
        table.note(i, "first", ready=True, admitted=True)
    wall.seconds += 60  # the server stands still
    own.tick()
    assert table.absent() == {}
    table.heard(0, "first")
    run(own, wall, 6)
    table.heard(0, "first")
    assert table.absent() == {1: "site west sends no heartbeat"}


def test_a_clock_goes_by_itself_until_it_is_stopped():
    stopped, ticked = Event(), Event()

    class Ticked(OwnTime):
        def tick(self):
            super().tick()
            ticked.set()

    clock = Ticked(stopped)
    assert ticked.wait(60)
    assert clock() > 0
    stopped.set()
