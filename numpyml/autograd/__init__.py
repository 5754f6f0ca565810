"""Automatic differentiation: a tape recorded as NumPy code runs, and the table of NumPy's derivatives."""

from numpyml.autograd.tape import is_recording, no_grad
from numpyml.autograd.tensor import Tensor

__all__ = ["Tensor", "is_recording", "no_grad"]
