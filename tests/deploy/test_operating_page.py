"""The page and the metrics of a running federation: read only, and safe whatever parties say."""

import json
import re
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from fedket.cli.deploy_page import federation_page, routes
from fedket.cli.deploy_watch import RoundPrinter
from fedket.deploy.kit import SITE
from fedket.deploy.operating.serving import Content, serving
from fedket.deploy.operating.state import STATE, Look, parse_look
from fedket.errors import ConfigError

HOSTILE = "<script>alert(1)</script>\"'><img src=http://elsewhere/x>\u202e"
NOW = datetime.now(UTC).isoformat(timespec="seconds")
SOON = (datetime.now(UTC) + timedelta(days=12.5)).isoformat(timespec="seconds")


class Found(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def site(name, **values):
    return {"name": name, "inside": True, "since": NOW, **values}


def look(**values):
    state = {
        "written": NOW,
        "since": NOW,
        "experiment": "heart",
        "fingerprint": "f" * 64,
        "status": "running",
        "rounds": 12,
        "of": 50,
        "recent": [{"round": r, "train_loss": 6 / r, "seconds": 0.31} for r in range(1, 13)],
        "phase": "waits for masked updates (bob)",
        "phase_since": NOW,
        "sites": [
            site("ada", seconds=0.12),
            site("bob", seconds=0.3, asked="upload"),
            site("eve", inside=False, why="site eve sends no heartbeat"),
        ],
        "links": [{"peer": "ada", "num_bytes": 640, "rounds": 10.0}],
        "certificates": [{"file": "startup/server.crt", "ends": SOON}],
        **values,
    }
    return parse_look({"state": state, "news": [f"{NOW} site ada is here"], "fresh": True}, "test")


def get(url, path="/", **headers):
    asked = HTTPConnection(urlsplit(url).netloc)
    asked.request("GET", path, headers=headers)
    answer = asked.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read().decode()


def test_the_page_says_rounds_sites_reservoirs_and_who_is_slow():
    page = federation_page(look())
    for said in ("12 of 50", "2 of 3", "masked updates (bob)", "no heartbeat", "10 rounds", "0.3"):
        assert said in page, said
    assert "renew it" in page


def test_the_page_of_a_site_shows_its_problems():
    page = federation_page(look(sites=(), problems=3))
    assert re.search(r"Problems</dt><dd class=\"value\"><data value=\"3\"", page)


def test_what_parties_say_is_text_on_the_page():
    hostile = look(
        experiment=HOSTILE,
        phase=HOSTILE,
        sites=[site(HOSTILE, why=HOSTILE, asked=HOSTILE, seconds=1.0)],
        links=[{"peer": HOSTILE, "num_bytes": 1, "rounds": 1.0}],
        certificates=[{"file": HOSTILE, "ends": NOW}],
    )
    page = federation_page(hostile.model_copy(update={"news": (HOSTILE,), "problem": HOSTILE}))
    found = Found()
    found.feed(page)
    assert not found.tags & {"script", "img", "link", "iframe", "object", "a"}
    assert not {name for name in found.attributes if name in ("src", "href") or name[:2] == "on"}
    assert "\u202e" not in page
    assert HOSTILE.split("\u202e")[0] in found.text


def test_rounds_are_printed_once_each_from_the_first_look_on(capsys):
    printer, rounds = RoundPrinter(), look().state.recent
    rounds = [{**r, "test_accuracy": None, "metrics": {}, "dropped": {"2": "away"}} for r in rounds]
    for until in (3, 3, 5, 12):
        printer.told(look(rounds=until, recent=rounds[:until]))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"round {number}" for number in range(4, 13)]
    assert lines[0] == "round 4: loss 1.5000; left out: away"
    printer.told(look(rounds=1, recent=rounds[:1]))  # another run
    assert capsys.readouterr().out.startswith("round 1:")
    printer = RoundPrinter()
    printer.told(Look())
    printer.told(look(rounds=2, recent=rounds[:2]))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_federation_without_a_run_has_a_page():
    assert "No run has begun yet" in federation_page(Look())


