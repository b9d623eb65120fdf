"""What predictions are worth beyond loss and accuracy, from logits that evaluation computes anyway.

Numbers are scikit-learn's (tests compare), without its import of a second. Each takes logits and
labels as NumPy arrays; what is not defined is NaN, and a record has None for it.
"""

import numpy as np
from jaxtyping import Float, Int, Num

from fedket.record import CalibrationBin, Quality

CALIBRATION_BINS = 15
"""Of equal width over confidences 0..1: M of Guo et al. 2017 (arXiv:1706.04599, Section 5)."""

MAX_CONFUSION = 100
"""Classes up to which a record holds the confusion matrix."""

Logits = Float[np.ndarray, "samples classes"]
Labels = Num[np.ndarray, " samples"]


def classification_quality(logits: Logits, y: Labels) -> Quality:
    """Confusion matrix, macro F1, AUC for two classes, and calibration.

    Args:
        logits: Of at least one sample.
        y: Labels 0..classes-1.
    """
    confusion = confusion_matrix(logits, y)
    bins = calibration(logits, y)
    return Quality(
        macro_f1=macro_f1(confusion),
        auc=auc(logits, y) if logits.shape[1] == 2 else None,
        ece=expected_calibration_error(bins),
        confusion=tuple(map(tuple, confusion.tolist())) if len(confusion) <= MAX_CONFUSION else (),
        calibration=bins,
    )


def regression_quality(outputs: Float[np.ndarray, "samples 1"], y: Labels) -> Quality:
    """Mean squared error and R², 1 − Σ(y − output)² / Σ(y − mean)²; NaN if all labels are equal."""
    targets = np.asarray(y, np.float64)
    squares = (targets - outputs[:, 0]) ** 2
    spread = ((targets - targets.mean()) ** 2).mean()
    return Quality(mse=squares.mean(), r2=1 - squares.mean() / spread if spread else np.nan)


def confusion_matrix(logits: Logits, y: Labels) -> Int[np.ndarray, "classes classes"]:
    """How many samples of each class (row) are taken for which (column): the largest logit's."""
    classes = logits.shape[1]
    cells = np.asarray(y, np.int64) * classes + logits.argmax(axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def per_class(confusion: Int[np.ndarray, "classes classes"]) -> Float[np.ndarray, "classes 3"]:
    """Precision, recall and F1 of each class; 0 where there is nothing to divide by."""
    hits, samples, predicted = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    parts = [(hits, predicted), (hits, samples), (2 * hits, samples + predicted)]
    columns = [np.divide(a, b, out=np.zeros(len(a)), where=b > 0) for a, b in parts]
    return np.stack(columns, axis=1)


def macro_f1(confusion: Int[np.ndarray, "classes classes"]) -> float:
    """Mean F1 over the classes that samples have or are taken for."""
    present = confusion.sum(axis=0) + confusion.sum(axis=1) > 0
    return float(per_class(confusion)[present, 2].mean())


def auc(logits: Float[np.ndarray, "samples 2"], y: Labels) -> float:
    """Area under the ROC curve of class 1, NaN if all samples have one label.

    It is the share of pairs of a sample of each class in which the one of class 1 has the larger
    difference of logits; equal ones count half (Mann–Whitney U).
    """
    score = np.asarray(logits[:, 1], np.float64) - logits[:, 0]
    ones, zeros = score[y == 1], np.sort(score[y == 0])
    if not len(ones) or not len(zeros) or not np.isfinite(score).all():
        return np.nan
    below, up_to = (np.searchsorted(zeros, ones, side) for side in ("left", "right"))
    return float((below + up_to).mean() / (2 * len(zeros)))


def calibration(logits: Logits, y: Labels) -> tuple[CalibrationBin, ...]:
    """Reliability diagram (Guo et al. 2017, arXiv:1706.04599, Section 2): how sure, how right.

    A sample's confidence is the largest softmax of its logits; bin m of M holds those in
    ((m − 1)/M, m/M]. Bins without samples are left out, and all if a logit is not finite.
    """
    z = np.asarray(logits, np.float64)
    if not np.isfinite(z).all():
        return ()
    confidence = 1 / np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1)
    place = np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1
    correct = z.argmax(axis=1) == y
    counts, sure, right = (
        np.bincount(place, weights, CALIBRATION_BINS) for weights in (None, confidence, correct)
    )
    return tuple(
        CalibrationBin(
            samples=int(counts[m]),
            confidence=float(sure[m] / counts[m]),
            accuracy=float(right[m] / counts[m]),
        )
        for m in np.flatnonzero(counts)
    )


def expected_calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """ECE (Guo et al. 2017, Equation 3): mean gap of confidence and accuracy, by samples."""
    total = sum(b.samples for b in bins)
    gaps = sum(b.samples * abs(b.confidence - b.accuracy) for b in bins)
    return gaps / total if total else np.nan
