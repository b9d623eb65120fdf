"""Files of applications and key managers: complete, or one clear line."""

from pathlib import Path

import pytest

from fedket.errors import ConfigError
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.kme.config import KmeConfig
from fedket.schema import read_table

SAE = {
    "kme_url": '"https://kme.example:8441"',
    "ca": '"ca.crt"',
    "certificate": '"alice.crt"',
    "key": '"/keys/alice.key"',
    "sae_id": '"alice"',
    "peers": '["bob"]',
}
KME = """
[[kme]]
id = "kme-1"
ca = "ca.crt"
certificate = "kme-1.crt"
key = "kme-1.key"
saes = ["alice", "bob"]
[[link]]
saes = ["alice", "bob"]
rate_bps = 100.0
"""


def sae_file(directory: Path, **changed: str) -> Path:
    path = directory / "alice.toml"
    path.write_text("\n".join(f"{k} = {v}" for k, v in (SAE | changed).items()), encoding="utf-8")
    return path


def test_paths_are_relative_to_the_file(tmp_path):
    config = read_table(sae_file(tmp_path), SaeConfig)
    assert config.ca == tmp_path / "ca.crt"
    assert config.key == Path("/keys/alice.key")
    assert config.peers == ("bob",)


@pytest.mark.parametrize(
    "url",
    ["https://kme", "https://kme-1.example:8441/", "https://[::1]:8441", "https://kme/qkd/1/"],
)
def test_urls_of_hosts_and_addresses_are_taken(tmp_path, url):
    config = read_table(sae_file(tmp_path, kme_url=f'"{url}"'), SaeConfig)
    assert config.kme_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"kme_url": '"http://kme"'}, "`kme_url` should be `https://HOST`"),
        ({"kme_url": '"https://kme?key=1"'}, "`kme_url` should be `https://HOST`"),
        ({"kme_url": '"https://kme:port"'}, "`kme_url` should"),
        ({"kme_url": '"https://kme:70000"'}, "`kme_url` should"),
        ({"kme_url": '"https://kme..example"'}, "`kme_url` should"),
        ({"kme_url": '"https://[::g]"'}, "`kme_url` should"),
        ({"kme_url": '"https://me@kme"'}, "`kme_url` should"),
        ({"server_name": '"a host"'}, "`server_name"),
        ({"sae_id": '""'}, "`sae_id` should"),
        ({"sae_id": '".."'}, "`sae_id` should be a name other than"),
        ({"timeout_s": "0.0"}, "`timeout_s` should be greater than 0"),
        ({"timeout_s": '"fast"'}, "`timeout_s` should be a valid number"),
        ({"timeuot_s": "1.0"}, "unknown key `timeuot_s`; did you mean `timeout_s`?"),
        ({"peers": "[1]"}, "`peers.0` should be a valid string"),
        ({"ca": "["}, "not valid TOML"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(tmp_path, changed, says):
    with pytest.raises(ConfigError) as error:
        read_table(sae_file(tmp_path, **changed), SaeConfig)
    assert says in str(error.value)
    assert str(error.value).count("\n") == 0 or "TOML" in says


def test_a_missing_key_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(ConfigError, match="`kme_url` is missing"):
        read_table(tmp_path / "empty.toml", SaeConfig)
    with pytest.raises(ConfigError, match=r"no file .*none\.toml"):
        read_table(tmp_path / "none.toml", SaeConfig)
    with pytest.raises(ConfigError, match="is a directory"):
        read_table(tmp_path, SaeConfig)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            'saes = ["alice", "bob"]\nrate',
            'saes = ["alice", "eve"]\nrate',
            "no KME lists the SAE `eve`",
        ),
        (
            'saes = ["alice", "bob"]\n[[link',
            'saes = ["bob", "bob"]\n[[link',
            "`bob` is listed twice",
        ),
        ("rate_bps = 100.0", "rate_bps = -1.0", "`link.0.rate_bps` should"),
        ("rate_bps = 100.0", "rate_pbs = 1.0", "did you mean `link.0.rate_bps`?"),
        ("rate_bps = 100.0", "[limits]\nkey_size = 100", "multiple of 8"),
        ("rate_bps = 100.0", "[limits]\nmin_key_size = 512", "min_key_size <= key_size"),
        ("[[kme]]", "[kme]", "`kme` should be"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(tmp_path, old, new, says):
    path = tmp_path / "kme.toml"
    path.write_text(KME)
    assert read_table(path, KmeConfig).limits.key_size == 256
    assert old in KME
    path.write_text(KME.replace(old, new))
    with pytest.raises(ConfigError) as error:
        read_table(path, KmeConfig)
    assert says in str(error.value)
