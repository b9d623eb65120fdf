"""Numbers in place of classes: a linear model is least squares, and its errors are reported."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_squared_error, r2_score

from fedket.data.regression import load_diabetes
from fedket.data.sources import load_dataset
from fedket.errors import ConfigError, DataError
from fedket.experiment.load import parse_config
from fedket.experiment.predictor import load
from fedket.experiment.run import start_run
from fedket.federated.metrics import regression_quality
from fedket.report import write_report
from tests.experiment.tiny import rounds_of


def config_of(**tables):
    values = {
        "name": "numbers",
        "data": {"kind": "diabetes", "validation_fraction": 0.1},
        "transform": [{"kind": "standardise_target"}],
        "partition": {"kind": "iid", "num_clients": 4},
        "model": {"kind": "mlp"},
        "training": {"loss": "mse", "epochs": 5},
        "optimizer": {"kind": "adam", "learning_rate": 0.1},
        "federation": {"rounds": 20, "eval_every": 10},
    }
    return parse_config(values | tables)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return start_run(config_of(), output=tmp_path_factory.mktemp("runs") / "run")


def test_it_comes_close_to_least_squares_and_speaks_the_data_sets_units(run):
    data = load_diabetes()
    best = LinearRegression().fit(data.x_train, data.y_train).predict(data.x_test)
    predictor = load(run.directory)
    found = predictor.predict(data.x_test)
    assert r2_score(data.y_test, found) > r2_score(data.y_test, best) - 0.05
    record = rounds_of(run.directory)[-1]
    assert record["quality"]["r2"] == pytest.approx(r2_score(data.y_test, found), abs=1e-4)
    spread = load_diabetes().y_train.std() ** 2
    mse = mean_squared_error(data.y_test, found) / spread
    # The deviation is that of the training samples that were not held out.
    assert record["quality"]["mse"] == pytest.approx(mse, rel=0.1)
    assert record["test_loss"] == pytest.approx(record["quality"]["mse"], rel=1e-4)
    assert record["test_accuracy"] is record["client_accuracy"] is None
    assert record["validation_accuracy"] is None
    assert record["validation_loss"] > 0
    with pytest.raises(ConfigError, match="no probabilities"):
        predictor.predict_proba(data.x_test)


def test_its_summary_has_losses(run):
    assert run.summary.test_accuracy is run.summary.best_test_accuracy is None
    assert run.summary.test_loss > 0
    assert run.summary.validation_loss > 0


def test_its_report_and_facts_know_no_classes(run):
    facts = json.loads((run.directory / "model.json").read_text())
    assert facts["num_classes"] == 1
    assert sum(map(sum, facts["label_counts"])) == facts["num_train"]
    page = write_report([run.directory]).read_text(encoding="utf-8")
    assert "R²" in page
    assert "Best round" in page
    assert "Test accuracy" not in page


def test_numbers_come_from_a_file_too(tmp_path):
    data = load_diabetes()
    parts = {f"{n}_{p}": getattr(data, f"{n}_{p}") for n in "xy" for p in ("train", "test")}
    parts["y_train"] = parts["y_train"][:, None] + np.float64(0.25)
    np.savez(tmp_path / "own.npz", **parts)
    own = {"kind": "npz", "path": str(tmp_path / "own.npz"), "regression": True}
    config = config_of(data=own, federation={"rounds": 1})
    quality = rounds_of(start_run(config, output=tmp_path / "run").directory)[0]["quality"]
    assert quality["mse"] < 1.2
    with pytest.raises(DataError, match="regression = true numbers to predict"):
        load_dataset("npz", path=own["path"])
    with pytest.raises(DataError, match="leave `classes` and `merge` out"):
        load_dataset("npz", path=own["path"], classes=(0, 1), regression=True)


def test_errors_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y, outputs = rng.normal(size=30), rng.normal(size=(30, 1))
    quality = regression_quality(outputs, y)
    assert quality.mse == pytest.approx(mean_squared_error(y, outputs[:, 0]), abs=1e-6)
    assert quality.r2 == pytest.approx(r2_score(y, outputs[:, 0]), abs=1e-6)
    assert regression_quality(outputs, np.ones(30)).r2 is None


@pytest.mark.parametrize(
    "model",
    [
        {"kind": "vqc", "num_qubits": 4, "num_layers": 1, "logit_scale": 3.0},
        {"kind": "hybrid", "num_qubits": 2, "num_layers": 1, "dropout": 0.0},
    ],
)
def test_a_circuits_value_is_a_prediction(model, tmp_path):
    plan = {"rounds": 2}
    training = {"loss": "optax:huber_loss"}
    config = config_of(model=model, federation=plan, training=training)
    first, last = rounds_of(start_run(config, output=tmp_path / "run").directory)
    assert last["train_loss"] < first["train_loss"]
    assert load(tmp_path / "run").predict(load_diabetes().x_test).shape == (88,)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"training": {}}, "numbers, not classes; use training.loss"),
        ({"partition": {"kind": "dirichlet", "num_clients": 4}}, "use partition.kind"),
        ({"federation": {"best_by": "accuracy"}}, "use federation.best_by"),
        ({"training": {"loss": "mse", "class_weights": "balanced"}}, "class_weights"),
    ],
)
def test_what_needs_classes_is_refused_in_a_line(tables, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        start_run(config_of(**tables), output=tmp_path / "run")
