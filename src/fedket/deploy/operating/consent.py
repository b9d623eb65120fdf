"""A site's consent: its operator approves an experiment, by its fingerprint, before it begins.

The approval is `consent.json` in the site's own files. Whatever changes the fingerprint, the
experiment's file or the author's code beside it, needs a new one; so does, where `site.toml` says
`approve_members`, a site that joins the federation later.
"""

import getpass
import json
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from fedket._version import __version__
from fedket.deploy.deployable import masking_of
from fedket.deploy.files import SiteFile, read_members
from fedket.deploy.identity.authority import fingerprint, read_certificate, spoken
from fedket.deploy.operating.news import now
from fedket.errors import ConfigError, FedketError
from fedket.experiment.aggregation import first_context
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.privacy import Promise
from fedket.experiment.run_directory import config_hash, source_hashes
from fedket.federated.trainer import tree_size
from fedket.files import write_atomic

CONSENT = "consent.json"

LEAVES = (
    "its name, number and version of fedket; the experiment's fingerprint; how many samples and "
    "classes it has, and the shape of one; names and offsets of one-time keys; one line where "
    "something fails; and masked words"
)

STATISTICS = (
    "masked words of statistics, where the coordinator asks: counts of samples, classes, missing "
    "values, sums and histograms of every column (`statistics = true` in site.toml)"
)


class Consent(BaseModel):
    """What was approved, by whom and when (ISO 8601), with which version."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    fingerprint: str
    by: str
    when: str
    version: str
    members: Mapping[str, str] = {}
    """The other sites then: name -> fingerprint of its key."""


def approve(
    folder: Path, config: ExperimentConfig, by: str = "", members: Mapping[str, str] | None = None
) -> Consent:
    """Approve an experiment for a site.

    Args:
        folder: The site's own files.
        config: The experiment.
        by: Who does; the user of this process if empty.
        members: The other sites, see `others`.
    """
    consent = Consent(
        fingerprint=config_hash(config),
        by=by or _user(),
        when=now(),
        version=__version__,
        members=members or {},
    )
    write_atomic(folder / CONSENT, consent.model_dump_json(indent=1) + "\n")
    return consent


def others(folder: Path, site: SiteFile) -> dict[str, str]:
    """Return the other sites that have not left, by the list: name -> fingerprint of its key."""
    if not site.authority:
        return {}
    there = (m for m in read_members(folder, site.authority).sites if not m.left)
    return {
        m.name: fingerprint(read_certificate(m.certificate.encode(), m.name))
        for m in there
        if m.name != site.name
    }


def check_consent(folder: Path, config: ExperimentConfig, site: SiteFile) -> None:
    """Check that a site's operator has approved this very experiment, and with whom.

    Raises:
        ConfigError: Nobody has, it has changed since, or a site has joined where each needs to be
            approved.
    """
    own, path = config_hash(config), folder / CONSENT
    see = f"see what it does, and approve it, with: fedket deploy consent {folder.parents[1]}"
    try:
        consent = Consent.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ConfigError(
            f"nobody here has approved the experiment `{config.name}` (fingerprint {own[:16]}); "
            f"{see}"
        ) from None
    except (ValueError, ValidationError):
        raise ConfigError(f"{path} is not what `deploy consent` wrote; {see}") from None
    if consent.fingerprint != own:
        raise ConfigError(
            f"the experiment `{config.name}` has changed: {consent.by} approved fingerprint "
            f"{consent.fingerprint[:16]} on {consent.when[:10]}, it is {own[:16]} now; {see}"
        )
    there = others(folder, site) if site.approve_members else {}
    if new := [
        f"{name} ({spoken(k)})" for name, k in there.items() if consent.members.get(name) != k
    ]:
        raise ConfigError(
            f"site {site.name} has not approved {', '.join(new)}, which came into the federation: "
            f"its operator does, or stays out, with: fedket deploy consent {folder.parents[1]}"
        )


def terms(
    config: ExperimentConfig, site: SiteFile, members: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Return what a site's operator is asked to approve: what it is about, and in words.

    Args:
        config: The experiment.
        site: The site's.
        members: The other sites, see `others`.
    """
    plan, training = config.federation, config.training
    code = [f"{name} ({digest[:16]})" for name, digest in source_hashes(config).items()]
    said = [
        ("experiment", ": ".join(filter(None, [config.name, config.description]))),
        ("fingerprint", config_hash(config)),
        ("sites", ", ".join(site.sites)),
        *(("the key of " + name, spoken(key)) for name, key in members.items()),
        (
            "trains",
            f"{config.model.kind} with {config.strategy.kind}: {plan.rounds} rounds of "
            f"{training.epochs} epochs, batches of {training.batch_size}",
        ),
        ("on", f"{site.data}, which stays here"),
        ("leaves this site", LEAVES),
        *([("and before training", STATISTICS)] if site.statistics else []),
        ("is added up", f"with that of {site.min_sites - 1} other sites or more (`min_sites`)"),
        *(("protection", caveat) for caveat in config.aggregation.caveats()),
        ("privacy", _privacy(config, site)),
    ]
    return said + [("code of its author's, with SHA-256", name) for name in code]


def _privacy(config: ExperimentConfig, site: SiteFile) -> str:
    """What noise promises, in words."""
    if config.privacy is None:
        return "no noise: the sum over the sites, and the model, are not private (no ε)"
    asked = json.dumps(config.privacy.model_dump(mode="json", exclude_none=True))
    try:
        facts = _promise(config, site).facts()
    except (FedketError, OSError) as error:
        return f"{asked}; ε cannot be worked out yet: {error}"
    if facts.epsilon is None:
        return f"{asked}: no ε"
    return (
        f"{facts.kind}: ε = {facts.epsilon:.3g} at δ = {facts.delta:g} after all rounds, noise "
        f"{facts.noise_multiplier:.3g} times the clip of {facts.clip:g}"
    )


def _promise(config: ExperimentConfig, site: SiteFile) -> Promise:
    from fedket.deploy.site_data import load_site_data
    from fedket.deploy.site_trainer import make_task

    data = load_site_data(site, config)
    task = make_task(config, data.x_train.shape[1:], data.num_classes)
    return Promise(config, masking_of(config), first_context(config), tree_size(task.template[0]))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())
