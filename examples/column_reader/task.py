"""Handwritten digits read column by column by a recurrent model: sequences of 2 to 8 columns with ink."""

import runpy
from pathlib import Path
from types import SimpleNamespace

runpy.run_path(str(Path(__file__).resolve().parents[1] / "alone.py"))  # names the packages that are not installed

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DATA = "scikit-learn's digits; three quarters to train on"
CLAIM = "94 % of the 450 images held out are classified correctly"


def columns(images):
    """Images (n, 8, 8) -> their columns from the first with ink to the last, then zeros; and how many (n,)."""
    ink = images.any(axis=1)
    first, last = ink.argmax(axis=1), 7 - ink[:, ::-1].argmax(axis=1)
    lengths = last - first + 1
    steps = np.arange(8)
    sequences = np.take_along_axis(images.transpose(0, 2, 1), (first[:, np.newaxis] + steps)[:, :, np.newaxis] % 8, 1)
    return sequences * (steps < lengths[:, np.newaxis])[:, :, np.newaxis], lengths


def data(dtype=np.float32, seed=0):
    """Sequences (n, 8, 8), their lengths (n,), and the digits (n,)."""
    images, digits = load_digits(return_X_y=True)
    X, lengths = columns(images.reshape(-1, 8, 8))
    train, test = train_test_split(np.arange(len(X)), test_size=0.25, stratify=digits, random_state=seed)
    X = (X / 16).astype(dtype)
    return SimpleNamespace(
        X_train=X[train],
        X_test=X[test],
        lengths_train=lengths[train],
        lengths_test=lengths[test],
        y_train=digits[train],
        y_test=digits[test],
        seed=seed,
    )


def scores(predictions, data):
    """Scores from the logits of the held-out images."""
    return {"accuracy on 450 images": np.mean(predictions.argmax(axis=1) == data.y_test)}
