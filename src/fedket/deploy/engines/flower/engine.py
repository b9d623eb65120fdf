"""Flower as `fedket.deploy` sees it."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from fedket.deploy.engines import DeploymentEngine
from fedket.deploy.engines.flower.kits import (
    PURPOSE,
    read_kit,
    write_certificate,
    write_job,
    write_kit,
)
from fedket.deploy.engines.kind import SitesConfig
from fedket.deploy.identity.authority import SITE
from fedket.deploy.operating.state import Look
from fedket.errors import ConfigError


def party_command(kit: Path) -> list[str]:
    """Return the command that runs a kit's process.

    Raises:
        ConfigError: It is not a kit for Flower, or Flower is not installed.
    """
    read_kit(kit)
    check_installed()
    return [sys.executable, "-u", "-m", "fedket.deploy.engines.flower.party", str(kit.resolve())]


def run_at_server(
    kit: Path,
    job: Path,
    sites: tuple[str, ...],
    say: Callable[[str], None],
    **options: Any,
) -> None:
    """See `fedket.deploy.engines.flower.admin.run`; what is wrong the server says itself."""
    options.pop("problem", None)
    present = options.pop("present", lambda: sites)
    purpose = (job / PURPOSE).read_text(encoding="utf-8")
    _admin().run(kit, purpose, present, say, **options)


def look_at_server(kit: Path, seconds: float) -> AbstractContextManager[Callable[[], Look]]:
    """See `fedket.deploy.engines.flower.admin.looking`."""
    looking: AbstractContextManager[Callable[[], Look]] = _admin().looking(kit, seconds)
    return looking


def stop_at_server(kit: Path, seconds: float) -> bool:
    """See `fedket.deploy.engines.flower.admin.stop`."""
    return bool(_admin().stop(kit, seconds))


def publish_at_server(kit: Path, members: str, seconds: float) -> None:
    """See `fedket.deploy.engines.flower.admin.publish`."""
    _admin().publish(kit, members, seconds)


def server_of(kit: Path) -> str:
    """Return HOST:PORT where a site looks for its server; of another party nothing."""
    found = read_kit(kit)
    return found.address() if found.role == SITE else ""


def _admin() -> Any:
    check_installed()
    return import_module("fedket.deploy.engines.flower.admin")


def check_installed() -> None:
    """Raise `ConfigError` where Flower is not installed."""
    if find_spec("flwr") is None:
        raise ConfigError(
            "the package `flwr` is missing; install Flower with: pip install 'fedket[flower]'"
        )


class FlowerConfig(SitesConfig):
    """Flower: every site a process of its own, with its data, certificates and keys."""

    kind: Literal["flower"] = "flower"

    def deployment(self) -> DeploymentEngine:
        """Flower as a deployment needs it."""
        return DeploymentEngine(
            "Flower",
            "flower",
            write_kit,
            write_certificate,
            write_job,
            lambda _: None,
            party_command,
            run_at_server,
            look_at_server,
            stop_at_server,
            server_of,
            publish_at_server,
        )
