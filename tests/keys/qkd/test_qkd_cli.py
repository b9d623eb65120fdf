import json

import pytest
from typer.testing import CliRunner

from fedket.cli.app import app
from fedket.errors import ConfigError
from fedket.keys.qkd.rates import rate_curve


def run(*arguments):
    result = CliRunner().invoke(app, ["qkd", "rate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_table_has_a_row_per_loss_and_says_that_it_is_simulated():
    lines = run("--loss", "10:60:25").splitlines()
    assert "four-phase MDI-QKD" in lines[0]
    assert "asymptotic" in lines[0]
    assert "simulated" in lines[0]
    assert [line.split()[0] for line in lines[2:5]] == ["10", "35", "60"]
    assert "340,459.9" in lines[2]
    assert lines[4].endswith("no key")


def test_json_holds_the_curves():
    found = json.loads(run("--protocol", "both", "--loss", "15", "--finite", "1e9", "--json"))
    assert found["simulated"] is True
    assert [curve["protocol"] for curve in found["curves"]] == ["mdi", "bb84"]
    point = rate_curve("mdi", [15.0], pulses=1e9).points[0]
    assert found["curves"][0]["points"] == [point._asdict()]
    assert found["curves"][0]["pulses"] == 1e9


@pytest.mark.parametrize(
    ("suffix", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_plots_are_written_and_repeatable(tmp_path, suffix, magic):
    files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for file in files:
        assert str(file) in run("--loss", "0:20:10", "--plot", str(file))
    contents = [file.read_bytes() for file in files]
    assert contents[0].startswith(magic)
    assert contents[0] == contents[1]


def test_a_plot_names_its_axes_and_units(tmp_path):
    run("--loss", "10:30:10", "--finite", "1e11", "--plot", str(tmp_path / "rate.svg"))
    text = (tmp_path / "rate.svg").read_text()
    for words in (
        "total loss in dB, detectors included",
        "key rate in bit/s",
        "Simulated key rate at 100 MHz",
        "blocks of 1e11 pulses",
        "reported by QuNetQFL",
        "100 k",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--loss", "a"], "got `a`"),
        (["--loss", "0:10:1:2"], "DB or FROM:TO:STEP"),
        (["--loss", "10:0"], "upwards"),
        (["--loss", "0:10:0"], "above 0 dB"),
        (["--loss", "-3"], "0 dB or more"),
        (["--loss", "0:900:0.1"], "1000 at most"),
        (["--loss", "nan"], "got `nan`"),
        (["--finite", "0"], "1 or more pulses"),
        (["--clock-hz", "-1"], "more than 0 Hz"),
        (["--bound", "coin", "--finite", "1e10"], "coin bound"),
        (["--plot", "rate.gif"], ".svg, .png, .pdf, got rate.gif"),
        (["--plot", "nowhere/rate.svg"], "no directory nowhere"),
        (["--loss", "90", "--plot", "rate.svg"], "nothing to plot"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        run(*arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
