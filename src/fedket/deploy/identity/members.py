"""The list of a federation's members: one text, signed by the coordinator's root key.

Who is client i, under which SAE ID, with which certificate, and who has left, is what this list
says and nothing else. The server hands it to sites when a session begins; a site takes no list that
another key signed, that is older than its own, or that gives a number or a name a second time. So a
server that lies can neither invent sites nor bring back one that was revoked.
"""

import base64
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic import Field, ValidationError

from fedket.deploy.identity import authority
from fedket.deploy.identity.authority import Root, fingerprint, pem, read_certificate, signed_by
from fedket.deploy.identity.departed import MEMBERS
from fedket.errors import ConfigError, FedketError, ProtocolError
from fedket.files import write_atomic
from fedket.keys.etsi014.config import Host, Id
from fedket.schema import Table
from fedket.types import SERVER

MOST_SITES = 1000
"""Numbers that a federation gives to sites: a run's state has room for them all."""

LONGEST = 4 * 2**20
"""Bytes of a list: 1000 members with certificates of 2 kB, and room."""

PADDING = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


class MembersChangedError(FedketError):
    """A session ended because there is a newer list; the next one goes by it."""


class Member(Table):
    """A party of a federation."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    role: Literal["site", "server", "coordinator", "observer"]
    certificate: str
    """PEM."""
    sae: Id | Literal[""] = ""
    """Its SAE ID, of sites and the server."""
    left: str = ""
    """Why it is no member any more, or nothing."""


class Members(Table):
    """A federation's members; the order of sites gives their numbers, from 0, for ever."""

    federation: str
    version: Annotated[int, Field(ge=1, le=2**31)]
    """Of the list; only goes up."""
    experiment: str
    """Fingerprint of the experiment that all agreed."""
    hosts: Annotated[tuple[Host, ...], Field(min_length=1)]
    """Names and addresses under which sites reach the server."""
    port: Annotated[int, Field(ge=1, le=65535)]
    root: str
    """The root's certificate (PEM)."""
    members: Annotated[tuple[Member, ...], Field(max_length=3000)]

    @property
    def sites(self) -> tuple[Member, ...]:
        """All sites there ever were, by number."""
        return tuple(member for member in self.members if member.role == authority.SITE)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all sites there ever were, by number."""
        return tuple(site.name for site in self.sites)

    @property
    def present(self) -> tuple[int, ...]:
        """Numbers of the sites that have not left."""
        return tuple(i for i, site in enumerate(self.sites) if not site.left)

    @property
    def departed(self) -> tuple[Member, ...]:
        """Who has left."""
        return tuple(member for member in self.members if member.left)

    @property
    def saes(self) -> dict[int, str]:
        """Party -> SAE ID, of the sites that have not left, and the server."""
        server = next(m for m in self.members if m.role == authority.SERVER and not m.left)
        return {i: self.sites[i].sae for i in self.present} | {SERVER: server.sae}

    def find(self, name: str) -> Member | None:
        """Return a member, whether or not it has left."""
        return next((member for member in self.members if member.name == name), None)

    def with_member(self, member: Member) -> "Members":
        """Return the list with one more member, or with one as it is now."""
        if self.find(member.name) is None:
            return self.model_copy(update={"members": (*self.members, member)})
        changed = tuple(member if m.name == member.name else m for m in self.members)
        return self.model_copy(update={"members": changed})


def sign(members: Members, root: Root) -> str:
    """Return a list as text, signed."""
    said = members.model_dump(mode="json")
    signature = root.key.sign(_canonical(said), PADDING, hashes.SHA256())
    text = {"signed": said, "signature": base64.b64encode(signature).decode()}
    return json.dumps(text, indent=1) + "\n"


def read_list(text: str | bytes, root_fingerprint: str, where: str) -> Members:
    """Read a list, and check it.

    Args:
        text: From `sign`.
        root_fingerprint: Of the root's key, as this party knows it.
        where: Where it comes from, for messages.

    Raises:
        ConfigError: It is none, or another key signed it.
    """
    try:
        if len(text) > LONGEST:
            raise ValueError(f"{len(text)} bytes are more than {LONGEST}")
        content = json.loads(text)
        said, signature = content["signed"], base64.b64decode(content["signature"])
        members = Members.model_validate_json(json.dumps(said))
        root = read_certificate(members.root.encode(), where)
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        first = f"{error}".splitlines()[0]
        raise ConfigError(f"{where} is no list of a federation's members: {first}") from None
    if (found := fingerprint(root)) != root_fingerprint:
        raise ConfigError(
            f"{where} is signed by the root key {found[:16]}…, this party knows the root key "
            f"{root_fingerprint[:16]}…; ask the coordinator"
        )
    key = root.public_key()
    try:
        if not isinstance(key, RSAPublicKey):
            raise InvalidSignature
        key.verify(signature, _canonical(said), PADDING, hashes.SHA256())
    except InvalidSignature:
        raise ConfigError(f"{where} was changed after it was signed; ask the coordinator") from None
    _check(members, root, where)
    return members


def check_newer(old: Members, new: Members) -> None:
    """Check that a list may take the place of another one.

    Raises:
        ProtocolError: It is older, or takes back what the other one says.
    """
    if new.version < old.version or (new.version == old.version and new != old):
        raise ProtocolError(
            f"the server shows version {new.version} of the list of members, this party has seen "
            f"version {old.version}; ask the coordinator for the newest"
        )
    for number, (before, now) in enumerate(zip(old.sites, new.sites, strict=False)):
        if before.name != now.name or before.left != (now.left if before.left else before.left):
            raise ProtocolError(
                f"version {new.version} of the list of members gives number {number} of "
                f"{before.name} to {now.name} again; numbers are given once"
            )
    for member in old.members:
        later = new.find(member.name)
        if later is not None and _key_of(member) != _key_of(later):
            raise ProtocolError(
                f"version {new.version} of the list of members gives {later.name} another key; a "
                "new key needs a new name"
            )
    if len(new.sites) < len(old.sites) or new.experiment != old.experiment:
        raise ProtocolError(
            f"version {new.version} of the list of members leaves sites out, or is of another "
            "experiment; ask the coordinator"
        )


def adopt(folder: Path, text: str, root_fingerprint: str) -> tuple[Members | None, Members] | None:
    """Keep a list that the server shows, if it is newer than this party's own.

    Returns:
        The list before and the new one; None if this one is known.

    Raises:
        ConfigError: It is none, or another key signed it.
        ProtocolError: It is older.
    """
    path = folder / MEMBERS
    own = path.read_text(encoding="utf-8") if path.exists() else ""
    if own == text:
        return None
    new = read_list(text, root_fingerprint, "the list of members that the server shows")
    old = read_list(own, root_fingerprint, f"{path}") if own else None
    if old is not None:
        check_newer(old, new)
        if old == new:
            return None
    write_atomic(path, text)
    return old, new


def changes(old: Members | None, new: Members) -> str:
    """Say in words what is new in a list."""
    before = old.members if old else ()
    known = {member.name: member for member in before}
    words = []
    for member in new.members:
        was = known.get(member.name)
        if was is None:
            sae = f" (SAE {member.sae})" if member.sae else ""
            words.append(f"{member.role} {member.name}{sae} came")
        elif member.left and not was.left:
            words.append(f"{member.name} {member.left}")
        elif member.certificate != was.certificate:
            words.append(f"{member.name} has a new certificate")
    return f"list of members, version {new.version}: " + ("; ".join(words) or "nobody changed")


def _check(members: Members, root: x509.Certificate, where: str) -> None:
    names = [member.name for member in members.members]
    if len(set(names)) < len(names):
        raise ConfigError(f"{where} gives a name twice")
    servers = sum(m.role == authority.SERVER and not m.left for m in members.members)
    if servers > 1 or (servers < 1 and members.version > 1):  # the first who joins is the server
        raise ConfigError(f"{where} must have one server")
    for member in members.members:
        certificate = read_certificate(member.certificate.encode(), f"{where}: {member.name}")
        if not signed_by(certificate, root):
            raise ConfigError(f"{where}: the root did not sign the certificate of {member.name}")


def _key_of(member: Member) -> str:
    return fingerprint(read_certificate(member.certificate.encode(), member.name))


def _canonical(said: Any) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def member_of(
    name: str, role: str, certificate: x509.Certificate, sae: str = "", left: str = ""
) -> Member:
    """Return a member of a list."""
    return Member.model_validate(
        {"name": name, "role": role, "certificate": pem(certificate).decode(), "sae": sae}
        | {"left": left}
    )
