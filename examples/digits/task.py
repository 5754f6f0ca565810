"""Handwritten digits, 1,797 images of 8 x 8 pixels: which digit is it? Cross-entropy, and dropout."""

import runpy
from pathlib import Path
from types import SimpleNamespace

runpy.run_path(str(Path(__file__).resolve().parents[1] / "alone.py"))  # names the packages that are not installed

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

DATA = "scikit-learn's digits; three quarters to train on"
CLAIM = "97 % of the 450 images held out are classified correctly"


def data(dtype=np.float32, seed=0):
    """Images (n, 64) and their digits (n,)."""
    images, digits = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        images, digits, test_size=0.25, stratify=digits, random_state=seed
    )
    scaler = StandardScaler().fit(X_train)  # fitted without the test images
    X_train, X_test = (scaler.transform(X).astype(dtype) for X in (X_train, X_test))
    return SimpleNamespace(X_train=X_train, X_test=X_test, y_train=y_train, y_test=y_test, seed=seed)


def scores(predictions, data):
    """Scores from the logits of the held-out images."""
    return {"accuracy on 450 images": np.mean(predictions.argmax(axis=1) == data.y_test)}
