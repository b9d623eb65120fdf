"""Dockerfile and compose.yaml: they run commands that exist, with the kits' names, not as root."""

import json
import re
import subprocess
from fnmatch import fnmatch

import pytest
from tests import command_lines
from typer.testing import CliRunner

from fedket.cli.app import app
from fedket.deploy.files import SITE_NAME, FederationFile

yaml = pytest.importorskip("yaml")

HELPERS = ("kme", "admin")
"""Services that are no party of the federation."""


@pytest.fixture(scope="module")
def dockerfile(repository):
    """Instructions of the Dockerfile with their arguments, in order."""
    text = re.sub(r"^\s*#.*\n", "", (repository / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


@pytest.fixture(scope="module")
def services(repository):
    return yaml.safe_load((repository / "compose.yaml").read_text())["services"]


def last(dockerfile, instruction):
    return [argument for name, argument in dockerfile if name == instruction][-1]


def mounts(service):
    """Container path -> (host path, whether it is read only)."""
    split = [volume.split(":") for volume in service["volumes"]]
    return {parts[1]: (parts[0], parts[2:] == ["ro"]) for parts in split}


def test_every_command_is_one_of_ours(dockerfile, services):
    entrypoint = json.loads(last(dockerfile, "ENTRYPOINT"))
    assert entrypoint == ["fedket"]
    assert CliRunner().invoke(app, json.loads(last(dockerfile, "CMD"))).exit_code == 0
    for service in services.values():
        words = service["command"]
        command_lines.check(" ".join([*entrypoint, *words]))
        helped = CliRunner().invoke(app, [*words[:2], "--help"])
        assert helped.exit_code == 0, helped.output


def test_nothing_runs_as_root(dockerfile, services):
    stages = [i for i, (name, _) in enumerate(dockerfile) if name == "FROM"]
    user = last(dockerfile[stages[-1] :], "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    for service in services.values():
        assert re.fullmatch(r"\$\{\w+:-[1-9]\d*\}:\$\{\w+:-[1-9]\d*\}", service["user"])
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert "privileged" not in service


def test_services_are_named_as_their_kits(services):
    parties = [name for name in services if name not in HELPERS]
    assert parties == ["server", "site-1", "site-2", "site-3"]
    assert services["kme"]["command"][-1].startswith("/kme/")
    for name in parties:
        assert name == "server" or re.fullmatch(SITE_NAME, name)
        assert services[name]["command"] == ["deploy", "start", "/kit"]
        where = mounts(services[name])
        assert where["/kit"] == (f"./federation/kits/{name}", False)
        assert where["/kit/startup"] == (f"./federation/kits/{name}/startup", True)


def test_a_site_sees_its_own_samples_and_changes_none(services):
    for name in ("site-1", "site-2", "site-3"):
        where = mounts(services[name])
        assert where["/data"] == (f"./data/{name}", True)
        assert {host for host, _ in where.values()} == {
            f"./federation/kits/{name}",
            f"./federation/kits/{name}/startup",
            f"./data/{name}",
        }
    assert mounts(services["kme"]) == {"/kme": ("./federation/kme", True)}


def test_the_server_is_reached_on_the_port_of_a_new_federation(services):
    port = FederationFile.model_fields["port"].default
    assert services["server"]["ports"] == [f"{port}:{port}"]
    assert not any("ports" in services[name] for name in services if name != "server")


def test_the_image_is_made_of_files_that_are_there_and_not_ignored(repository, dockerfile):
    ignore = (repository / ".dockerignore").read_text().split("\n")
    kept = [line[1:] for line in ignore if line.startswith("!")]
    for name, argument in dockerfile:
        if name == "COPY" and "--from" not in argument:
            for source in argument.split()[:-1]:
                assert (repository / source).exists()
                assert any(fnmatch(source, pattern) for pattern in kept), source


def test_the_image_takes_nothing_without_a_hash_and_asks_no_other_index(dockerfile):
    (install,) = [argument for name, argument in dockerfile if "pip install" in argument]
    assert "index" not in install
    packages, own = re.findall(r"pip install ([^&]+)", install)
    assert packages.split() == ["--no-cache-dir", "--require-hashes", "-r", "locked.txt"]
    assert {"--no-deps", "--no-build-isolation", "."} <= set(own.split())


def test_every_base_image_is_the_one_that_is_given(dockerfile, repository):
    assert dockerfile[0] == ("ARG", "BASE_IMAGE")  # and no default
    bases = [argument.split()[0] for name, argument in dockerfile if name == "FROM"]
    assert set(bases) == {"${BASE_IMAGE}"}
    build = yaml.safe_load((repository / "compose.yaml").read_text())["x-party"]["build"]
    assert build["args"]["BASE_IMAGE"].startswith("${BASE_IMAGE:?")


@pytest.mark.parametrize(
    ("image", "good"),
    [
        ("python:3.12-slim", False),
        ("", False),
        ("python:3.12-slim@sha256", False),
        ("python@sha256:" + "f" * 64, True),
        ("python:3.12-slim@sha256:" + "0" * 64, True),
    ],
)
def test_a_base_image_without_its_digest_is_refused_in_one_line(dockerfile, image, good):
    check = next(argument for name, argument in dockerfile if name == "RUN")
    ran = subprocess.run(
        ["sh", "-c", check], env={"BASE_IMAGE": image}, capture_output=True, text=True, check=False
    )
    assert (ran.returncode == 0) == good
    assert ran.stderr.count("\n") == (0 if good else 1)
