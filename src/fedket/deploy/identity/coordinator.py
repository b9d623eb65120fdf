"""What a coordinator does with the list of members: let sites in, replace, revoke, renew.

Every change makes one new version of the list, signed, in the coordinator's folder and in the kits
that lie beside. A running server begins a new session with it after the round it is in; sites get
it from the server.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from fedket.deploy.engines.kind import deployment_of
from fedket.deploy.files import FEDERATION, SITE, kit_engine, own_files
from fedket.deploy.identity.authority import (
    CERTIFICATE,
    COORDINATOR,
    DAYS,
    ROOT_DAYS,
    SERVER,
    Root,
    days_left,
    fingerprint,
    issue,
    load_root,
    make_root,
    pem,
    read_certificate,
    save_root,
)
from fedket.deploy.identity.departed import MEMBERS
from fedket.deploy.identity.joining import check_request, write_answer
from fedket.deploy.identity.kits import keep_list
from fedket.deploy.identity.members import Member, Members, member_of, read_list, sign
from fedket.errors import ConfigError
from fedket.files import write_atomic

AUTHORITY, EXPERIMENT = "provisioning", "experiment"
INVITATIONS, ANSWERS = "invitations", "answers"
"""Folders of a coordinator's: the root with the list, what is trained, and what goes out."""


class Coordinator:
    """A coordinator's folder.

    Args:
        directory: A federation's folder, with the root key in it.

    Raises:
        ConfigError: It holds no root key or no list.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = load_root(directory / AUTHORITY)
        self.text = read_text(directory)
        self.members = read_list(self.text, fingerprint(self.root.certificate), MEMBERS)

    @property
    def invitations(self) -> Path:
        """Where invitations lie that were not used yet."""
        return self.directory / INVITATIONS

    def approve(self, requests: Sequence[Path], days: int = DAYS) -> dict[str, Path]:
        """Let parties in that were invited; returns name -> the answer to it.

        Raises:
            ConfigError: A request answers no invitation; nobody is let in then.
        """
        members, used = self.members, []
        for path in requests:
            invitation, asked, signing = check_request(path, self.invitations)
            key = signing.public_key()
            if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
                raise ConfigError(f"{path}: the key must be RSA of 2048 bits or more")
            if any(
                asked.sae == member.sae and member.name != invitation.replaces
                for member in members.members
                if not member.left
            ):
                raise ConfigError(f"{path}: another member has the SAE ID `{asked.sae}`")
            hosts = members.hosts if invitation.role == SERVER else ()
            certificate = issue(self.root, asked.name, invitation.role, key, hosts, days)
            if old := members.find(invitation.replaces):
                words = f"was replaced by {asked.name}"
                members = members.with_member(old.model_copy(update={"left": words}))
            role = invitation.role
            members = members.with_member(member_of(asked.name, role, certificate, asked.sae))
            used.append(asked.name)
        if not members.find(SERVER):
            raise ConfigError("the server joins first, or with the first sites; send its request")
        self.publish(members)
        for name in used:
            (self.invitations / f"{name}.toml").unlink()
        return {name: self.answer(name) for name in used}

    def revoke(self, name: str) -> None:
        """Let a member go for good.

        Raises:
            ConfigError: There is none of this name, or the federation cannot do without it.
        """
        member = self.members.find(name)
        if member is None or member.left:
            raise ConfigError(f"no member `{name}`; there are {', '.join(self.present())}")
        if member.role in (SERVER, COORDINATOR):
            raise ConfigError(f"{name} is the {member.role}; make a new federation without it")
        self.publish(self.members.with_member(member.model_copy(update={"left": "was revoked"})))

    def renew(self, days: int = DAYS) -> None:
        """Give all members new certificates for their keys, and the root one if it ends soon."""
        if days_left(self.root.certificate) < ROOT_DAYS / 2:
            self.root = make_root(self.members.federation, key=self.root.key)
            save_root(self.root, self.directory / AUTHORITY)
        members = self.members
        for member in members.members:
            if not member.left:
                members = members.with_member(self._renewed(member, days))
        self.publish(members.model_copy(update={"root": pem(self.root.certificate).decode()}))

    def answer(self, name: str) -> Path:
        """Write the answer to a party: the newest list, and the experiment."""
        path = self.directory / ANSWERS / f"{name}.json"
        own = [EXPERIMENT, SERVER] if name == SERVER else [EXPERIMENT]
        write_answer(path, name, self.text, [self.directory / AUTHORITY / part for part in own])
        return path

    def publish(self, members: Members) -> None:
        """Sign the next version of the list, and put it into all kits of this folder."""
        self.members = members.model_copy(update={"version": self.members.version + 1})
        self.text = sign(self.members, self.root)
        write_atomic(self.directory / AUTHORITY / MEMBERS, self.text)
        put_into_kits(self.directory, self.text, self.members)

    def present(self) -> list[str]:
        """Return the names of all who have not left."""
        return [member.name for member in self.members.members if not member.left]

    def _renewed(self, member: Member, days: int) -> Member:
        key = read_certificate(member.certificate.encode(), member.name).public_key()
        if not isinstance(key, RSAPublicKey):
            raise ConfigError(f"the key of {member.name} is not RSA")
        hosts = self.members.hosts if member.role == SERVER else ()
        certificate = issue(self.root, member.name, member.role, key, hosts, days)
        return member.model_copy(update={"certificate": pem(certificate).decode()})


def found_list(
    directory: Path,
    root: Root,
    about: Mapping[str, object],
    members: Sequence[Member],
) -> str:
    """Write the first list of a federation; returns it signed.

    Args:
        directory: The federation's folder.
        root: Signs it.
        about: Fields of `Members` that say which federation it is.
        members: Those it begins with.
    """
    values = {**about, "version": 1, "root": pem(root.certificate).decode()}
    text = sign(Members.model_validate({**values, "members": tuple(members)}), root)
    write_atomic(directory / AUTHORITY / MEMBERS, text)
    return text


def read_text(directory: Path) -> str:
    """Return the list of members in a federation's folder, as it was signed.

    Raises:
        ConfigError: There is none.
    """
    path = directory / AUTHORITY / MEMBERS
    if not path.exists():
        raise ConfigError(f"{path} is not there; this is no coordinator's folder of a federation")
    return path.read_text(encoding="utf-8")


def present_sites(directory: Path) -> tuple[str, ...]:
    """Return the names of the sites in a federation's folder that have not left."""
    root = read_certificate((directory / AUTHORITY / CERTIFICATE).read_bytes(), CERTIFICATE)
    members = read_list(read_text(directory), fingerprint(root), MEMBERS)
    return tuple(members.names[i] for i in members.present)


def put_into_kits(directory: Path, text: str, members: Members) -> None:
    """Put a list, and the certificates in it, into the kits of a federation's folder."""
    kits = directory / "kits"
    engine = deployment_of(kit_engine(kits / "admin"))
    coordinator = next(m for m in members.members if m.role == COORDINATOR)
    for kit in sorted(kits.glob("*")):
        own, member = own_files(kit), members.find(kit.name) or coordinator
        if member.left:
            continue
        if (own / FEDERATION).exists() or (own / SITE).exists():
            keep_list(own, text)
        else:  # of a person
            engine.write_certificate(kit, member.certificate.encode(), members.root.encode())
