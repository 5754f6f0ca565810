"""Optimizers: gradient descent on parameters and gradients, in place."""

from numpyml.nn.optimizers.adam import Adam, AdamW
from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
