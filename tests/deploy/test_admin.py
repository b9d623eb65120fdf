"""The administrator's side, against an account of what FLARE says."""

from types import SimpleNamespace

import pytest

pytest.importorskip("nvflare")

from fedket.deploy.engines.flare import admin
from fedket.deploy.engines.flare.admin import SETTLED_S, Latecomers
from fedket.errors import FedketError, ProtocolError, RunStoppedError

SITES = ("ada", "bob", "eve")
ALL = ["server: OK", *(f"{name}: OK" for name in SITES)]


def latecomers(clock):
    return Latecomers(lambda: SITES, lambda: clock[0])


def test_a_site_that_stays_after_the_job_has_begun_is_late():
    clock = [0.0]
    late = latecomers(clock)
    deployed = ["server: OK", "ada: OK", "bob: OK"]
    assert late.settled(set(SITES), deployed) == ()
    clock[0] = SETTLED_S - 1
    assert late.settled(set(SITES), deployed) == ()
    clock[0] = SETTLED_S
    assert late.settled(set(SITES), deployed) == ("eve",)


def test_a_site_that_comes_and_goes_has_not_settled():
    clock = [0.0]
    late = latecomers(clock)
    deployed = ["server: OK", "ada: OK", "bob: OK"]
    late.settled(set(SITES), deployed)
    clock[0] = SETTLED_S / 2
    late.settled({"ada", "bob"}, deployed)
    clock[0] = SETTLED_S
    assert late.settled(set(SITES), deployed) == ()
    clock[0] = 2 * SETTLED_S
    assert late.settled(set(SITES), deployed) == ("eve",)


@pytest.mark.parametrize("deployed", [[], ALL], ids=["not sent out yet", "everybody has it"])
def test_who_has_the_job_or_will_get_it_is_not_late(deployed):
    clock = [0.0]
    late = latecomers(clock)
    for clock[0] in (0.0, SETTLED_S, 9 * SETTLED_S):
        assert late.settled({*SITES, "a stranger"}, deployed) == ()


def test_a_site_that_could_not_take_the_job_is_late():
    clock = [0.0]
    late = latecomers(clock)
    deployed = ["server: OK", "ada: OK", "bob: OK", "eve: no space left on device"]
    late.settled(set(SITES), deployed)
    clock[0] = SETTLED_S
    assert late.settled(set(SITES), deployed) == ("eve",)


class FakeSession:
    """FLARE, as far as `run_job` asks it: one list of connected sites for each job."""

    def __init__(self, connected, ends):
        self.connected, self.ends = list(connected), list(ends)
        self.submitted, self.aborted, self.stopped = [], [], {}

    def get_system_info(self):
        here = self.connected[min(len(self.submitted), len(self.connected) - 1)]
        clients = [SimpleNamespace(name=name) for name in here]
        return SimpleNamespace(client_info=clients, job_info=[])

    def submit_job(self, folder):
        here = [client.name for client in self.get_system_info().client_info]
        self.submitted.append(["server: OK", *(f"{name}: OK" for name in here)])
        return f"job-{len(self.submitted)}"

    def get_job_meta(self, _):
        over = self.aborted and self.aborted[-1] == len(self.submitted)
        end = self.ends[len(self.submitted) - 1]
        status = "FINISHED:ABORTED" if over else end
        return {"status": status, "job_deploy_detail": self.submitted[-1]}

    def abort_job(self, _):
        self.aborted.append(len(self.submitted))

    def do_command(self, command):
        assert command == admin.LOOK
        return {"data": [{"type": "dict", "data": {"stopped": self.stopped}}]}

    def close(self):
        pass


