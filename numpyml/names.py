"""PyTorch's names, for whoever types one: what stands here under another name, or elsewhere, or not at all."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import FunctionType
from typing import Any, NoReturn

RENAMED = {
    "BCEWithLogitsLoss": "BinaryCrossEntropyWithLogits",
    "CrossEntropyLoss": "CrossEntropyWithLogits",
    "HuberLoss": "Huber",
    "Linear": "Dense",
    "MSELoss": "MeanSquaredError",
    "TensorDataset": "ArrayDataset",
    "lr_scheduler": "schedulers",
    "optim": "optimizers",
    "tensor": "Tensor",
}
# Keyword arguments of PyTorch's that no constructor has, and why.
ABSENT = {
    "inplace": "nothing that a caller holds is written to",
    "device": "there is one device",
    "sparse": "gradients are arrays, which optimizers hold on to; there are no sparse ones",
    "enable_nested_tensor": "an implementation switch of PyTorch's",
    "mask_check": "an implementation switch of PyTorch's",
    "size_average": "deprecated by PyTorch in favour of reduction",
    "reduce": "deprecated by PyTorch in favour of reduction",
    "foreach": "an implementation switch of PyTorch's",
    "fused": "an implementation switch of PyTorch's",
    "capturable": "an implementation switch of PyTorch's",
    "differentiable": "an implementation switch of PyTorch's",
    "params": "parameters and gradients are two lists here",
    "num_workers": "batches are made ahead in a thread, with prefetch",
    "pin_memory": "there is one device",
}
_KEYWORDS = {**ABSENT, "lr": "its name here is learning_rate"}
# Those that are explained by a parameter of ours, and so only to a constructor that has it.
_INSTEAD = {"lr": "learning_rate", "params": "parameters", "num_workers": "prefetch"}
_HOMES = (
    "numpyml", "numpyml.nn", "numpyml.nn.layers", "numpyml.nn.activations", "numpyml.nn.losses",
    "numpyml.nn.optimizers", "numpyml.nn.schedulers", "numpyml.nn.model", "numpyml.nn.init", "numpyml.nn.utils",
    "numpyml.data",
)  # fmt: skip


def unknown(module: str) -> Callable[[str], NoReturn]:
    """The ``__getattr__`` of a module: Python's own error, and where the name is PyTorch's, what it is here."""

    def look_up(name: str) -> NoReturn:
        plain = name.startswith("_") or not name.isidentifier() or _is_submodule(module, name)
        place = "" if plain else _place(name)
        here = f"; here it is {place}" if place else ""
        raise AttributeError(
            f"module {module!r} has no attribute {name!r}{here}", name=name, obj=sys.modules.get(module)
        )

    return look_up


def _is_submodule(module: str, name: str) -> bool:
    """One that is about to be imported: Python asks for the attribute first."""
    return hasattr(sys.modules[module], "__path__") and find_spec(f"{module}.{name}") is not None


def _place(name: str) -> str:
    import numpy as np

    from numpyml.autograd.derivatives import TABLE  # not for `import numpyml` alone, as the homes

    ours = RENAMED.get(name, name)
    for home in _HOMES:
        if ours in import_module(home).__all__:
            return f"{home}.{ours}"
    function = vars(np).get(name)
    return f"np.{name}, which takes Tensors" if callable(function) and function in TABLE else ""


def explain_keywords(cls: type) -> None:
    """Have the constructor of a class of this package say what a keyword of PyTorch's is here."""
    made = vars(cls).get("__init__")
    if not cls.__module__.startswith("numpyml.") or not isinstance(made, FunctionType):
        return

    @functools.wraps(made)
    def construct(self: Any, *arguments: Any, **options: Any) -> None:
        if not _KEYWORDS.keys().isdisjoint(options):
            _refuse(made, options)
        made(self, *arguments, **options)

    cls.__init__ = construct  # type: ignore[misc]  # what it takes is unchanged


def _refuse(made: FunctionType, options: dict[str, Any]) -> None:
    """Raise for the first keyword that is PyTorch's and explained here, unless this constructor takes it."""
    known = inspect.signature(made).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for name in options:
        if name in _KEYWORDS and name not in known and _INSTEAD.get(name, "self") in known:
            raise TypeError(f"{made.__qualname__}() got an unexpected keyword argument {name!r}; {_KEYWORDS[name]}")
