"""A site's process: a node of Flower's that answers requests itself, all in this one process.

It runs no code that comes from the server, and asks for none: a message names an action and
carries its arguments.
"""

import time
from contextlib import closing
from pathlib import Path
from threading import Thread

import httpx
from flwr.app import Message
from flwr.app.message.message import remove_content_from_message
from flwr.common.serde import message_to_proto
from flwr.proto.fleet_pb2 import (
    PullMessagesRequest,
    PullMessagesResponse,
    PushMessagesRequest,
)
from flwr.proto.message_pb2 import ConfirmMessageReceivedRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_protobuf_utils import (
    make_pull_object_fn_protobuf,
    make_push_object_fn_protobuf,
)
from flwr.supercore.inflatable.inflatable_utils import (
    ObjectPullError,
    inflate_object_from_contents,
    pull_objects,
    push_objects,
)
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from fedket.deploy.engines.flower import letters
from fedket.deploy.engines.flower.kits import Kit
from fedket.deploy.engines.flower.wire import PartyClient, reason_of
from fedket.deploy.files import own_files
from fedket.deploy.identity.authority import SERVER
from fedket.deploy.party_keys import AskPeer
from fedket.deploy.site_process import SiteProcess
from fedket.deploy.terminal import at_terminal
from fedket.errors import ProtocolError
from fedket.keys.etsi014.errors import PeerSilentError
from fedket.secure.phases import Failure, Outcome, Payload

RETRY_S = 1.0
WAIT_S = 30.0
"""Longest wait for an answer to a single HTTP request."""


def take_part(kit: Kit, folder: Path) -> None:
    """Answer requests for as long as the process lives."""
    node = FlowerNode(folder)
    attempt = 0
    while True:
        try:
            node.serve(PartyClient(kit, attempt))
        except httpx.HTTPError as error:
            refused = isinstance(error, httpx.HTTPStatusError)
            what = "the server refuses" if refused else "no server"
            node.without_server(f"{what} at {kit.address(attempt)}: {reason_of(error)}")
        attempt += 1
        time.sleep(RETRY_S)


class FlowerNode:
    """Answers what the server asks, over one connection after the other.

    Args:
        folder: The site's kit.
    """

    def __init__(self, folder: Path) -> None:
        self._process = SiteProcess(lambda: own_files(folder), self._way)
        self._party: PartyClient | None = None

    def without_server(self, why: str) -> None:
        """Note why there is no connection; with nothing, that there is one."""
        self._process.problems.note("connection", why)

    def serve(self, party: PartyClient) -> None:
        """Answer requests until the connection is lost.

        Raises:
            httpx.HTTPError: It is lost, or another process is the site's now.
        """
        self._party, key = party, party.private_key
        self._node = Node(node_id=party.node_id)
        self._client = FleetHttpClient(
            party.url,
            interceptors=[NodeAuthHttpInterceptor(key, key.public_key())],
            verify=party.tls,
            timeout=WAIT_S,
        )
        self.without_server("")
        at_terminal(f"connected to the server at {party.url}")
        with self._client, closing(party):
            while True:
                pulled = self._client.PullMessages(PullMessagesRequest(node=self._node))
                if pulled.messages_list:
                    Thread(target=self._answer, args=(pulled,), daemon=True).start()

    def _way(self, names: tuple[str, ...]) -> AskPeer:
        """Return the way to other parties, over whatever connection there is then."""

        def ask(party: int, action: str, payload: Payload) -> Payload:
            if self._party is None:
                raise PeerSilentError("there is no connection to the server")
            return self._party.way(names)(party, action, payload)

        return ask

    def _answer(self, pulled: PullMessagesResponse) -> None:
        """Fetch the rest of a message, and answer it; the server does not wait if it fails."""
        try:
            message = self._fetch(pulled)
            reply = Message(letters.write_outcome(self._outcome(message)), reply_to=message)
            self._send(reply)
        except ObjectPullError:  # the server has given it up
            return
        except Exception as error:  # whatever it is, the server goes on without this answer
            at_terminal(f"an answer was lost: {type(error).__name__} {error}")

    def _outcome(self, message: Message) -> Outcome:
        request = letters.read_request(message.content)
        if message.metadata.message_type == letters.PEER:
            return self._process.peer(request.caller, request.action, request.payload)
        if message.metadata.message_type == letters.PHASE and request.caller == SERVER:
            return self._process.phase(request.action, request.payload)
        return Failure(f"`{message.metadata.message_type}` is not answered")

    def _fetch(self, pulled: PullMessagesResponse) -> Message:
        """Return a message with all of its content."""
        about, (tree,) = pulled.messages_list[0].metadata, pulled.message_object_trees
        pull = make_pull_object_fn_protobuf(self._client.PullObject, self._node, about.run_id)
        contents = pull_objects([part.object_id for part in iterate_object_tree(tree)], pull)
        self._client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(
                node=self._node, run_id=about.run_id, message_object_id=about.message_id
            )
        )
        message = inflate_object_from_contents(about.message_id, contents)
        if not isinstance(message, Message):
            raise ProtocolError("what came is not a message")
        message.metadata.__dict__["_message_id"] = about.message_id
        return message

    def _send(self, reply: Message) -> None:
        run = reply.metadata.run_id
        with no_object_id_recompute():
            reply.metadata.__dict__["_message_id"] = reply.object_id
            answer = self._client.PushMessages(
                PushMessagesRequest(
                    node=self._node,
                    messages_list=[message_to_proto(remove_content_from_message(reply))],
                    message_object_trees=[get_object_tree(reply)],
                    clientapp_runtime_list=[0.0],
                )
            )
            push_objects(
                get_all_nested_objects(reply),
                make_push_object_fn_protobuf(
                    self._client.PushObject, self._node, run, answer.session_id
                ),
                object_ids_to_push=set(answer.objects_to_push),
            )
