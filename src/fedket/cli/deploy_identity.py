"""`fedket deploy invite | join | approve | revoke | renew`: who is in a federation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedket.cli.deploy_watch import Folder

if TYPE_CHECKING:
    from fedket.deploy.identity.coordinator import Coordinator

Days = Annotated[int, typer.Option(min=1, max=720, help="How long new certificates hold.")]


def add_identity(app: typer.Typer) -> None:
    """Add the commands to `fedket deploy`."""
    for command in (invite, join, approve, revoke, renew):
        app.command()(command)


def invite(
    folder: Folder,
    names: Annotated[list[str], typer.Argument(help="Names of new sites; names are given once.")],
    replaces: Annotated[str, typer.Option(help="The site whose place the new one takes.")] = "",
) -> None:
    """Write an invitation for each new site; it may be sent openly.

    Example: fedket deploy invite heart hospital-d
    """
    from fedket.deploy.identity.coordinator import Coordinator
    from fedket.deploy.identity.joining import invite as write_invitation

    coordinator = Coordinator(folder)
    for name in names:
        path = write_invitation(coordinator.invitations, coordinator.members, name, replaces)
        typer.echo(f"wrote {path}; {name} joins with: fedket deploy join {path.name}")


def join(
    file: Annotated[Path, typer.Argument(help="An invitation, or the coordinator's answer.")],
    sae: Annotated[str, typer.Option(help="This party's SAE ID; its name by default.")] = "",
    kit: Annotated[
        Path | None, typer.Option(help="Startup kit to make; the party's name by default.")
    ] = None,
) -> None:
    """Join a federation: of an invitation make a request, of the answer a startup kit.

    Example: fedket deploy join hospital-a.toml
    """
    from fedket.deploy.files import FEDERATION, SITE, own_files
    from fedket.deploy.identity.authority import spoken
    from fedket.deploy.identity.joining import Invitation, ask, read_answer
    from fedket.deploy.identity.kits import keep_list
    from fedket.deploy.identity.site_kit import build_kit
    from fedket.schema import read_table

    if file.suffix == ".toml":
        invitation = read_table(file, Invitation)
        asked = _asking(kit or Path(invitation.name))
        target = Path(f"{invitation.name}.request.toml")
        made = ask(invitation, asked, sae or invitation.name, target)
        typer.echo(f"federation {invitation.federation}, root key {spoken(invitation.authority)}")
        typer.echo(
            f"experiment {invitation.experiment[:16]}, key of this {invitation.role} {spoken(made)}"
        )
        typer.echo(
            f"wrote {target}; send it to the coordinator, and compare these on the telephone"
        )
        return
    answer = read_answer(file)
    place = kit or Path(answer.name)
    if place.exists():
        members = keep_list(own_files(place), answer.members)
        typer.echo(f"{place} has version {members.version} of the list" if members else "no news")
        return
    members = build_kit(answer, _asking(place), place)
    typer.echo(f"wrote {place}, by version {members.version} of the list: {_who(members.names)}")
    own = own_files(place)
    name = FEDERATION if (own / FEDERATION).exists() else SITE
    typer.echo(f"next: read {own / 'experiment.toml'}, set {name} and sae.toml")


def approve(
    folder: Folder,
    requests: Annotated[list[Path], typer.Argument(help="Requests of those who were invited.")],
    days: Days = 90,
) -> None:
    """Let those in who were invited, after comparing their keys' fingerprints with their operators.

    Example: fedket deploy approve heart server.request.toml hospital-a.request.toml
    """
    from fedket.deploy.identity.authority import fingerprint, read_certificate, spoken
    from fedket.deploy.identity.coordinator import Coordinator

    coordinator = Coordinator(folder)
    answers = coordinator.approve(requests, days)
    for name, path in answers.items():
        member = coordinator.members.find(name)
        if member is not None:
            key = fingerprint(read_certificate(member.certificate.encode(), name))
            typer.echo(f"{name} (SAE {member.sae}) is in, with key {spoken(key)}: send {path}")
    _tell(coordinator)


def revoke(
    folder: Folder, name: Annotated[str, typer.Argument(help="A site, or an observer.")]
) -> None:
    """Let a member go for good: it is out after the round that runs.

    Example: fedket deploy revoke heart hospital-b
    """
    from fedket.deploy.identity.coordinator import Coordinator

    coordinator = Coordinator(folder)
    coordinator.revoke(name)
    typer.echo(f"{name} has left; its name and number are not given again")
    _tell(coordinator)


def renew(folder: Folder, days: Days = 90) -> None:
    """Give all members new certificates for the keys they have; the server hands them out.

    Example: fedket deploy renew heart
    """
    from fedket.deploy.identity.coordinator import Coordinator

    coordinator = Coordinator(folder)
    coordinator.renew(days)
    for name in coordinator.present():
        coordinator.answer(name)
    typer.echo(f"{len(coordinator.present())} certificates are good for {days} days")
    typer.echo(
        "sites get theirs from the server when the next session begins, and use them from their "
        f"next start; for who does not meet it: fedket deploy join {folder}/answers/NAME.json"
    )
    _tell(coordinator)


def _tell(coordinator: "Coordinator") -> None:
    """Give the server the newest list, wherever it runs."""
    from fedket.deploy.identity.coordinator import AUTHORITY
    from fedket.deploy.identity.departed import MEMBERS
    from fedket.deploy.project import read_layout
    from fedket.errors import FedketError

    version, layout = coordinator.members.version, read_layout(coordinator.directory)
    try:
        layout.engine.publish(layout.kits["admin"], coordinator.text, 3.0)
        typer.echo(f"the server has version {version} of the list of members")
    except FedketError as error:
        where = coordinator.directory / AUTHORITY / MEMBERS
        typer.echo(
            f"the server does not run, or is not reached ({error}); unless its kit is in "
            f"{coordinator.directory}, give it version {version} of the list: {where}"
        )


def _asking(kit: Path) -> Path:
    return kit.with_name(f"{kit.name}.joining")


def _who(names: tuple[str, ...]) -> str:
    return ", ".join(names)
