"""A party's own files: what is wrong with them is one line, and samples of any layout are read."""

import io
import re

import numpy as np
import pytest
import tomli_w

from fedket import cli
from fedket.deploy.check import check_kit
from fedket.deploy.deployable import check_deployable
from fedket.deploy.engines.flare.kits import COMMUNICATION_FILE
from fedket.deploy.files import FEDERATION, SITE, SiteFile, sae_ids
from fedket.deploy.operating.consent import CONSENT, approve, terms
from fedket.deploy.project import for_sites
from fedket.deploy.site_data import load_site_data, load_test_data
from fedket.errors import ConfigError, DataError
from fedket.experiment.load import dump_config, load_config, parse_config
from fedket.schema import read_table

NAMES = ("ada", "bob")
MASKED = {"kind": "pairwise_masks"}


def experiment(aggregation=MASKED, **tables):
    values = {
        "name": "heart",
        "partition": {"num_clients": 2},
        "model": {"kind": "mlp"},
        "aggregation": aggregation,
    }
    return parse_config(values | tables)


def site_values(**changed):
    values = {
        "name": "bob",
        "client": 1,
        "sites": list(NAMES),
        "experiment": "experiment.toml",
        "data": "samples.npz",
        "saes": ["a", "b", "hub"],
        "sae": "sae.toml",
        "store": "pads",
        "min_sites": 2,
    }
    return values | changed


def write_kit(folder, file=SITE, values=None, sae_id="b"):
    """The own files of a party, as an operator would have them."""
    own = folder / "local" / "fedket"
    own.mkdir(parents=True)
    (own.parent / COMMUNICATION_FILE).touch()
    (own / file).write_text(tomli_w.dumps(values or site_values()))
    (own / "experiment.toml").write_text(dump_config(for_sites(experiment(), 2)))
    sae = {"kme_url": "https://kme", "ca": "ca", "certificate": "crt", "key": "key"}
    (own / "sae.toml").write_text(tomli_w.dumps(sae | {"sae_id": sae_id}))
    for name in ("ca", "crt", "key", "samples.npz"):
        (own / name).touch()
    if file == SITE:
        approve(own, load_config(own / "experiment.toml"))
    return own


def test_a_site_does_not_start_with_what_its_operator_has_not_approved(tmp_path):
    own = write_kit(tmp_path / "site")
    approved = (own / CONSENT).read_text()
    (own / CONSENT).unlink()
    with pytest.raises(ConfigError, match=r"nobody here has approved .* fedket deploy consent"):
        check_kit(tmp_path / "site")
    (own / CONSENT).write_text(approved)
    changed = (own / "experiment.toml").read_text().replace("seed = 0", "seed = 1")
    (own / "experiment.toml").write_text(changed)
    with pytest.raises(ConfigError, match=r"has changed: .* approved fingerprint \w+ on"):
        check_kit(tmp_path / "site")
    (own / CONSENT).write_text("{}")
    with pytest.raises(ConfigError, match=r"is not what `deploy consent` wrote"):
        check_kit(tmp_path / "site")


def test_consent_says_what_is_trained_and_what_leaves(tmp_path, monkeypatch, capsys):
    own = write_kit(tmp_path / "site")
    (own / CONSENT).unlink()
    command = ["fedket", "deploy", "consent", str(tmp_path / "site")]
    monkeypatch.setattr("sys.argv", command)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert cli.execute() == 2
    shown = capsys.readouterr()
    for said in (
        "mlp with fed_avg",
        "ada, bob",
        "masked words",
        "no ε",
        "samples.npz, which stays",
    ):
        assert said in shown.out, said
    assert "approve it with --yes" in shown.err
    assert not (own / CONSENT).exists()
    monkeypatch.setattr("sys.argv", [*command, "--yes"])
    assert cli.execute() == 0
    check_kit(tmp_path / "site")


def test_consent_works_out_what_noise_promises(tmp_path):
    pytest.importorskip("dp_accounting")
    noise = {"kind": "skellam", "clip": 1.0, "epsilon": 2.0}
    config = for_sites(experiment(privacy=noise), 2)
    own = write_kit(tmp_path)
    np.savez(own / "samples.npz", x=np.zeros((4, 8, 8), np.float32), y=np.array([0, 1, 2, 2]))
    site = read_table(own / SITE, SiteFile)
    assert re.search(
        r"skellam: ε = [12]\.?\d* at δ = 1e-05", dict(terms(config, site, {}))["privacy"]
    )
    (own / "samples.npz").unlink()
    assert "cannot be worked out yet" in dict(terms(config, site, {}))["privacy"]


