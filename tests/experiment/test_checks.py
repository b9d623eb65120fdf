"""What cannot work out is refused by `build_experiment`, in one line, before anything compiles."""

import jax
import jax.monitoring
import numpy as np
import pytest

from fedket.errors import FedketError
from fedket.experiment import check as checks
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.experiment.load import parse_config
from tests.experiment.tiny import values_of, write_blobs

VQC = 'model={kind = "vqc", num_qubits = 2, num_layers = 1}'


@pytest.fixture
def compiled():
    """Names of what JAX compiles meanwhile."""
    seen = []

    def listen(event, *_, **__):
        if "backend_compile" in event:
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


def refusal(values):
    with pytest.raises(FedketError) as error:
        build_experiment(parse_config(values))
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["federation.clients_per_round=5"], "clients_per_round is 5, but partition.num_clients"),
        (
            ["aggregation.kind=pairwise_masks", "federation.clients_per_round=1"],
            "at least 2 clients",
        ),
        (["aggregation.kind=pairwise_masks", "partition.num_clients=1"], "at least 2 clients"),
        (["aggregation={kind='quantised', bits=4}", "partition.num_clients=20"], "at most 6 "),
        (["aggregation={kind='pairwise_masks', bits=4}", "partition.num_clients=20"], "at most 6 "),
        (["partition.num_clients=61"], "61 clients with 1 or more samples each need 61"),
        (["partition.min_samples=16"], "need 64, the data has 60"),
        (["partition.kind=groups"], "needs a group id per sample"),
        (["data.classes=[2]"], "single class"),
        (["data.classes=[0, 7]"], "no class 7; the classes present are 0, 1, 2"),
        (["data.kind=digits"], "belongs to data `npz` and `image_folder`"),
        (["data.path=''"], "needs `path`"),
        (["data.path=nosuch.npz"], "nosuch.npz"),
        (["data.sha256=" + "0" * 64], "expected 0000"),
        (["model={kind = 'lenet5'}"], "images"),
        (["model={kind = 'quantum_train'}"], "images"),
        (["model={kind = 'mlp', hidden = [2000000000]}"], "parameters need about"),
        ([VQC, "model.num_layers=2000000000"], "parameters need about"),
        (
            [VQC, "model.num_qubits=1", "model.readout=probabilities", "data.classes=[0, 1]"],
            "use 2 qubits",
        ),
        ([VQC, "model.readout=z"], "has 2 values for 3 classes"),
        ([VQC, "model.encoding=angle"], "one feature per qubit: 2, got 4"),
    ],
)
def test_what_does_not_fit_together_is_refused(overrides, complaint, blobs, compiled):
    assert complaint in refusal(values_of(blobs, *overrides))
    assert not compiled


@pytest.mark.parametrize("free_gib", [1, 30])
def test_a_circuit_too_large_for_memory_is_refused(free_gib, tmp_path, monkeypatch, compiled):
    monkeypatch.setattr("fedket.quantum.memory.available_bytes", lambda: free_gib * 2**30)
    monkeypatch.setattr(checks, "available_bytes", lambda: free_gib * 2**30)
    data = write_blobs(tmp_path / "many.npz", num_train=100)
    huge = [VQC, "model.num_qubits=24", "training.batch_size=100000"]
    assert "GiB are available; use fewer qubits" in refusal(values_of(data, *huge))
    assert not compiled


@pytest.mark.parametrize(
    "damage",
    [
        lambda a: a.pop("y_test"),
        lambda a: a.update(x_test=a["x_test"][:, :3]),
        lambda a: a.update(y_train=a["y_train"][:-1]),
        lambda a: a.update(y_train=a["y_train"] - 1),
        lambda a: a.update(y_train=a["y_train"] + 0.5),
        lambda a: a.update(x_train=a["x_train"] * np.nan),
        lambda a: a.update(x_train=a["x_train"].astype(str)),
    ],
)
def test_wrong_arrays_are_refused_by_name_of_the_file(damage, blobs, tmp_path):
    arrays = dict(np.load(blobs))
    damage(arrays)
    np.savez(tmp_path / "wrong.npz", **arrays)
    assert "wrong.npz" in refusal(values_of(tmp_path / "wrong.npz"))


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_data_file_is_refused(share, blobs, tmp_path):
    path = tmp_path / "short.npz"
    path.write_bytes(blobs.read_bytes()[: int(share * blobs.stat().st_size)])
    assert "short.npz" in refusal(values_of(path))


@pytest.mark.parametrize("kind", ["plain", "quantised", "pairwise_masks"])
def test_counting_facts_compiles_nothing(kind, blobs, compiled):
    experiment = build_experiment(parse_config(values_of(blobs, VQC, f"aggregation.kind={kind}")))
    compiled.clear()
    assert count_facts(experiment).parameters == 4
    assert not compiled


def test_batches_are_never_larger_than_the_largest_client(blobs):
    """Padding to a batch of 2**31 samples would need terabytes."""
    huge, exact = (
        build_experiment(parse_config(values_of(blobs, f"training.batch_size={size}")))
        for size in (2**31 - 1, 15)
    )
    params = [e.federation.run_round(e.federation.init())[0].params for e in (huge, exact)]
    jax.tree.map(np.testing.assert_array_equal, *params)
