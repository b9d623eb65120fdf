"""What predictions are worth: scikit-learn's numbers, and calibration by its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from fedket.federated.metrics import (
    CALIBRATION_BINS,
    MAX_CONFUSION,
    classification_quality,
    confusion_matrix,
    per_class,
)
from tests.federated.problems import run_rounds, small_federation


def draw(seed, classes, samples=40, decimals=1):
    """Logits with ties, and labels that may miss a class."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(samples, classes)).round(decimals).astype(np.float32)
    return logits, rng.integers(0, classes, samples).astype(np.int32)


@pytest.mark.parametrize("classes", [2, 3, 10])
@given(seed=st.integers(0, 2**31 - 1))
def test_confusion_and_f1_are_scikit_learns(classes, seed):
    logits, y = draw(seed, classes)
    predicted, every = logits.argmax(axis=1), np.arange(classes)
    confusion = confusion_matrix(logits, y)
    np.testing.assert_array_equal(confusion, reference.confusion_matrix(y, predicted, labels=every))
    expected = reference.precision_recall_fscore_support(
        y, predicted, labels=every, zero_division=0
    )
    np.testing.assert_allclose(per_class(confusion), np.transpose(expected[:3]))
    quality = classification_quality(logits, y)
    f1 = reference.f1_score(y, predicted, average="macro", zero_division=0)
    assert quality.macro_f1 == pytest.approx(f1, abs=1e-6)
    assert quality.confusion == tuple(map(tuple, confusion.tolist()))
    assert (quality.auc is None) == (classes > 2)


@given(seed=st.integers(0, 2**31 - 1))
def test_auc_is_scikit_learns_ties_included(seed):
    logits, y = draw(seed, 2)
    y[:2] = 0, 1
    score = logits[:, 1].astype(np.float64) - logits[:, 0]
    expected = reference.roc_auc_score(y, score)
    assert classification_quality(logits, y).auc == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("classes", [2, 5])
@given(seed=st.integers(0, 2**31 - 1))
def test_calibration_is_its_definition(classes, seed):
    logits, y = draw(seed, classes)
    z = np.exp(logits.astype(np.float64))
    confidence, correct = (z / z.sum(axis=1, keepdims=True)).max(axis=1), logits.argmax(axis=1) == y
    expected = 0.0
    for m in range(CALIBRATION_BINS):
        held = (confidence > m / CALIBRATION_BINS) & (confidence <= (m + 1) / CALIBRATION_BINS)
        if held.any():
            expected += held.mean() * abs(correct[held].mean() - confidence[held].mean())
    quality = classification_quality(logits, y)
    assert quality.ece == pytest.approx(expected, abs=1e-6)
    assert sum(b.samples for b in quality.calibration) == len(y)


def test_what_is_not_defined_is_none_and_never_a_number():
    logits, y = draw(0, 2)
    assert classification_quality(logits, np.zeros_like(y)).auc is None
    logits[3, 1] = np.nan
    broken = classification_quality(logits, y)
    assert (broken.auc, broken.ece, broken.calibration) == (None, None, ())
    huge = classification_quality(np.float32([[3e38, -3e38], [0, 0]]), np.array([0, 1]))
    assert huge.calibration[-1].confidence == 1.0


def test_very_many_classes_leave_no_matrix_in_the_record():
    logits, y = draw(1, MAX_CONFUSION + 1)
    quality = classification_quality(logits, y)
    assert quality.confusion == ()
    assert quality.macro_f1 is not None


def test_an_evaluated_round_records_it_of_the_test_set():
    federation = small_federation()
    state, (record,) = run_rounds(federation, 1)
    confusion = np.array(record.quality.confusion)
    assert confusion.sum() == 20
    assert confusion.trace() / 20 == pytest.approx(record.test_accuracy)
    assert federation.run_round(state, False)[1].quality is None
