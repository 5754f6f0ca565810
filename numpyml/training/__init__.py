"""Training: ``fit``, the loop people write again and again, and the ``History`` it returns."""

from numpyml.training.history import History
from numpyml.training.loop import Run, fit

__all__ = ["History", "Run", "fit"]
