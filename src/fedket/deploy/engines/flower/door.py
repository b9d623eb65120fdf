"""Who may come to the server: processes for which a certificate of the federation vouches."""

from base64 import b64decode
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID
from fastapi import HTTPException, Request
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER
from flwr.supercore.date import now
from flwr.superlink.routers.fleet.node_auth import authenticate_node
from starlette.concurrency import run_in_threadpool

from fedket.deploy.engines.flower.wire import DIGEST, PADDING, vouched
from fedket.deploy.identity.authority import COORDINATOR, OBSERVER, SITE, days_left, signed_by

NO_PARTY = "is no party of this federation, or has left it"

TERMINALS = 16
"""Processes of a person that stay let in beside a new one; a site has but the newest."""

LATE = timedelta(minutes=5)
"""By how much the clocks of two parties may differ."""


class Caller(NamedTuple):
    """A process that has been let in.

    Attributes:
        name: Of its party.
        role: What that is.
        public_key: The process's own (PEM).
    """

    name: str
    role: str
    public_key: bytes


class Door:
    """Knows the processes that were let in, by their keys.

    Args:
        root: The federation's root certificate (PEM).
        sites: -> names of its sites, of those that have not left.
    """

    def __init__(self, root: bytes, sites: Callable[[], Collection[str]]) -> None:
        self._root, self.sites = x509.load_pem_x509_certificate(root), sites
        self._callers: dict[bytes, Caller] = {}

    async def enrol(self, request: Request) -> Caller:
        """Let the process that asks in, in place of others of its party.

        Raises:
            HTTPException: Its party's certificate does not vouch for it, or has no right to.
        """
        public_key, said = await _signer(request), await request.json()
        try:
            certificate = x509.load_pem_x509_certificate(f"{said['certificate']}".encode())
            time = f"{said['time']}"
            words, signature = vouched(public_key, time), bytes.fromhex(said["signature"])
            own = certificate.public_key()
            if not isinstance(own, RSAPublicKey) or not signed_by(certificate, self._root):
                raise HTTPException(403, "the federation's root has not signed this certificate")
            own.verify(signature, words, PADDING, DIGEST)
            late = abs(now() - datetime.fromisoformat(time)) > LATE
        except (InvalidSignature, KeyError, TypeError, ValueError):
            raise HTTPException(403, "the certificate does not vouch for this process") from None
        name, role = (
            _only(certificate, oid) for oid in (NameOID.COMMON_NAME, NameOID.UNSTRUCTURED_NAME)
        )
        if late or not days_left(certificate) > 0:
            raise HTTPException(403, "the certificate has ended, or a clock is wrong")
        if role not in (COORDINATOR, OBSERVER) and (role != SITE or name not in self.sites()):
            raise HTTPException(403, f"{name} {NO_PARTY}")
        same = [key for key, c in self._callers.items() if (c.name, c.role) == (name, role)]
        kept = same[-TERMINALS:] if role != SITE else []
        caller = Caller(name, role, public_key)
        others = {k: c for k, c in self._callers.items() if k not in same or k in kept}
        self._callers = others | {public_key: caller}
        return caller

    async def caller(self, request: Request, *roles: str) -> str:
        """Return the name of the party whose process asks.

        Raises:
            HTTPException: It was not let in, or its role does not allow this.
        """
        caller = self._callers.get(await _signer(request))
        if caller is None:
            raise HTTPException(401, "unknown key; another process may be this party's now")
        if caller.role == SITE and caller.name not in self.sites():
            raise HTTPException(403, f"{caller.name} {NO_PARTY}")
        if caller.role not in roles:
            raise HTTPException(403, f"this is for {' and '.join(roles)}")
        return caller.name


async def _signer(request: Request) -> bytes:
    """Return the key (PEM) under which a request is signed as Flower's nodes sign theirs."""
    public_key = b64decode(request.headers.get(FLEET_HTTP_PUBLIC_KEY_HEADER, ""))
    request.state.protobuf_request = ActivateNodeRequest(public_key=public_key)
    await run_in_threadpool(authenticate_node, request)
    return public_key


def _only(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    """The one value that a subject has of a kind, or nothing."""
    found = [named.value for named in certificate.subject.get_attributes_for_oid(oid)]
    return found[0] if len(found) == 1 and isinstance(found[0], str) else ""
