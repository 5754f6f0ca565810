"""PyTorch's names: what has another name here, or another module, or is absent, and the errors that say so."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, NoReturn, TypeVar

T = TypeVar("T")

# Classes and modules of PyTorch's with another name here.
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
# Keyword arguments with another name here.
OPTIONS = {"lr": "learning_rate", "params": "parameters"}
PYTORCH_OPTIONS = {ours: theirs for theirs, ours in OPTIONS.items()}
# Keyword arguments that no constructor has, and why.
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
# Explained by a parameter of ours, and so only where the constructor has it.
_INSTEAD = {**OPTIONS, "num_workers": "prefetch"}
_HOMES = (
    "numpyml", "numpyml.nn", "numpyml.nn.layers", "numpyml.nn.activations", "numpyml.nn.losses",
    "numpyml.nn.optimizers", "numpyml.nn.schedulers", "numpyml.nn.model", "numpyml.nn.init", "numpyml.nn.utils",
    "numpyml.data",
)  # fmt: skip


def unknown(module: str) -> Callable[[str], NoReturn]:
    """The ``__getattr__`` of a module: Python's own error; for a name of PyTorch's it adds the name here."""

    def look_up(name: str) -> NoReturn:
        plain = name.startswith("_") or not name.isidentifier() or _is_submodule(module, name)
        location = "" if plain else _location(name)
        here = f"; here it is {location}" if location else ""
        raise AttributeError(
            f"module {module!r} has no attribute {name!r}{here}", name=name, obj=sys.modules.get(module)
        )

    return look_up


def _is_submodule(module: str, name: str) -> bool:
    """Whether the name is a submodule about to be imported: Python asks for the attribute first."""
    return hasattr(sys.modules[module], "__path__") and find_spec(f"{module}.{name}") is not None


def _location(name: str) -> str:
    import numpy as np

    from numpyml.autograd.derivatives import TABLE  # not for `import numpyml` alone, as the homes

    ours = RENAMED.get(name, name)
    for home in _HOMES:
        if ours in import_module(home).__all__:
            return f"{home}.{ours}"
    function = vars(np).get(name)
    return f"np.{name}, which takes Tensors" if callable(function) and function in TABLE else ""


class ExplainsKeywords:
    """Base of classes whose constructors answer a keyword of PyTorch's with what it is here."""

    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        constructor: Any = cls.__init__
        signature = inspect.signature(constructor)
        own = list(signature.parameters.values())[1:] if constructor is not object.__init__ else []
        # Python 3.10 takes the signature of __new__ before that of an inherited __init__.
        cls.__signature__ = signature.replace(parameters=own)

    def __new__(cls: type[T], *arguments: Any, **options: Any) -> T:
        if not _KEYWORDS.keys().isdisjoint(options):
            _refuse(cls, options)
        return object.__new__(cls)


def _refuse(cls: type, options: dict[str, Any]) -> None:
    """Raise for the first keyword explained here, unless the constructor takes it or is not numpyml's."""
    constructor: Any = cls.__init__  # type: ignore[misc]  # read, not called
    accepted = inspect.signature(constructor).parameters
    if not constructor.__module__.startswith("numpyml.") or any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
        return
    for name in options:
        if name in _KEYWORDS and name not in accepted and _INSTEAD.get(name, "self") in accepted:
            raise TypeError(
                f"{constructor.__qualname__}() got an unexpected keyword argument {name!r}; {_KEYWORDS[name]}"
            )
