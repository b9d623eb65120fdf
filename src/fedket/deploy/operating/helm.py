"""A Helm chart for a party in Kubernetes: one chart for all, with the values of a kit."""

import json
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from fedket.deploy.operating.units import party_of

FILES = ("Chart.yaml", "values.schema.json", "templates/party.yaml")
VALUES = "values.yaml"


def chart_of(kit: Path, image: str, kit_claim: str, samples_claim: str) -> dict[str, str]:
    """Return the chart of a party: file name -> content.

    Args:
        kit: Its startup kit; whoever owns it is the user of the containers.
        image: With its digest.
        kit_claim: Claim of the volume with the kit.
        samples_claim: At a site, of the volume with its samples.

    Raises:
        ConfigError: It is nobody's kit.
    """
    party, owner = party_of(kit), kit.stat()
    values: dict[str, Any] = {
        "party": party.name,
        "image": image,
        "kit": kit_claim or f"fedket-{party.name}-kit",
        "samples": samples_claim if party.port == 0 else "",
        "port": party.port,
    }
    if owner.st_uid:  # otherwise whoever reads the values has to say, as it may not be root
        values |= {"uid": owner.st_uid, "gid": owner.st_gid}
    chart = resources.files("fedket.deploy.operating") / "chart"
    content = {name: _read(chart, name) for name in FILES}
    return content | {VALUES: _filled(_read(chart, VALUES), values)}


def _read(chart: Traversable, name: str) -> str:
    return chart.joinpath(*name.split("/")).read_text(encoding="utf-8")


def _filled(text: str, values: Mapping[str, Any]) -> str:
    """The values' file with other values in place of those that it has; remarks stay."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        name, _, rest = line.partition(":")
        if name in values:
            remark = rest.partition("#")[2]
            lines[i] = f"{name}: {json.dumps(values[name])}" + (f"  #{remark}" if remark else "")
    return "\n".join(lines) + "\n"
