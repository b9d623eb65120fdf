"""systemd units and the Helm chart of a party: their own linters find nothing to mend."""

import json
import re
import shutil
import subprocess

import pytest

from fedket.deploy.files import FEDERATION, SITE
from fedket.deploy.operating.helm import chart_of
from fedket.deploy.operating.units import party_of, units_of
from fedket.errors import ConfigError

yaml = pytest.importorskip("yaml")

EXPOSURE = 2.0
"""Of 10, by `systemd-analyze security`; what is left: the network, and compiled circuits."""

IMAGE = f"registry.example.org/fedket@sha256:{'a' * 64}"
SHARED = (
    'sites = ["ada", "bob"]\nexperiment = "e.toml"\nsaes = ["a", "b", "hub"]\nsae = "sae.toml"\n'
)
FILES = {
    "bob": (SITE, f'name = "bob"\nclient = 1\ndata = "/srv/x.npz"\nstore = "/srv/pads"\n{SHARED}'),
    "server": (FEDERATION, f'run = "run"\nstore = "pads"\nport = 8010\n{SHARED}'),
}


@pytest.fixture(params=FILES)
def kit(request, tmp_path):
    """A kit, as far as services look at it."""
    name, content = FILES[request.param]
    own = tmp_path / request.param / "local" / "fedket"
    own.mkdir(parents=True)
    (own / name).write_text(content)
    return tmp_path / request.param


def test_units_are_hardened_as_systemd_s_own_linters_ask(kit, tmp_path):
    units = units_of(kit, "own", 8003)
    assert sorted(units) == [f"fedket-{kit.name}-watch.service", f"fedket-{kit.name}.service"]
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd")
    for name, content in units.items():
        path = tmp_path / name
        path.write_text(content)
        found = subprocess.run(
            ["systemd-analyze", "verify", str(path)], check=False, capture_output=True, text=True
        )
        assert (found.returncode, found.stderr) == (0, "")
        said = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert float(re.search(r"exposure level for \S+: ([\d.]+)", said)[1]) <= EXPOSURE


def test_a_party_writes_its_kit_and_what_it_keeps_elsewhere_and_no_one_reads_it(kit):
    party, watch = (
        units_of(kit, "own", 8003)[f"fedket-{kit.name}{x}.service"] for x in ("", "-watch")
    )
    written = re.search(r"^ReadWritePaths=(.*)$", party, re.MULTILINE)[1].split()
    assert written == [str(kit), *(["/srv/pads"] if kit.name == "bob" else [])]
    assert "ReadWritePaths" not in watch
    assert "IPAddressDeny=any" in watch
    for unit in (party, watch):
        for line in ("User=own", "UMask=0077", "NoNewPrivileges=yes", "ProtectSystem=strict"):
            assert f"\n{line}\n" in unit
    assert "RestartPreventExitStatus=2" in party


def test_a_path_that_a_unit_would_read_otherwise_is_refused(kit, tmp_path):
    odd = tmp_path / "50 %n"
    kit.rename(odd)
    with pytest.raises(ConfigError, match="cannot stand in a systemd unit"):
        units_of(odd, "nobody", 8003)


def test_services_are_for_servers_and_sites(tmp_path):
    with pytest.raises(ConfigError, match="is not a startup kit of a server or a site"):
        party_of(tmp_path)


@pytest.fixture
def chart(kit):
    return chart_of(kit, IMAGE, "", "bobs-samples")


def test_values_are_those_of_the_kit_and_of_the_schema(kit, chart):
    values, schema = yaml.safe_load(chart["values.yaml"]), json.loads(chart["values.schema.json"])
    assert (values["party"], values["image"]) == (kit.name, IMAGE)
    assert values["port"] == (8010 if kit.name == "server" else 0)
    assert values["samples"] == ("bobs-samples" if kit.name == "bob" else "")
    assert values["uid"] > 0
    assert values.keys() | {"global"} == schema["properties"].keys()
    assert set(schema["required"]) <= values.keys()


def test_the_template_asks_for_values_that_there_are(chart):
    values = yaml.safe_load(chart["values.yaml"])
    for path in set(re.findall(r"\.Values\.([\w.]+)", chart["templates/party.yaml"])):
        found = values
        for name in path.split("."):
            assert name in found, path
            found = found[name]


def test_helm_lints_and_kubernetes_knows_what_it_renders(chart, tmp_path):
    """With Helm's own library, where it is installed (`pip install helm-python-sdk`)."""
    helm = pytest.importorskip("helm_python")
    kubernetes = pytest.importorskip("kubernetes_validate")
    for name, content in chart.items():
        path = tmp_path / "chart" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    folder = str(tmp_path / "chart")
    assert helm.lint(folder)["errors"] == []
    watched = {"enabled": True, "port": 8003, "from": {"app": "prometheus"}}
    for watch in (watched, watched | {"from": {}}, watched | {"enabled": False}):
        with helm.Chart.load(folder) as loaded:
            rendered = loaded.render({"watch": watch}, name="demo", namespace="prod")
        made = [part for text in rendered.values() for part in yaml.safe_load_all(text)]
        assert [part["kind"] for part in made] == ["StatefulSet", "Service", "NetworkPolicy"]
        for part in made:
            kubernetes.validate(part, "1.31", strict=True)
        pod = made[0]["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["args"][:1] == ["deploy"]
