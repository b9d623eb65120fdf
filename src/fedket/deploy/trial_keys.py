"""A key manager for a federation's trial, and every party's way to it. Its keys are simulated."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.kme.certificates import HOSTS
from fedket.keys.kme.trial import FIRST_PORT, write_trial
from fedket.schema import read_table

KME = "kme"
"""Folder of a federation with the key manager's configuration, and the key manager's ID."""

SIMULATED = "# A trial's key manager: its keys are simulated, not QKD.\n"


def write_trial_keys(
    directory: Path, parties: Mapping[str, Path], host: str, port: int = FIRST_PORT
) -> Path:
    """Write one key manager for all, and into each party's files how it reaches it.

    Args:
        directory: Where the key manager's own files go; new.
        parties: SAE ID -> folder of the party's own files, which gets `sae.toml`, its certificate
            and key, and the CA's certificate.
        host: Under which host name or address parties reach the key manager.
        port: On which port.

    Returns:
        What `fedket kme serve` reads.

    Raises:
        KmeError: An ID or the host cannot be named in a certificate.
        ConfigError: trustme is not installed.
    """
    hosts = HOSTS if host in HOSTS else (host,)
    trial = write_trial(directory, [KME], list(parties), hosts, first_port=port)
    for sae, own in parties.items():
        made = trial.sae_configs[sae]
        named = read_table(made, SaeConfig)
        for path in (named.ca, named.certificate, named.key):
            shutil.copy(path, own)
        text = made.read_text(encoding="utf-8")
        (own / "sae.toml").write_text(SIMULATED + text, encoding="utf-8")
    return trial.kme_config
