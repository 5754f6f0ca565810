"""Neural networks: layers, activations, losses and optimizers, and the models made of them."""

import sys

from numpyml.names import unknown
from numpyml.nn import activations, init, layers, losses, model, optimizers, schedulers, utils
from numpyml.nn.module import Module
from numpyml.nn.parameter import Buffer, Parameter

__all__ = [
    "Buffer",
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

for _module in (sys.modules[__name__], activations, init, layers, losses, model, optimizers, schedulers, utils):
    vars(_module)["__getattr__"] = unknown(_module.__name__)  # not by `def`: a type checker would take any name then
