"""Activation layers."""

from numpyml.nn.activations.gates import GELU, Sigmoid, SiLU, Tanh
from numpyml.nn.activations.relu import ReLU
from numpyml.nn.activations.softmax import LogSoftmax, Softmax

__all__ = ["GELU", "LogSoftmax", "ReLU", "SiLU", "Sigmoid", "Softmax", "Tanh"]
