"""Training: ``fit``, a training loop, and the ``History`` that it returns."""

from numpyml.training.history import History
from numpyml.training.loop import Run, fit

__all__ = ["History", "Run", "fit"]
