"""A party's way to the server: mutual TLS, an enrolment, and requests signed as Flower's nodes do.

Flower knows nodes by a key that signs the time of each request. Here that key is new in every
process, and the party's certificate vouches for it: so nobody keeps a list of keys, and of two
processes with the same kit the later one counts.
"""

import ssl
from base64 import b64encode
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.date import now
from flwr.supercore.primitives.asymmetric import (
    generate_key_pairs,
    public_key_to_bytes,
    sign_message,
)

from fedket.deploy.engines.flower import letters
from fedket.deploy.engines.flower.kits import CERTIFICATE, KEY, ROOT, Kit
from fedket.deploy.identity.authority import SERVER, read_key
from fedket.deploy.messages import heard
from fedket.deploy.party_keys import AskPeer
from fedket.errors import ProtocolError
from fedket.keys.etsi014.errors import PeerSilentError
from fedket.secure.phases import Failure, Payload
from fedket.types import SERVER as SERVER_PARTY

PEER_S = 30.0
"""Longest wait for another party's answer."""

REFUSALS = {400, 403, 409}
"""Codes of refusals: no sense, no right, not now."""

PADDING, DIGEST = padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
"""Of the signature under an enrolment."""


def reason_of(error: httpx.HTTPError) -> str:
    """Return why a request failed: what the server says, if it was there."""
    if isinstance(error, httpx.HTTPStatusError):
        try:
            return heard(f"{error.response.json()['detail']}")
        except (ValueError, KeyError, TypeError, httpx.ResponseNotRead):
            pass
    return f"{type(error).__name__} {error}".strip()


def refused_for_good(error: httpx.HTTPError) -> bool:
    """Whether to ask again is in vain; a process that another one replaced may enrol again."""
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in REFUSALS


def vouched(public_key: bytes, time: str) -> bytes:
    """What a party's own key signs to enrol a process with this public key (PEM)."""
    return b"fedket: a process of this party at %s has the key\n%s" % (time.encode(), public_key)


class PartyClient:
    """A party's connection to the server.

    Args:
        kit: The party's.
        attempt: How often it tried before.

    Raises:
        httpx.HTTPError: The server is not there, or refuses.
    """

    def __init__(self, kit: Kit, attempt: int = 0) -> None:
        self.private_key, public_key = generate_key_pairs()
        self.public_key = public_key_to_bytes(public_key)
        self.url = f"https://{kit.address(attempt)}"
        self.tls = ssl.create_default_context(cafile=str(kit.folder / ROOT))
        self.tls.load_cert_chain(kit.folder / CERTIFICATE, kit.folder / KEY)
        self._client = httpx.Client(verify=self.tls, timeout=PEER_S + 5)
        self.node_id = int(self.ask("enrol", self._enrolment(kit))["node"])

    def ask(self, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the server something of ours.

        Raises:
            httpx.HTTPError: It is not there, or refuses.
        """
        url = f"{self.url}/fedket/{what}"
        told: dict[str, Any] = (
            self._client.post(url, json=body, headers=self._signed()).raise_for_status().json()
        )
        return told

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def way(self, names: tuple[str, ...]) -> AskPeer:
        """Return the way to the other parties, about links; `names` are those of the sites."""

        def ask(party: int, action: str, payload: Payload) -> Payload:
            who = SERVER if party == SERVER_PARTY else names[party]
            body = letters.to_bytes(letters.write_request(letters.Request("", action, payload)))
            try:
                url = f"{self.url}/fedket/peer/{who}"
                answer = self._client.post(url, content=body, headers=self._signed())
                records = letters.from_bytes(answer.raise_for_status().content)
            except (httpx.HTTPError, ProtocolError) as error:
                raise PeerSilentError(f"{who} did not answer `{action}`: {error}") from None
            outcome = letters.read_outcome(records, who)
            if isinstance(outcome, Failure):
                raise PeerSilentError(outcome.reason)
            return outcome.payload

        return ask

    def _enrolment(self, kit: Kit) -> dict[str, Any]:
        own = read_key((kit.folder / KEY).read_bytes(), f"{kit.folder / KEY}")
        time = now().isoformat()
        signature = own.sign(vouched(self.public_key, time), PADDING, DIGEST)
        certificate = (kit.folder / CERTIFICATE).read_text(encoding="ascii")
        return {"certificate": certificate, "time": time, "signature": signature.hex()}

    def _signed(self) -> dict[str, str]:
        time = now().isoformat()
        signature = sign_message(self.private_key, time.encode())
        return {
            FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(self.public_key).decode(),
            TIMESTAMP_HEADER: time,
            FLEET_HTTP_SIGNATURE_HEADER: b64encode(signature).decode(),
        }
