"""Neural networks: layers, activations, losses and optimizers, and the models made of them."""

from numpyml.nn import activations, init, layers, losses, model, optimizers, schedulers, utils
from numpyml.nn.module import Module, Parameter

__all__ = [
    "Module",
    "Parameter",
    "activations",
    "init",
    "layers",
    "losses",
    "model",
    "optimizers",
    "schedulers",
    "utils",
]
