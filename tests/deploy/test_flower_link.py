"""Flower's Fleet API as the server serves it: to parties that were let in, about themselves."""

import gc
import threading
import time
from types import SimpleNamespace

import httpx
import pytest

pytest.importorskip("flwr")

import uvicorn
from flwr.app import Message, Metadata
from flwr.app.message.message import make_message
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import (
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
    RegisterNodeFleetRequest,
)
from flwr.proto.node_pb2 import Node
from hypothesis import given
from hypothesis import strategies as st

from fedket.deploy.engines import Provisioning
from fedket.deploy.engines.flower import letters
from fedket.deploy.engines.flower.door import Door
from fedket.deploy.engines.flower.engine import FlowerConfig
from fedket.deploy.engines.flower.kits import read_kit, write_kit
from fedket.deploy.engines.flower.server_party import ServerParty, web
from fedket.deploy.engines.flower.site_party import FlowerNode
from fedket.deploy.engines.flower.wire import PartyClient, reason_of, refused_for_good
from fedket.deploy.identity import authority
from fedket.deploy.local import free_ports
from fedket.keys.etsi014.errors import PeerSilentError
from fedket.secure.phases import Failure, Reply

pytestmark = [  # connections of processes that a test leaves behind
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SITES = ("north", "south")
ROLES = dict.fromkeys(SITES, "site") | {"ann": "coordinator", "bob": "observer"}
ROLES |= {"server": "server"}
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
PAYLOADS = st.dictionaries(TEXT, st.binary() | NUMBERS | TEXT | st.lists(NUMBERS))


@given(caller=TEXT, action=TEXT, payload=PAYLOADS)
def test_a_request_arrives_as_it_was_sent(caller, action, payload):
    sent = letters.Request(caller, action, payload)
    body = letters.to_bytes(letters.write_request(sent))
    assert letters.read_request(letters.from_bytes(body)) == sent


@given(payload=PAYLOADS)
def test_an_answer_arrives_as_it_was_sent(payload):
    body = letters.to_bytes(letters.write_outcome(Reply(payload)))
    assert letters.read_outcome(letters.from_bytes(body), "north") == Reply(payload)


def test_a_failure_arrives_with_the_name_of_who_sent_it():
    body = letters.to_bytes(letters.write_outcome(Failure("no key")))
    assert letters.read_outcome(letters.from_bytes(body), "north") == Failure("north: no key")


def credentials(root, name, role, days=90):
    key = authority.new_key()
    certificate = authority.issue(root, name, role, key.public_key(), ["localhost"], days)
    pems = authority.pem(certificate), authority.key_pem(key), authority.pem(root.certificate)
    return authority.Credentials(name, role, *pems)


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    folder, root = tmp_path_factory.mktemp("kits"), authority.make_root("trial")
    wanted = Provisioning("trial", ("localhost",), *free_ports(1))
    for name, role in ROLES.items():
        write_kit(wanted, credentials(root, name, role), folder / name)
    stranger = credentials(authority.make_root("trial"), "north", "site")
    write_kit(wanted, stranger, folder / "stranger")
    write_kit(wanted, credentials(root, "west", "site"), folder / "west")
    write_kit(wanted, credentials(root, "south", "site", days=-0.03), folder / "ended")
    return folder


@pytest.fixture
def members():
    """Names of the sites that have not left."""
    return set(SITES)


@pytest.fixture
def server(kits, tmp_path, members):
    root = (kits / "north" / "startup" / "root.pem").read_bytes()
    made = ServerParty(tmp_path, Door(root, lambda: members))
    made._names = SITES
    served = uvicorn.Server(web(read_kit(kits / "server"), made.app()))
    thread = threading.Thread(target=served.run, daemon=True)
    thread.start()
    while not served.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield made
    served.should_exit = True
    thread.join(2)


@pytest.fixture(autouse=True)
def closed_connections():
    """Whatever a test opened is closed before another test could be blamed for it."""
    yield
    gc.collect()


def party(kits, name):
    return PartyClient(read_kit(kits / name))


def node(kits, name, answer):
    """A site whose answers are `answer(kind, request)`; its thread ends with its connection."""
    made, client = FlowerNode(kits / name), party(kits, name)
    made._process = SimpleNamespace(
        phase=lambda action, payload: answer("phase", "server", action, dict(payload)),
        peer=lambda caller, action, payload: answer("peer", caller, action, dict(payload)),
        problems=SimpleNamespace(note=lambda about, problem: None),
    )
    ended = threading.Event()

    def serve():
        try:
            made.serve(client)
        except httpx.HTTPError:
            ended.set()

    threading.Thread(target=serve, daemon=True).start()
    return made, ended


def asked(server, name, seconds=20.0):
    request = letters.Request("server", "upload", {"round_num": 3, "model": b"\x01"})
    return server._link.ask(name, letters.PHASE, request, seconds)


def echo(kind, caller, action, payload):
    return Reply({"said": f"{kind} {caller} {action}", **payload})


def test_a_node_answers_the_server_and_asks_other_parties(server, kits):
    node(kits, "north", echo)
    south, _ = node(kits, "south", echo)
    said = {"round_num": 3, "model": b"\x01"}
    assert asked(server, "north") == Reply({"said": "phase server upload", **said})
    ask = south._way(SITES)
    assert ask(0, "mark", {"nonce": b"n"}) == {"said": "peer south mark", "nonce": b"n"}
    server._share_keys(SimpleNamespace(answer=lambda party, action, payload: {"party": party}))
    assert ask(-1, "mark", {}) == {"party": 1}


def test_of_two_processes_of_a_site_the_later_one_counts(server, kits):
    _, ended = node(kits, "north", lambda *_: Reply({"who": "first"}))
    assert asked(server, "north") == Reply({"who": "first"})
    node(kits, "north", lambda *_: Reply({"who": "second"}))
    assert asked(server, "north") == Reply({"who": "second"})
    assert ended.wait(20)


def test_who_does_not_answer_is_not_waited_for(server, kits):
    assert asked(server, "north") == Failure("north has not connected")
    party(kits, "north")
    assert asked(server, "north", 0.2) == Failure("north did not answer within 0.2 s")
    abandoned = threading.Event()
    abandoned.set()
    request = letters.Request("server", "upload", {})
    late = server._link.ask("north", letters.PHASE, request, 60.0, abandoned)
    assert isinstance(late, Failure)


def test_nobody_answers_for_somebody_else(server, kits):
    north, south = (FlowerNode(kits / name) for name in SITES)
    clients = {name: party(kits, name) for name in SITES}
    outcomes = []
    asking = threading.Thread(target=lambda: outcomes.append(asked(server, "north", 2.0)))
    asking.start()
    node_of = {name: Node(node_id=client.node_id) for name, client in clients.items()}
    for made, name in ((north, "north"), (south, "south")):
        made._client = fleet(clients[name])
        made._node = node_of[name]
    pulled = PullMessagesResponse()
    while not pulled.messages_list:
        pulled = north._client.PullMessages(PullMessagesRequest(node=node_of["north"]))
    stolen = make_message(about(pulled), letters.write_outcome(Reply({"forged": 1})))
    forged = Message(stolen.content, reply_to=stolen)
    push = PushMessagesRequest(node=node_of["south"], messages_list=[message_to_proto(forged)])
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        south._client.PushMessages(push)
    push = PushMessagesRequest(node=node_of["north"], messages_list=[message_to_proto(forged)])
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        south._client.PushMessages(push)
    asking.join()
    assert outcomes == [Failure("north did not answer within 2 s")]


def about(pulled):
    said = pulled.messages_list[0].metadata
    ids = said.run_id, said.message_id, said.src_node_id, said.dst_node_id
    return Metadata(*ids, "", "", said.created_at, said.ttl, said.message_type)


def fleet(client):
    from flwr.supernode.fleet_http_client import FleetHttpClient
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

    key = client.private_key
    signs = NodeAuthHttpInterceptor(key, key.public_key())
    return FleetHttpClient(client.url, interceptors=[signs], verify=client.tls)


def test_who_is_no_party_is_not_let_in(server, kits):
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        party(kits, "west")
    for name in ("stranger", "ended"):
        with pytest.raises(httpx.TransportError):
            party(kits, name)


def test_a_site_that_has_left_is_answered_nothing_from_then_on(server, kits, members):
    _, ended = node(kits, "north", echo)
    assert isinstance(asked(server, "north"), Reply)
    members.remove("north")
    assert ended.wait(20)
    assert asked(server, "north") == Failure("north has not connected")
    with pytest.raises(httpx.HTTPStatusError) as refused:
        party(kits, "north")
    assert reason_of(refused.value) == "north is no party of this federation, or has left it"
    assert refused_for_good(refused.value)


def test_one_thing_at_a_time_is_begun_by_a_person_with_many_terminals(server, kits):
    terminals = [party(kits, "ann") for _ in range(3)]
    server._status, server._purpose = "running", "run"
    for terminal in terminals:
        assert terminal.ask("run", {"purpose": "run"})["status"] == "running"
    for purpose, why in (("statistics", "it is busy with: run"), ("lunch", "nothing is done for")):
        with pytest.raises(httpx.HTTPStatusError) as refused:
            terminals[0].ask("run", {"purpose": purpose})
        assert why in reason_of(refused.value)
    with pytest.raises(httpx.HTTPStatusError) as refused:
        terminals[0].ask("take", {"members": "nonsense"})
    assert refused.value.response.status_code == 400


def test_who_may_begin_end_and_see_a_run(server, kits):
    refused = {"ann": (), "bob": ("run", "stop", "take")}
    refused["north"] = (*refused["bob"], "look", "status")
    for name, actions in refused.items():
        client = party(kits, name)
        for action in ("status", "look", "stop", *actions):
            if action in actions:
                with pytest.raises(httpx.HTTPStatusError, match="403"):
                    client.ask(action)
            else:
                assert client.ask(action)


def test_nothing_else_of_flower_s_is_served(server, kits):
    client = party(kits, "north")
    request = RegisterNodeFleetRequest(public_key=client.public_key)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        fleet(client).RegisterNode(request)
    for path in ("control/start-run", "control/list-runs", "runtime/acquire-task"):
        refused = client._client.post(f"{client.url}/v1/{path}").status_code
        assert refused in (404, 415)  # no such route; Flower asks for its media type before
    served = server.app().openapi()["paths"]
    assert served
    assert all(path.startswith(("/v1/fleet/", "/fedket/")) for path in served)


def test_a_party_that_asks_nonsense_hears_so(server, kits):
    client = party(kits, "north")
    with pytest.raises(PeerSilentError, match="server is not reached from north yet"):
        client.way(SITES)(-1, "mark", {})
    answer = client._client.post(
        f"{client.url}/fedket/peer/south", content=b"\xff\xff", headers=client._signed()
    )
    assert answer.status_code == 400


def test_a_site_s_kit_says_where_its_server_is(kits):
    kit = read_kit(kits / "north")
    assert FlowerConfig().deployment().server(kits / "north") == f"localhost:{kit.port}"
    assert FlowerConfig().deployment().server(kits / "server") == ""