def run(tmp_path, monkeypatch, flare, **options):
    clock, news = [0.0], []

    def sleep(seconds):
        clock[0] += seconds

    monkeypatch.setattr(admin.time, "sleep", sleep)
    monkeypatch.setattr(admin.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(admin, "session", lambda kit, seconds: admin.contextlib.nullcontext(flare))
    monkeypatch.setattr(admin, "Latecomers", lambda sites: latecomers(clock))
    try:
        admin.run_job(tmp_path, tmp_path, SITES, news.append, join_s=30.0, **options)
    finally:
        flare.seconds = clock[0]
    return news


def test_the_job_begins_again_with_who_came_late(tmp_path, monkeypatch):
    flare = FakeSession([{"ada", "bob"}, set(SITES)], ["RUNNING", admin.DONE])
    news = run(tmp_path, monkeypatch, flare)
    assert flare.aborted == [1]
    assert [set(job) for job in flare.submitted] == [{"server: OK", "ada: OK", "bob: OK"}, set(ALL)]
    assert "the job begins without eve" in news
    assert "eve came after the job had begun; it begins again with all" in news


def test_who_was_away_once_is_not_waited_for_again(tmp_path, monkeypatch):
    flare = FakeSession([{"ada", "bob"}], ["FINISHED:EXECUTION_EXCEPTION", admin.DONE])
    run(tmp_path, monkeypatch, flare)
    assert len(flare.submitted) == 2
    assert 30.0 <= flare.seconds < 60.0


def test_one_site_is_no_federation(tmp_path, monkeypatch):
    flare = FakeSession([{"ada"}], [])
    with pytest.raises(ProtocolError, match="bob, eve did not connect within 30 s"):
        run(tmp_path, monkeypatch, flare)
    assert not flare.submitted


def test_a_job_that_fails_again_and_again_is_given_up(tmp_path, monkeypatch):
    flare = FakeSession([set(SITES)], ["FAILED_TO_RUN"] * 3)
    with pytest.raises(ProtocolError, match=r"ended early 3 times, .* with FAILED_TO_RUN"):
        run(tmp_path, monkeypatch, flare, restarts=2)
    assert len(flare.submitted) == 3


def test_a_run_that_ends_with_an_error_again_is_not_handed_in_for_ever(tmp_path, monkeypatch):
    flare = FakeSession([set(SITES)], [admin.FAILED] * 99)
    with pytest.raises(ProtocolError, match=r"error 3 times; the file problem\.txt in"):
        run(tmp_path, monkeypatch, flare)
    assert len(flare.submitted) == admin.ENOUGH


class DyingSession(FakeSession):
    """Its server dies as it is asked about the first job."""

    def do_command(self, command):
        if len(self.submitted) == 1 and self.ends[0] != "gone":
            self.ends[0] = "gone"
            return {"details": "Server did not respond"}
        return super().do_command(command)


def test_a_server_that_dies_while_it_is_asked_gets_the_job_again(tmp_path, monkeypatch):
    flare = DyingSession([set(SITES)], ["RUNNING", admin.DONE])
    news = run(tmp_path, monkeypatch, flare)
    assert len(flare.submitted) == 2
    assert any("gone (the server does not answer `fedket_look`: Server" in line for line in news)


def test_what_the_server_found_wrong_is_said_where_it_can_be_seen(tmp_path, monkeypatch):
    flare = FakeSession([set(SITES)], [admin.FAILED] * 99)
    with pytest.raises(FedketError, match=r"^no samples$"):
        run(tmp_path, monkeypatch, flare, problem=lambda: "no samples")
    assert len(flare.submitted) == 1


def test_a_run_that_an_operator_stopped_is_not_handed_in_again(tmp_path, monkeypatch):
    flare = FakeSession([set(SITES)], ["FINISHED:ABORTED"] * 99)
    flare.stopped = {"job": "job-1", "by": "eve@example.org", "when": "2026-11-30T10:00:00+00:00"}
    with pytest.raises(RunStoppedError, match=r"eve@example\.org stopped the run at 2026"):
        run(tmp_path, monkeypatch, flare)
    assert len(flare.submitted) == 1


def test_who_stopped_an_earlier_job_does_not_stop_this_one(tmp_path, monkeypatch):
    flare = FakeSession([set(SITES)], ["FINISHED:ABORTED", admin.DONE])
    flare.stopped = {"job": "job-0", "by": "eve@example.org", "when": "2026-11-30T10:00:00+00:00"}
    run(tmp_path, monkeypatch, flare)
    assert len(flare.submitted) == 2


def test_nothing_is_handed_in_after_all_processes_were_stopped(tmp_path, monkeypatch):
    flare = FakeSession([set(SITES)], ["FINISHED:ABORTED"] * 99)
    with pytest.raises(RunStoppedError, match="the federation was stopped"):
        run(tmp_path, monkeypatch, flare, stopped=lambda: True)
    assert len(flare.submitted) == 1


def test_a_server_that_refuses_a_command_is_quoted():
    refusing = SimpleNamespace(
        do_command=lambda _: {
            "data": [{"type": "string", "data": "no"}],
            "meta": {"info": "not_authorized"},
        }
    )
    with pytest.raises(ProtocolError, match=r"does not answer `fedket_look`: not_authorized"):
        admin.look_through(refusing)