def server_values(**changed):
    shared = {k: v for k, v in site_values().items() if k not in ("name", "client", "data")}
    return shared | {"run": "run"} | changed


def test_a_complete_kit_is_fine(tmp_path):
    write_kit(tmp_path / "site")
    check_kit(tmp_path / "site")
    write_kit(tmp_path / "server", FEDERATION, server_values(), sae_id="hub")
    check_kit(tmp_path / "server")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"datta": "x.npz"}, "unknown key `datta`; did you mean `data`?"),
        ({"client": 0}, "`client` is 0 and `name` is bob"),
        ({"client": 9}, "`client` is 9"),
        ({"client": -1}, "`client` should"),
        ({"name": "Bob B."}, "`name` should"),
        ({"saes": ["a", "b"]}, "names 2 SAE IDs; 2 sites and the server need 3"),
        ({"saes": ["a", "c", "hub"]}, "is for the SAE `b`"),
        ({"data": "elsewhere.npz"}, "elsewhere.npz, which is not there"),
        ({"experiment": "other.toml"}, "other.toml"),
        ({"sites": ["ada", "bob", "cy"], "saes": ["a", "b", "c", "hub"]}, "make them equal"),
    ],
)
def test_a_mistake_of_a_site_is_one_line_before_anything_starts(
    tmp_path, monkeypatch, capsys, changed, says
):
    write_kit(tmp_path, values=site_values(**changed))
    startup = tmp_path / "startup"
    startup.mkdir()
    (startup / "fed_client.json").write_text('{"client": {"fqsn": "bob"}}')
    monkeypatch.setattr("sys.argv", ["fedket", "deploy", "start", str(tmp_path)])
    pytest.importorskip("nvflare")
    assert cli.execute() == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"sites": ["ada"], "saes": ["a", "hub"]}, "has 1 sites, it needs 2"),
        ({"sites": ["ada", "ada"]}, "name each site once"),
        ({"silent_s": 0.0}, "`silent_s` should"),
        ({"test_data": "test.npz"}, "test.npz, which is not there"),
        ({"port": 0}, "`port` should"),
        ({"phase": 3.0}, "did you mean `phase_s`?"),
    ],
)
def test_a_mistake_of_the_server_is_named(tmp_path, changed, says):
    write_kit(tmp_path, FEDERATION, server_values(**changed), sae_id="hub")
    with pytest.raises(ConfigError, match=says.replace("?", r"\?")):
        check_kit(tmp_path)


def test_missing_certificates_and_empty_kits_are_named(tmp_path):
    (write_kit(tmp_path / "kit") / "crt").unlink()
    with pytest.raises(ConfigError, match=r"sae\.toml names .*crt, which is not there"):
        check_kit(tmp_path / "kit")
    with pytest.raises(ConfigError, match=r"no file .*site\.toml"):
        check_kit(tmp_path / "empty")


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (experiment({"kind": "plain"}), "nothing but masked words leaves a site"),
        (experiment({"kind": "quantised"}), "nothing but masked words leaves a site"),
        (experiment(data={"validation_fraction": 0.1}), "samples that sites do not send"),
        (experiment(federation={"early_stopping": {}}), "samples that sites do not send"),
        (experiment(data={"kind": "diabetes"}), "a regression is simulated only"),
        (experiment(partition={"num_clients": 3}), "make them equal"),
        (
            experiment({"kind": "pairwise_masks"}, conditions={"dropout": 0.5}),
            "real sites have themselves",
        ),
        (experiment(keys={"kind": "simulated", "starvation": ["lower_bits"]}), "starvation"),
    ],
)
def test_experiments_that_sites_cannot_run_are_refused(config, says):
    with pytest.raises(ConfigError, match=says):
        check_deployable(config, 2)


@pytest.mark.parametrize("number", [2, 4])
def test_every_party_needs_an_sae(number):
    with pytest.raises(ConfigError, match="3 sites and the server need 4"):
        sae_ids(tuple("abcdef"[: number + (number == 4)]), 3)
    assert sae_ids(("a", "b", "hub"), 2) == {0: "a", 1: "b", -1: "hub"}


