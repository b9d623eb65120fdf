"""Who may ask whom for what on FLARE's channels, and that nothing starts unguarded."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("nvflare")

from hypothesis import given
from hypothesis import strategies as st
from nvflare.fuel.f3.cellnet.core_cell import CoreCell
from nvflare.fuel.f3.sfm.sfm_endpoint import SfmEndpoint
from nvflare.private.fed.client.admin import FedAdminAgent

from fedket.deploy.engines.flare import guard
from fedket.deploy.engines.flare.guard import ADMINISTERED, answers, may_come_from
from fedket.errors import ConfigError

CELLS = ["server", "server.j", "ada", "ada.j", "bob", "bob.j", "bob.k", "_admin_x"]


@given(topic=st.text(max_size=20), asker=st.sampled_from(CELLS))
def test_nobody_but_the_server_and_its_own_job_reaches_a_site_s_admin_channel(topic, asker):
    assert answers("bob", asker, "admin", topic) == (asker in ("server", "bob.j", "bob.k"))


@pytest.mark.parametrize("word", ["shell", "shutdown", "restart", "delete", "info", "log", "env"])
def test_even_the_server_gets_no_shell_and_ends_no_party(word):
    assert not any(word in topic for topics in ADMINISTERED.values() for topic in topics)


@given(topic=st.text(max_size=20))
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("asker", CELLS)
def test_nobody_manages_another_s_connections_or_sends_requests_in_bulk(cell, asker, topic):
    assert not answers(cell, asker, "_net_manager", topic)
    assert not answers(cell, asker, "cellnet.channel", "bulk")


@pytest.mark.parametrize("asker", [cell for cell in CELLS if cell != "bob"])
def test_a_job_takes_commands_from_its_own_site_alone(asker):
    assert answers("bob.j", "bob", "client_command", "abort")
    assert not answers("bob.j", asker, "client_command", "abort")
    assert not answers("bob.j", "bob", "client_command", "configure_job_log")


def test_jobs_talk_to_their_own_kind():
    assert answers("bob.j", "ada.j", "collab", "call")
    assert answers("bob.j", "server.j", "collab", "call")
    assert not answers("bob.k", "ada.j", "collab", "call")
    assert not answers("bob.j", "ada", "collab", "call")


@pytest.mark.parametrize(
    ("cell", "neighbour", "origin", "may"),
    [
        ("server", "ada", "ada", True),
        ("server", "ada", "ada.j", True),
        ("server", "ada", "server", False),
        ("server", "ada", "bob.j", False),
        ("server", "ada", "adam", False),
        ("server.j", "server", "ada.j", True),
        ("bob", "server", "ada.j", True),
        ("bob", "bob.j", "server", False),
        ("bob", "ada", "server", False),
        ("bob.j", "bob", "server", True),
    ],
)
def test_a_message_comes_from_whom_it_names(cell, neighbour, origin, may):
    assert may_come_from(cell, neighbour, origin) == may


@pytest.mark.parametrize(
    ("owner", "name", "other"),
    [
        (CoreCell, "_process_request", lambda self, message: None),
        (CoreCell, "_process_received_msg", None),
        (FedAdminAgent, "_dispatch_request", lambda self, request, context: None),
        (guard.f3_cell, "_is_server_job_cell", None),
        (guard.nvflare, "__version__", "2.10.0"),
    ],
)
def test_another_flare_is_not_started(owner, name, other, monkeypatch):
    monkeypatch.setattr(owner, name, other)
    for place, kept in [
        (CoreCell, "_process_request"),
        (CoreCell, "_process_received_msg"),
        (FedAdminAgent, "_dispatch_request"),
    ]:  # what was guarded before the other shape was seen is put back
        monkeypatch.setattr(place, kept, getattr(place, kept))
    with pytest.raises(ConfigError, match=r"FLARE \S+ cannot be guarded"):
        guard.install()


GARBAGE = """
from types import SimpleNamespace
from nvflare.fuel.f3.cellnet.cell import Adapter
from nvflare.fuel.f3.cellnet.fqcn import FqcnInfo
from nvflare.fuel.f3.streaming.stream_const import StreamHeaderKey
if {guarded}:
    from fedket.deploy.engines.flare.guard import install
    install()
names = StreamHeaderKey.CHANNEL, StreamHeaderKey.TOPIC, StreamHeaderKey.PAYLOAD_ENCODING
headers = dict(zip(names, ("server_command", "submit_update", "fobs")))
cell = SimpleNamespace(
    decode_pass_through_channels=(), decode_pass_through_topics=(),
    get_fobs_context=lambda props=None: props,
)
adapter = Adapter(print, FqcnInfo("server.j"), cell)
try:
    adapter.call(SimpleNamespace(headers=headers, result=lambda: b"garbage"))
except Exception:
    print("alive")
"""


@pytest.mark.parametrize("guarded", [False, True])
def test_garbage_of_a_site_does_not_end_the_server_s_job(guarded):
    code = GARBAGE.format(guarded=guarded)
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ("alive" in done.stdout) == guarded
    assert (done.returncode == 0) == guarded


def test_a_party_without_a_guard_does_not_start(tmp_path):
    (tmp_path / "nvflare").mkdir()
    (tmp_path / "nvflare" / "__init__.py").write_text('__version__ = "2.10.0"')
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['party', 'this'];"
        "from fedket.deploy.engines.flare.party import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "FLARE cannot be guarded" in done.stderr


@pytest.mark.parametrize(("name", "told"), [("bob", "site bob"), ("server", "this site")])
def test_two_copies_of_a_kit_that_end_each_other_s_connection_are_named(name, told, caplog):
    """At the server, and at each of the two; a site that comes back now and then is no copy."""
    endpoint = SfmEndpoint(SimpleNamespace(name=name))
    join = guard._joining(SfmEndpoint.add_connection)
    connection = SimpleNamespace(conn=SimpleNamespace(close=lambda: None), get_name=lambda: "CN")
    for _ in range(guard.COPIES - 1):
        join(endpoint, connection)
    assert not caplog.messages
    for _ in range(2):
        join(endpoint, connection)
    assert caplog.messages == [f"two copies of {told} run at once, maybe on two machines: stop one"]
