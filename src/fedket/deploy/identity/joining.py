"""How a party comes into a federation: invitation, request, answer. No private key travels.

An invitation may be sent openly: it says which federation this is (the fingerprint of the root's
key, which people compare), and what is to be trained. Its code is in the request as an HMAC, so
that a request comes from whoever has the invitation; who that is, people make sure of by comparing
the fingerprint of the request's key. The answer holds the signed list of members, with the new
party's certificate, and the experiment.
"""

import base64
import hmac
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from cryptography import x509
from pydantic import Field, ValidationError

from fedket.deploy.files import FEDERATION, Fingerprint, SiteName
from fedket.deploy.identity.authority import (
    SERVER,
    Credentials,
    fingerprint,
    key_pem,
    new_key,
    pem,
    read_certificate,
    read_key,
    request,
)
from fedket.deploy.identity.members import LONGEST, Member, Members, read_list
from fedket.errors import ConfigError
from fedket.files import write_atomic
from fedket.keys.etsi014.config import Host, Id
from fedket.schema import Table, read_table

INVITATION, PRIVATE = "invitation.toml", "private.key"
"""What a party that has asked keeps until the answer comes."""


class Invitation(Table):
    """What a coordinator sends to whom it invites."""

    federation: str
    name: SiteName
    """How the party will be called."""
    authority: Annotated[Fingerprint, Field(min_length=64)]
    """Fingerprint of the root key that signs certificates and the list of members."""
    experiment: Annotated[Fingerprint, Field(min_length=64)]
    """Of what is trained."""
    hosts: tuple[Host, ...]
    """Where the server is reached."""
    port: int
    code: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """Is used once."""
    replaces: str = ""
    """Whose place it takes."""
    role: Literal["site", "server"] = "site"


class JoinRequest(Table):
    """What a party sends back: everything about it, and nothing secret."""

    name: SiteName
    sae: Id
    request: str
    """Its certificate signing request (PEM)."""
    proof: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """HMAC-SHA-256 of the above under the invitation's code."""


class Answer(Table):
    """What the coordinator answers; `members` is signed, and names the experiment."""

    kind: Literal["fedket answer"] = "fedket answer"
    name: str
    members: str
    experiment: str
    """`experiment.toml`."""
    files: Mapping[str, str]
    """Files that it names, in base64; never code."""
    federation: str = ""
    """`federation.toml`, for the server."""


def invite(folder: Path, members: Members, name: str, replaces: str = "") -> Path:
    """Write an invitation.

    Args:
        folder: Where it goes.
        members: The list as it is.
        name: Of the new site, or `server`; names are given once.
        replaces: The site whose place it takes.

    Raises:
        ConfigError: The name was given already, or nobody has the other one.
    """
    if members.find(name):
        raise ConfigError(
            f"`{name}` was given already, and names are given once; invite `{name}-2`, and say "
            f"`--replaces {name}` if it takes that one's place"
        )
    old = members.find(replaces)
    if replaces and (old is None or old.left or old.role != "site"):
        raise ConfigError(f"no site `{replaces}` is there to be replaced")
    root = read_certificate(members.root.encode(), "the list of members")
    made = Invitation.model_validate(
        {
            "federation": members.federation,
            "name": name,
            "authority": fingerprint(root),
            "experiment": members.experiment,
            "hosts": members.hosts,
            "port": members.port,
            "code": secrets.token_hex(16),
            "replaces": replaces,
            "role": SERVER if name == SERVER else "site",
        }
    )
    path = folder / f"{name}.toml"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, tomli_w.dumps(made.model_dump(mode="json")))
    return path