def blobs(size, features=(4,)):
    rng = np.random.default_rng(size)
    return rng.random((size, *features), dtype=np.float32), np.arange(size) % 3


def site_of(tmp_path, data, **changed):
    path = tmp_path / SITE
    path.write_text(tomli_w.dumps(site_values(data=data, **changed)))
    return read_table(path, SiteFile)


@pytest.mark.parametrize("prepared", [True, False])
def test_a_file_of_x_and_y_is_all_for_training(tmp_path, prepared):
    x, y = blobs(30)
    np.savez(tmp_path / "own.npz", x=x, y=y)
    got = load_site_data(site_of(tmp_path, "own.npz", prepared=prepared), experiment())
    np.testing.assert_array_equal(got.x_train, x)
    np.testing.assert_array_equal(got.y_train, y)
    assert (len(got.x_test), len(got.y_test), got.num_classes) == (0, 0, 3)


@pytest.mark.parametrize("prepared", [True, False])
def test_a_file_of_four_arrays_also_measures(tmp_path, prepared):
    (x, y), (u, v) = blobs(30), blobs(12)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=u, y_test=v)
    got = load_site_data(site_of(tmp_path, "own.npz", prepared=prepared), experiment())
    np.testing.assert_array_equal(got.x_train, x)
    np.testing.assert_array_equal(got.y_test, v)


@pytest.mark.parametrize("layout", ["x and y", "four arrays"])
def test_the_experiment_chooses_classes_at_every_site_alike(tmp_path, layout):
    x, y = blobs(30)
    test = {} if layout == "x and y" else {"x_test": x, "y_test": y}
    names = ("x", "y") if layout == "x and y" else ("x_train", "y_train")
    np.savez(tmp_path / "own.npz", **dict(zip(names, (x, y), strict=True)), **test)
    got = load_site_data(site_of(tmp_path, "own.npz"), experiment(data={"classes": [2, 0]}))
    np.testing.assert_array_equal(got.y_train, (y[y != 1] == 0).astype(int))
    assert got.num_classes == 2


def test_a_folder_of_images_is_read(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for label in ("cat", "dog"):
        (tmp_path / "own" / label).mkdir(parents=True)
        for i in range(5):
            pixels = np.full((4, 4, 3), 10 * i, np.uint8)
            image.fromarray(pixels).save(tmp_path / "own" / label / f"{i}.png")
    got = load_site_data(site_of(tmp_path, "own"), experiment())
    assert got.num_classes == 2
    assert len(got.y_train) + len(got.y_test) == 10


def test_missing_and_damaged_samples_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no samples at .*own\.npz.*site\.toml of bob"):
        load_site_data(site_of(tmp_path, "own.npz"), experiment())
    (tmp_path / "own.npz").write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"own\.npz"):
        load_site_data(site_of(tmp_path, "own.npz"), experiment())
    np.savez(tmp_path / "own.npz", x=np.zeros((3, 4)), y=np.zeros(2))
    with pytest.raises(DataError):
        load_site_data(site_of(tmp_path, "own.npz"), experiment())


def test_nothing_is_fitted_to_one_sites_samples(tmp_path):
    x, y = blobs(30)
    np.savez(tmp_path / "own.npz", x=x, y=y)
    config = experiment(transform=[{"kind": "pca", "components": 2}])
    with pytest.raises(ConfigError, match="prepared = true"):
        load_site_data(site_of(tmp_path, "own.npz"), config)
    got = load_site_data(site_of(tmp_path, "own.npz", prepared=True), config)
    assert got.x_train.shape == (30, 4)


def test_the_servers_samples_are_for_testing_only(tmp_path):
    x, y = blobs(30)
    np.savez(tmp_path / "test.npz", x=x, y=y)
    got = load_test_data("test.npz", tmp_path, experiment())
    np.testing.assert_array_equal(got.x_test, x)
    assert len(got.x_train) == 0
    assert load_test_data("", tmp_path, experiment()) is None
    np.savez(tmp_path / "test.npz", x_test=x, y_test=y)
    with pytest.raises(DataError, match="should hold x and y"):
        load_test_data("test.npz", tmp_path, experiment())
