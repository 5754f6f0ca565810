"""numpyml: a neural-network framework in NumPy, held to PyTorch by the suite beside it."""

from numpyml.autograd import Tensor, is_recording, no_grad
from numpyml.memory import keep_freed_memory
from numpyml.random import manual_seed

__all__ = ["Tensor", "is_recording", "manual_seed", "no_grad"]
__version__ = "0.1.0"

keep_freed_memory()