def ask(invitation: Invitation, folder: Path, sae: str, target: Path) -> str:
    """Make a party's key pair and its request; returns the key's fingerprint.

    Args:
        invitation: Its invitation.
        folder: Keeps the private key until the answer comes; a request made again has the same.
        sae: The party's SAE ID.
        target: The request.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / PRIVATE
    if not path.exists():
        write_atomic(path, key_pem(new_key()))
    path.chmod(0o600)
    key = read_key(path.read_bytes(), f"{path}")
    write_atomic(folder / INVITATION, tomli_w.dumps(invitation.model_dump(mode="json")))
    text = pem(request(invitation.name, key)).decode()
    proof = _proof(invitation.code, invitation.name, sae, text)
    said = {"name": invitation.name, "sae": sae, "request": text, "proof": proof}
    write_atomic(target, tomli_w.dumps(said))
    return fingerprint(key)


def check_request(
    path: Path, invitations: Path
) -> tuple[Invitation, JoinRequest, x509.CertificateSigningRequest]:
    """Read a request, and check that it answers an invitation of ours.

    Raises:
        ConfigError: It does not.
    """
    asked = read_table(path, JoinRequest)
    own = invitations / f"{asked.name}.toml"
    if not own.exists():
        raise ConfigError(f"{path}: nobody has invited `{asked.name}`, or it has joined already")
    invitation = read_table(own, Invitation)
    proof = _proof(invitation.code, asked.name, asked.sae, asked.request)
    if not hmac.compare_digest(proof, asked.proof):
        raise ConfigError(f"{path} was made by somebody who does not have {own}, or changed since")
    try:
        signing = x509.load_pem_x509_csr(asked.request.encode())
        if not signing.is_signature_valid:
            raise ValueError("its signature is wrong")
    except ValueError as error:
        raise ConfigError(f"{path} holds no certificate signing request: {error}") from None
    return invitation, asked, signing


def write_answer(path: Path, name: str, members: str, folders: Sequence[Path]) -> None:
    """Write what the coordinator answers.

    Args:
        path: The file.
        name: Of the party.
        members: The list, signed.
        folders: With `experiment.toml` and the files that it names; for the server, also one with
            `federation.toml` and what that names.
    """
    texts, files = {"experiment.toml": "", FEDERATION: ""}, dict[str, str]()
    for folder in folders:
        for file in (f for f in sorted(folder.rglob("*")) if f.is_file() and f.suffix != ".py"):
            own = str(file.relative_to(folder))
            if own in texts:
                texts[own] = file.read_text(encoding="utf-8")
            else:
                files[own] = base64.b64encode(file.read_bytes()).decode()
    experiment, federation = texts.values()
    made = Answer(
        name=name, members=members, experiment=experiment, files=files, federation=federation
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, made.model_dump_json())


def read_answer(path: Path) -> Answer:
    """Read an answer.

    Raises:
        ConfigError: It is none.
    """
    try:
        if path.stat().st_size > 64 * LONGEST:
            raise ValueError("it is too large")
        return Answer.model_validate_json(path.read_bytes())
    except (ValueError, ValidationError) as error:
        first = f"{error}".splitlines()[0]
        raise ConfigError(f"{path} is no answer of a coordinator: {first}") from None


def check_answer(answer: Answer, folder: Path) -> tuple[Members, Member, Credentials]:
    """Check an answer against the invitation and the own key; returns what the kit is made of.

    Args:
        answer: From the coordinator.
        folder: Where this party asked.

    Raises:
        ConfigError: It is not what this party was invited to.
    """
    if not (folder / INVITATION).exists():
        raise ConfigError(
            f"{folder} holds no request of `{answer.name}`; first join with the invitation"
        )
    invitation = read_table(folder / INVITATION, Invitation)
    members = read_list(answer.members, invitation.authority, "the coordinator's answer")
    if (members.federation, members.experiment) != (invitation.federation, invitation.experiment):
        raise ConfigError(
            f"the answer is to another experiment ({members.experiment[:16]}) than the invitation "
            f"({invitation.experiment[:16]}); ask the coordinator"
        )
    member, key = members.find(answer.name), (folder / PRIVATE).read_bytes()
    own = read_key(key, f"{folder / PRIVATE}")
    if member is None or member.left or member.name != invitation.name:
        raise ConfigError(f"the coordinator's list has no member `{invitation.name}`")
    certificate = member.certificate.encode()
    if fingerprint(read_certificate(certificate, "the answer")) != fingerprint(own):
        raise ConfigError("the answer's certificate is for another key than this party's")
    shown = Credentials(member.name, member.role, certificate, key, members.root.encode())
    return members, member, shown


def _proof(code: str, *said: str) -> str:
    return hmac.new(bytes.fromhex(code), "\n".join(said).encode(), "sha256").hexdigest()
