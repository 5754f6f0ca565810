"""Diabetes, 442 patients by 10 measurements: progression in a year. Squared error, compared with scikit-learn."""

import runpy
from pathlib import Path
from types import SimpleNamespace

runpy.run_path(str(Path(__file__).resolve().parents[1] / "alone.py"))  # names the packages that are not installed

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

DATA = "scikit-learn's diabetes data in 5 folds: every patient is held out once"
CLAIM = "R2, mean of the folds, is no less than that of scikit-learn's MLPRegressor"
FOLDS, EPOCHS, BATCH, RATE, DECAY = 5, 60, 32, 0.001, 0.01


def data(dtype=np.float32, seed=0, fold=0):
    """Ten measurements (n, 10), and the progression of the disease (n, 1); both standardized."""
    measurements, progression = load_diabetes(return_X_y=True)
    train, test = list(KFold(FOLDS, shuffle=True, random_state=seed).split(measurements))[fold]
    inputs = StandardScaler().fit(measurements[train])  # fitted without the held-out patients
    targets = StandardScaler().fit(progression[train, np.newaxis])
    X_train, X_test = (inputs.transform(measurements[rows]).astype(dtype) for rows in (train, test))
    y_train, y_test = (targets.transform(progression[rows, np.newaxis]).astype(dtype) for rows in (train, test))
    return SimpleNamespace(X_train=X_train, X_test=X_test, y_train=y_train, y_test=y_test, seed=seed)


def rival(data):
    """Predictions of MLPRegressor after as many epochs, with the same size, rate, batches and weight decay."""
    net = MLPRegressor(
        hidden_layer_sizes=(32,),
        batch_size=BATCH,
        learning_rate_init=RATE,
        alpha=DECAY * BATCH,  # scikit-learn divides it by the batch size
        random_state=data.seed,
    )
    for _epoch in range(EPOCHS):
        net.partial_fit(data.X_train, data.y_train[:, 0])
    return net.predict(data.X_test)[:, np.newaxis]


def scores(predictions, data):
    """Scores from the predictions for the held-out patients."""
    return {"R2 on the patients held out": r2_score(data.y_test, predictions)}
