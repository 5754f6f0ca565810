"""What both frameworks start from: the data, the batch of every step, the initial weights, the optimizers' options."""

import numpy as np
from sklearn.datasets import load_digits

STEPS = 200
OPTIMIZERS = {
    "SGD": {"rate": 0.05},
    "SGD, momentum": {"rate": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "Adam": {"rate": 1e-3},
    "Adam, amsgrad": {"rate": 3e-3, "betas": (0.8, 0.99), "weight_decay": 1e-2, "amsgrad": True},
}


def data(dtype):
    """Digits by their pixels, and the rows of each step's batch."""
    images, digits = load_digits(return_X_y=True)
    rows = np.random.default_rng(0).integers(len(images), size=(STEPS, 64))
    return (images / 16).astype(dtype), digits, rows


def weights(dtype):
    """A state dict under the keys and in the shapes that the two frameworks share."""
    rng = np.random.default_rng(1)
    shapes = {"0.weight": (32, 64), "0.bias": (32,), "2.weight": (10, 32), "2.bias": (10,)}
    return {name: (rng.uniform(-1, 1, shape) / np.sqrt(shape[-1])).astype(dtype) for name, shape in shapes.items()}
