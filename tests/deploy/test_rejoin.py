"""Job processes of sites on FLARE: one that is killed or fails is started again, at this site."""

from types import SimpleNamespace

import pytest

pytest.importorskip("nvflare")

from fedket.deploy.engines.flare import rejoin
from fedket.deploy.engines.flare.rejoin import SiteHandle


@pytest.fixture
def handle_of(tmp_path, monkeypatch):
    """(codes with which processes end, one after the other) -> handle, its pauses, its news."""
    monkeypatch.setattr(rejoin, "PAUSE_S", 0.01)
    monkeypatch.setattr(rejoin, "LONGEST_S", 0.02)
    told = tmp_path / "code.txt"

    def make(*codes):
        left, news = list(codes), []

        def launch():
            code = left.pop(0)
            told.write_text(f"{code}")
            return SimpleNamespace(
                wait=lambda: None,
                adapter=SimpleNamespace(poll=lambda: code),
                poll=lambda: code,
                terminate=lambda: None,
            )

        return SiteHandle(launch, news.append, told), left, news

    return make


def test_a_process_that_fails_is_started_again_and_flare_hears_nothing_of_it(handle_of, tmp_path):
    handle, left, news = handle_of(101, -9, 2, 2, 0)
    handle.wait()
    assert not left
    assert handle.poll() == 0
    assert [line.split("; ")[-1] for line in news] == [
        "it is started again in 0.01 s",
        "it is started again",
        "it is started again in 0.02 s",
        "it is started again in 0.02 s",
    ]
    assert news[0].startswith("problem: the job's process ended with code 101")


def test_the_end_of_a_job_is_no_failure(handle_of, monkeypatch):
    monkeypatch.setattr(rejoin, "PAUSE_S", 3600.0)
    handle, left, news = handle_of(1, 0)
    monkeypatch.setattr(handle, "_say", lambda _: handle.terminate())
    handle.wait()
    assert left == [0]
    handle, left, news = handle_of(9, 0)
    handle.terminate()
    handle.wait()
    assert left == [0]
    assert not news
