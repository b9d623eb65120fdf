"""The server's end: Flower's SuperLink, as far as messages and nodes go, in this process.

Flower's own command serves on one port, to whoever reaches it, also what starts runs with code of
the caller's. Here nothing is served but what a node needs of the Fleet API, to enrolled
processes of parties, and to each of them about itself alone.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection
from threading import Condition, Event
from typing import Any

from fastapi import FastAPI, Request, Response
from flwr.app import Message, Metadata
from flwr.app.message.message import make_message, remove_content_from_message
from flwr.common.constant import NOOP_ACCOUNT_NAME, NOOP_FLWR_AID, SUPERLINK_NODE_ID
from flwr.server.superlink.linkstate import LinkStateFactory
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME, NOOP_FEDERATION_ID, TaskType
from flwr.supercore.date import now
from flwr.supercore.error import http_error_translator
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.protobuf.translation import ProtobufTranslationMiddleware
from flwr.superlink.federation import NoOpFederationManager
from flwr.superlink.routers.fleet.node_auth import NodeAuthMiddleware
from flwr.superlink.routers.fleet.router import router as fleet
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse

from fedket.deploy.engines.flower import letters
from fedket.deploy.engines.flower.door import NO_PARTY
from fedket.deploy.terminal import at_terminal
from fedket.secure.phases import Failure, Outcome

FLEET = "/v1/fleet/"
ANSWERED = {
    "pull-messages",
    "push-messages",
    "pull-object",
    "push-object",
    "confirm-message-received",
}
"""All of the Fleet API that is served."""

HOLD_S = 1.0
"""How long a node that asks for messages is kept waiting for one."""

GONE_S = 5.0
"""A node that has not asked for so long is gone."""

ONLINE_S = 1800.0
"""Flower's idea of how long a node that asks for messages is there; ours is the membership's."""


class SuperLink:
    """Carries requests to nodes, and their answers back.

    Args:
        members: -> names of parties that have not left; others' nodes are let go.
    """

    def __init__(self, members: Callable[[], Collection[str]]) -> None:
        self._members = members
        objects = ObjectStoreFactory(FLWR_IN_MEMORY_DB_NAME)
        self._factory = LinkStateFactory(FLWR_IN_MEMORY_DB_NAME, NoOpFederationManager(), objects)
        self._state, self._store = self._factory.state(), objects.store()
        self._run = self._state.create_run(
            None, None, None, {}, NOOP_FEDERATION_ID, None, NOOP_FLWR_AID, TaskType.SERVER_APP
        )
        (run,) = self._state.get_run_info(run_ids=[self._run])
        self._task = run.primary_task_id
        self._state.claim_task(self._task)
        self._state.activate_task(self._task)
        self._arrived = Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nodes: dict[str, int] = {}
        self._seen: dict[int, float] = {}
        self._mail: dict[int, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))

    def app(self) -> FastAPI:
        """Return what is served to nodes."""
        made = FastAPI(
            openapi_url=None,
            middleware=[
                Middleware(BaseHTTPMiddleware, dispatch=http_error_translator),
                Middleware(ProtobufTranslationMiddleware),
                Middleware(NodeAuthMiddleware),
                Middleware(BaseHTTPMiddleware, dispatch=self._guard),
            ],
        )
        made.state.linkstate_factory, made.state.enable_supernode_auth = self._factory, True
        made.include_router(fleet)
        return made

    def admit(self, name: str, public_key: bytes) -> int:
        """Take a process for a party's node from now on, in place of any other; returns its ID."""
        node: int = self._state.create_node(NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, public_key, ONLINE_S)
        self._state.activate_node(node, ONLINE_S)
        self._let_go(name)
        self._nodes[name] = node
        return node

    def connected(self) -> set[str]:
        """Names of the nodes that ask for messages."""
        since = time.monotonic() - GONE_S
        return {name for name, node in self._nodes.items() if self._seen.get(node, 0.0) > since}

    def ask(
        self,
        name: str,
        kind: str,
        request: letters.Request,
        seconds: float,
        abandoned: Event | None = None,
    ) -> Outcome:
        """Carry a request to a node; return what it answered within some seconds.

        Args:
            name: Of the node.
            kind: `letters.PHASE` or `letters.PEER`.
            request: What is asked.
            seconds: How long an answer is waited for.
            abandoned: Set once nobody waits for it.
        """
        if (node := self._nodes.get(name)) is None:
            return Failure(f"{name} has not connected")
        end = time.monotonic() + seconds
        message_id = self._push(node, kind, request, seconds)
        try:
            with self._arrived:
                while (reply := self._reply(message_id)) is None:
                    left = end - time.monotonic()
                    if left <= 0 or (abandoned is not None and abandoned.is_set()):
                        return Failure(f"{name} did not answer within {seconds:g} s")
                    self._arrived.wait(min(left, HOLD_S))
        finally:
            if late := self._state.message_ins_id_to_message_res_id.get(message_id):
                self._store.delete(late)
            self._state.delete_messages({message_id})
            self._store.delete(message_id)
        if reply.has_error():
            return Failure(f"{name}: {reply.error.reason}"[:500])
        return letters.read_outcome(reply.content, name)

    def _let_go(self, name: str) -> None:
        """Forget a party's node, if it has one: nothing that it asks is answered any more."""
        if (node := self._nodes.pop(name, None)) is not None:
            self._state.delete_node(NOOP_FLWR_AID, node)
            self._seen.pop(node, None)
            self._mail.pop(node, None)

    def _push(self, node: int, kind: str, request: letters.Request, seconds: float) -> str:
        """Store a message for a node, and wake it."""
        self._state.acknowledge_task_heartbeat(self._task)
        created = now().timestamp()
        about = Metadata(
            self._run, "", SUPERLINK_NODE_ID, node, "", "", created, seconds + HOLD_S, kind
        )
        message = make_message(about, letters.write_request(request))
        with no_object_id_recompute():
            message_id = about.__dict__["_message_id"] = str(message.object_id)
            self._store.preregister(self._run, get_object_tree(message))
            for object_id, item in get_all_nested_objects(message).items():
                self._store.put(object_id, item.deflate())
        self._state.store_message_ins(remove_content_from_message(message))
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._mail[node].release)
        return str(message_id)

    def _reply(self, message_id: str) -> Message | None:
        """Return the answer to a message once all of it is here."""
        store = self._store
        reply_id = self._state.message_ins_id_to_message_res_id.get(message_id)
        if reply_id is None:
            return None
        ids = [tree.object_id for tree in iterate_object_tree(store.get_object_tree(reply_id))]
        contents = {object_id: store.get(object_id) for object_id in ids}
        if not all(contents.values()):
            return None
        store.delete(reply_id)
        reply = inflate_object_from_contents(reply_id, contents)
        return reply if isinstance(reply, Message) else None

    async def _guard(
        self, request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Serve a node, that has been authenticated, about itself."""
        if not request.url.path.startswith(FLEET):
            return await answer(request)
        self._loop = asyncio.get_running_loop()
        action, said = request.url.path.removeprefix(FLEET), request.state.protobuf_request
        if action not in ANSWERED:
            return _refused(404, "this server does not answer that")
        node = said.node.node_id
        names, members = [n for n, own in self._nodes.items() if own == node], self._members()
        if not set(names) <= set(members):
            at_terminal(f"ended the connection of '{names[0]}', which has left")
            self._let_go(names[0])
            return _refused(403, f"{names[0]} {NO_PARTY}")
        if action == "pull-messages":
            self._seen[node] = time.monotonic()
            self._state.acknowledge_node_heartbeat(node, ONLINE_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._mail[node].acquire(), HOLD_S)
        elif action == "push-messages" and _of_others(said):
            return _refused(403, "a node sends its own answers")
        response = await answer(request)
        if action in ("push-messages", "push-object"):
            with self._arrived:
                self._arrived.notify_all()
        return response


def _refused(code: int, why: str) -> Response:
    """A refusal that Flower hands on: one without JSON would become an error of the server's."""
    return JSONResponse({"detail": why}, status_code=code)


def _of_others(said: Any) -> bool:
    """Whether a node pushes messages that name another one as their sender."""
    return any(m.metadata.src_node_id != said.node.node_id for m in said.messages_list)