def test_the_server_answers_three_paths_to_its_own_names_and_nothing_can_be_written():
    with serving(routes(look), "127.0.0.1", 0) as url:
        status, headers, body = get(url)
        assert (status, headers["Refresh"]) == (200, "2")
        assert "heart" in body
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert json.loads(get(url, "/state.json")[2])["state"]["rounds"] == 12
        for path in ("/../etc/passwd", "/run", "/state.json/", "/%2e%2e/x"):
            assert get(url, path)[0] == 404
        for host in ("elsewhere.example", "127.0.0.1.elsewhere.example", "", "[", "[::1"):
            assert get(url, Host=host)[0] == 421
        assert get(url, Host="localhost:1")[0] == 200
        asked = HTTPConnection(urlsplit(url).netloc)
        asked.request("POST", "/", body="x")
        assert asked.getresponse().status == 501


def test_a_server_that_cannot_be_reached_is_a_page_that_tries_again():
    def gone():
        raise ConfigError("no FLARE server lets us in")

    with serving(routes(gone), "127.0.0.1", 0) as url:
        status, headers, body = get(url)
    assert (status, headers["Refresh"]) == (503, "5")
    assert "no FLARE server lets us in" in body


def test_a_port_that_is_taken_is_named():
    content = {"/": lambda: Content("text/plain", "")}
    with serving(content, "127.0.0.1", 0) as url:
        port = urlsplit(url).port
        with (
            pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port}"),
            serving(content, "127.0.0.1", port),
        ):
            pass


def test_metrics_are_in_prometheus_format():
    parser = pytest.importorskip("prometheus_client.parser")
    with serving(routes(look), "127.0.0.1", 0) as url:
        _, headers, body = get(url, "/metrics")
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parser.text_string_to_metric_families(body)
        for sample in family.samples
    }
    assert samples["fedket_status", "running"] == 1
    assert samples["fedket_status", "failed"] == 0
    assert samples["fedket_rounds_finished",] == 12
    assert samples["fedket_site_inside", "eve"] == 0
    assert samples["fedket_site_round_seconds", "bob"] == 0.3
    assert samples["fedket_link_key_rounds", "ada"] == 10
    assert samples["fedket_certificate_days", "startup/server.crt"] == pytest.approx(12.5, abs=0.1)
    assert ("fedket_site_round_seconds", "eve") not in samples


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "systemd"])
def test_the_command_serves_a_kit_here_and_ends_when_it_is_told_to(tmp_path, told):
    own = tmp_path / "local" / "fedket"
    own.mkdir(parents=True)
    (own / SITE).touch()
    (own / STATE).write_text(look().state.model_dump_json())
    command = [sys.executable, "-m", "fedket", "deploy", "watch", str(tmp_path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        url = watch.stdout.readline().split()[1]
        assert "heart" in get(url)[2]
        watch.send_signal(told)
        assert watch.wait() == 0


@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium")
def test_chromium_shows_the_page_and_loads_nothing_else(tmp_path):
    """What the browser asked for is what the server was asked for: the page, and no more."""
    asked, all_routes = [], routes(look)

    def counted(path):
        def answer():
            asked.append(path)
            return all_routes[path]()

        return answer

    with serving({path: counted(path) for path in all_routes}, "127.0.0.1", 0) as url:
        shot = tmp_path / "page.png"
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        own = [f"--user-data-dir={tmp_path}/own", "--window-size=1200,1500"]
        made = subprocess.run(
            [*command, *own, f"--screenshot={shot}", url],
            check=True,
            capture_output=True,
            text=True,
        )
    assert shot.stat().st_size > 20_000
    assert set(asked) == {"/"}
    assert "Content Security Policy" not in made.stderr
