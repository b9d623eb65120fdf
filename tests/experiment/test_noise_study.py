"""A run's model under weaker and stronger noise."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fedket.cli.app import app
from fedket.errors import CircuitError, ConfigError
from fedket.experiment.noise_study import compare_noise
from fedket.experiment.run import start_run
from fedket.quantum import noise
from fedket.quantum.noise import channels
from tests.experiment.tiny import config_of

VQC = "model={kind='vqc', circuit='qunetqfl', num_qubits=2, num_layers=1}"
RATES = "noise={one_qubit=0.01, two_qubit=0.1, readout=[0.02, 0.05], trajectories=400}"


@pytest.fixture(scope="module")
def noisy_run(blobs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("noisy") / "run"
    result = start_run(config_of(blobs, VQC, RATES, "federation.rounds=1"), output=folder)
    return folder, result.summary


def test_noise_of_strength_one_is_the_runs_own_and_more_of_it_leaves_less(noisy_run):
    folder, summary = noisy_run
    points = compare_noise(folder, [0.0, 1.0, 30.0])
    assert [(p.method, p.strength) for p in points] == [
        (method, strength) for strength in (0.0, 1.0, 30.0) for method in ("exact", "trajectories")
    ]
    none, also_none, own, drawn, much, _ = points
    assert own.test_accuracy == pytest.approx(summary.test_accuracy, abs=1e-6)
    np.testing.assert_allclose(own.test_loss, summary.test_loss, atol=1e-5)
    assert none.gradient_norm > own.gradient_norm > much.gradient_norm
    np.testing.assert_allclose(also_none[2:], none[2:], atol=1e-5)
    assert drawn.cosine > 0.9
    np.testing.assert_allclose(drawn.test_loss, own.test_loss, atol=0.1)


def compare(*arguments):
    result = CliRunner().invoke(app, ["noise", "compare", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_command_prints_a_table_or_json_and_draws(noisy_run, tmp_path):
    plot = tmp_path / "noise.png"
    command = [str(noisy_run[0]), "--strengths", "0,2"]
    table = compare(*command, "--plot", str(plot)).splitlines()
    assert table[0].split()[:3] == ["method", "strength", "accuracy"]
    assert len(table) == 6
    assert plot.stat().st_size > 5000
    assert len(json.loads(compare(*command, "--json"))["points"]) == 4


@pytest.mark.parametrize(
    "channel",
    [
        channels.depolarising(0.1),
        channels.depolarising(0.1, 2),
        channels.thermal_relaxation(3.0, 10.0, 8.0, 0.2),
        channels.pauli({"X": 0.1}),
    ],
)
def test_powers_of_a_channel_add_up(channel):
    parts = [channels.power(channel, exponent).transfer for exponent in (0.3, 1.7)]
    np.testing.assert_allclose(parts[0] @ parts[1], channel.transfer @ channel.transfer, atol=1e-12)
    np.testing.assert_array_equal(channels.power(channel, 1.0).transfer, channel.transfer)


def test_a_channel_without_powers_is_refused():
    flip = channels.pauli({"X": 1.0})
    with pytest.raises(CircuitError, match="powers of a channel are of depolarising, Pauli"):
        noise.after(flip, "RX").times(0.5)


def test_what_cannot_be_compared_is_one_line(blobs, noisy_run, tmp_path):
    start_run(config_of(blobs, VQC, "federation.rounds=1"), output=tmp_path / "quiet")
    with pytest.raises(ConfigError, match="ran without noise; name some, for example --set"):
        compare_noise(tmp_path / "quiet", [1.0])
    assert compare_noise(tmp_path / "quiet", [1.0], ["noise={amplitude_damping=0.1}"])[0].method
    with pytest.raises(ConfigError, match="--strengths takes 1 to 50 numbers"):
        compare(str(noisy_run[0]), "--strengths", "1,-2")
