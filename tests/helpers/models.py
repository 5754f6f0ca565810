"""Models and layers as a user writes them."""

import numpy as np

import numpyml
from numpyml.nn import Module, Parameter, activations, layers, model


class Residual(Module):
    """A user's model: control flow, a layer used twice, a parameter of its own."""

    def __init__(self, width, depth=2):
        self.width, self.depth = width, depth
        self.inner = layers.Dense(width, width, dtype=np.float64)
        self.scale = Parameter(np.ones(width), dtype=np.float64)

    def forward(self, x):
        for _ in range(self.depth):
            x = x + np.tanh(self.inner(x)) * self.scale
        return x


class Double(Module):
    """A user's layer: a pair of array functions, the short form of pullback."""

    def compute(self, x):
        return 2 * x, None

    def pullback(self, context, gy):
        return 2 * gy


class TwoOutputs(Module):
    """Several inputs and outputs."""

    def forward(self, a, b):
        return a * b, a - b


def small_net():
    numpyml.manual_seed(0)
    return model.Sequential(
        [layers.Dense(4, 5, dtype=np.float64), activations.Sigmoid(), Residual(5), layers.Dense(5, 3, dtype=np.float64)]
    )


def small(features, outputs):
    return model.Sequential(
        layers.Dense(features, 16), activations.Tanh(), layers.Dropout(0.1), layers.Dense(16, outputs)
    )
