"""Handwritten digits by four optimizers with their options: each takes PyTorch's steps."""

import runpy
from pathlib import Path
from types import SimpleNamespace

runpy.run_path(str(Path(__file__).resolve().parents[1] / "alone.py"))  # names the packages that are not installed

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DATA = "scikit-learn's digits; three quarters to train on"
CLAIM = "in float64 PyTorch's loss at each of 200 steps, within 1e-10; in float32 no larger error than PyTorch's"
OPTIMIZERS = {
    "SGD": {"rate": 0.05},
    "SGD, nesterov": {"rate": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "Adam": {"rate": 1e-3},
    "Adam, amsgrad": {"rate": 3e-3, "betas": (0.8, 0.99), "weight_decay": 1e-2, "amsgrad": True},
}
VARIANTS = tuple(OPTIMIZERS)


def data(dtype=np.float32, seed=0):
    """Images (n, 64), their digits (n,), and the rows of each step's batch."""
    images, digits = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        (images / 16).astype(dtype), digits, test_size=0.25, stratify=digits, random_state=seed
    )
    batches = np.random.default_rng(seed).integers(len(X_train), size=(200, 64))
    return SimpleNamespace(X_train=X_train, X_test=X_test, y_train=y_train, y_test=y_test, batches=batches)


def scores(predictions, data):
    """Scores from the logits of the held-out images."""
    return {"accuracy on 450 images": np.mean(predictions.argmax(axis=1) == data.y_test)}
