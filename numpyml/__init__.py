"""numpyml: a neural-network framework in NumPy, compared with PyTorch by the suite ``conformance``."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from numpyml.autograd import Tensor, is_recording, no_grad
from numpyml.names import unknown
from numpyml.random import manual_seed

if TYPE_CHECKING:
    from numpyml import data, generation, nn, training
    from numpyml.autograd.gradcheck import gradcheck
    from numpyml.checkpoint import load, save

__all__ = [
    "Tensor", "data", "generation", "gradcheck", "is_recording", "load", "manual_seed", "nn", "no_grad", "save",
    "training",
]  # fmt: skip
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # imported when first used: `import numpyml` alone stays cheap
    if name == "gradcheck":
        from numpyml.autograd.gradcheck import gradcheck

        return gradcheck
    if name in ("load", "save"):
        return getattr(import_module("numpyml.checkpoint"), name)
    if name in ("data", "generation", "nn", "training"):
        return import_module(f"numpyml.{name}")
    return unknown(__name__)(name)
