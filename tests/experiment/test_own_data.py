"""Data of one's own in an experiment: what is said of it before the first round."""

import numpy as np
import pytest

from fedket.errors import ConfigError
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.experiment.load import parse_config


def experiment(data, **model):
    return parse_config(
        {
            "name": "own",
            "data": data,
            "partition": {"kind": "iid", "num_clients": 2},
            "model": {"kind": "vqc", "num_qubits": 5, "num_layers": 1, **model},
        }
    )


def test_classes_rows_left_out_and_padded_amplitudes_are_told(tmp_path):
    path = tmp_path / "pets.csv"
    rows = [f"{i},{i % 3},{i % 5},{i % 7},{i + 1},{('cat', 'ant')[i % 2]}" for i in range(30)]
    path.write_text("\n".join(["a,b,c,d,e,pet", *rows, ",1,1,1,1,ant"]))
    data = {"kind": "table", "path": str(path), "target": "pet", "drop_missing": True}
    facts = count_facts(build_experiment(experiment(data)))
    assert facts.class_names == ("ant", "cat")
    assert (facts.num_train, facts.num_test) == (24, 6)
    assert facts.caveats["data"][0].endswith("1 of 31 rows miss a value and are left out")
    (said,) = facts.caveats["model"]
    assert said.startswith("5 features are padded with zeros to the 32 amplitudes of 5 qubits")
    angles = count_facts(build_experiment(experiment(data, encoding="angle")))
    assert "model" not in angles.caveats


def test_samples_that_are_no_states_are_refused(tmp_path):
    x = np.random.default_rng(0).normal(size=(12, 32, 2)).astype(np.float32)
    x[:5] /= np.linalg.norm(x[:5].reshape(5, -1), axis=1)[:, None, None]
    y = np.arange(12) % 2
    np.savez(tmp_path / "states.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    data = {"kind": "npz", "path": str(tmp_path / "states.npz")}
    with pytest.raises(ConfigError, match=r"states of norm 1, training sample 5 has norm"):
        build_experiment(experiment(data, encoding="state"))
