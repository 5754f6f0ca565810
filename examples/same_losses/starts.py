"""What both frameworks start from: data, the batches of every step, initial weights and the optimizers' options."""

import numpy as np
from sklearn.datasets import load_digits

STEPS, STARTS = 200, 10
OPTIMIZERS = {
    "SGD": {"rate": 0.05},
    "SGD, nesterov": {"rate": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "Adam": {"rate": 1e-3},
    "Adam, amsgrad": {"rate": 3e-3, "betas": (0.8, 0.99), "weight_decay": 1e-2, "amsgrad": True},
}


def data(dtype):
    """Digits by their pixels, and the rows of each step's batch."""
    images, digits = load_digits(return_X_y=True)
    rows = np.random.default_rng(0).integers(len(images), size=(STEPS, 64))
    return (images / 16).astype(dtype), digits, rows


def weights(start, dtype):
    """A state dict under the keys and in the shapes that the two frameworks share; a float32 holds each value."""
    rng = np.random.default_rng(start)
    shapes = {"0.weight": (32, 64), "0.bias": (32,), "2.weight": (10, 32), "2.bias": (10,)}
    values = {name: rng.uniform(-1, 1, shape) / np.sqrt(shape[-1]) for name, shape in shapes.items()}
    return {name: array.astype(np.float32).astype(dtype) for name, array in values.items()}
