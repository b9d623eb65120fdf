"""A startup kit, made where it is used: of an answer, and of the key that never left."""

import base64
import shutil
import tomllib
from pathlib import Path

from fedket.deploy.engines import Provisioning
from fedket.deploy.engines.kind import deployment_of
from fedket.deploy.files import FEDERATION, SITE, FederationFile, SiteFile, own_files
from fedket.deploy.identity.authority import SERVER, fingerprint, read_certificate
from fedket.deploy.identity.departed import MEMBERS
from fedket.deploy.identity.joining import Answer, check_answer
from fedket.deploy.identity.members import Members
from fedket.deploy.private import make_private
from fedket.deploy.project import sae_template, site_values, write_checked
from fedket.errors import ConfigError
from fedket.experiment.load import load_config
from fedket.experiment.run_directory import config_hash


def build_kit(answer: Answer, asked: Path, kit: Path) -> Members:
    """Make the startup kit of a site, or the server; the folder in which it asked is gone then.

    Args:
        answer: From the coordinator.
        asked: Folder with the invitation and the private key.
        kit: A new folder.

    Raises:
        ConfigError: The answer is not what this party was invited to; nothing is changed.
    """
    if kit.exists():
        raise ConfigError(f"{kit} is there already; name a new folder with --kit")
    members, member, shown = check_answer(answer, asked)
    files = asked / "files"
    try:
        _write_files(answer, files)
        config = load_config(files / "experiment.toml")
        if (found := config_hash(config)) != members.experiment:
            raise ConfigError(
                f"the answer's experiment has fingerprint {found[:16]}, agreed was "
                f"{members.experiment[:16]}; if it names code of its author's, put that into "
                f"{asked} first; else ask the coordinator"
            )
        about = Provisioning(members.federation, members.hosts, members.port)
        deployment_of(config.engine).write_kit(about, shown, kit)
        own = own_files(kit)
        shutil.copytree(files, own)
    finally:
        shutil.rmtree(files, ignore_errors=True)
    (own / MEMBERS).write_text(answer.members, encoding="utf-8")
    root = read_certificate(members.root.encode(), "the answer")
    authority = {"authority": fingerprint(root)}
    if member.role == SERVER:
        values = tomllib.loads(answer.federation)
        write_checked(own / FEDERATION, values | authority, FederationFile)
    else:
        write_checked(own / SITE, site_values(member.name, "samples.npz") | authority, SiteFile)
    saes = tuple(members.saes.values())
    (own / "sae.toml").write_text(sae_template(member.sae, saes), encoding="utf-8")
    make_private(kit)
    shutil.rmtree(asked)
    return members


def _write_files(answer: Answer, folder: Path) -> None:
    """Write the experiment and what it names; code of its author's is beside, if anywhere."""
    folder.mkdir(exist_ok=True)
    (folder / "experiment.toml").write_text(answer.experiment, encoding="utf-8")
    for name, content in answer.files.items():
        path = folder / name
        known = name in (SITE, FEDERATION)
        if not path.resolve().is_relative_to(folder.resolve()) or path.suffix == ".py" or known:
            raise ConfigError(f"the answer brings a file `{name}`, which no answer may")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    for code in folder.parent.glob("*.py"):
        shutil.copyfile(code, folder / code.name)
