"""Diabetes, 442 patients, and for one in ten the target is ten times too large: squared error against Huber's."""

import runpy
from pathlib import Path
from types import SimpleNamespace

runpy.run_path(str(Path(__file__).resolve().parents[1] / "alone.py"))  # names the packages that are not installed

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import RobustScaler, StandardScaler

DATA = "scikit-learn's diabetes data; three quarters to train on, a tenth of their targets multiplied by ten"
CLAIM = "on the 111 clean patients held out, Huber's mean absolute error is less than half of the squared error's"
VARIANTS = ("MSE", "Huber")


def data(dtype=np.float32, seed=0):
    """Ten measurements (n, 10), and the progression of the disease (n, 1), in interquartile ranges."""
    measurements, progression = load_diabetes(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        measurements, progression[:, np.newaxis], test_size=0.25, random_state=seed
    )
    outliers = np.random.default_rng(seed).random(len(y_train)) < 0.1
    y_train[outliers] *= 10
    inputs, targets = StandardScaler().fit(X_train), RobustScaler().fit(y_train)  # fitted without the held-out patients
    X_train, X_test = (inputs.transform(X).astype(dtype) for X in (X_train, X_test))
    y_train, y_test = (targets.transform(y).astype(dtype) for y in (y_train, y_test))
    return SimpleNamespace(X_train=X_train, X_test=X_test, y_train=y_train, y_test=y_test, targets=targets, seed=seed)


def scores(predictions, data):
    """Scores from the predictions for the held-out patients, in the units of the measurements."""
    expected, predictions = (data.targets.inverse_transform(y) for y in (data.y_test, predictions))
    return {
        "mean absolute error on 111 patients": mean_absolute_error(expected, predictions),
        "R2 on 111 patients": r2_score(expected, predictions),
    }
