"""Layers: one file a family."""

from numpyml.nn.layers.dense import Dense
from numpyml.nn.layers.dropout import Dropout
from numpyml.nn.layers.flatten import Flatten

__all__ = ["Dense", "Dropout", "Flatten"]
