"""The PyTorch adapter. PyTorch is imported on first use."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from conformance.errors import Misuse
from numpyml import nested
from numpyml.typing import Array

SUPPORTED = "2.13.0"
REMEDY = f"pip install torch=={SUPPORTED} (the CPU build: see the selector on pytorch.org)"


def supported() -> None:
    """Raise Misuse, with the remedy, unless the supported PyTorch is installed."""
    try:
        import torch
    except ImportError as error:
        cause = None if isinstance(error, ModuleNotFoundError) else error  # an incomplete installation
        raise Misuse(f"PyTorch {SUPPORTED} is needed, which is not installed here: {REMEDY}") from cause
    version = torch.__version__.split("+")[0]
    if version != SUPPORTED:
        raise Misuse(f"PyTorch {SUPPORTED} is needed, found {torch.__version__}: {REMEDY}")


def require() -> None:
    """Check the version as :func:`supported` does; set warning filters and the number of threads."""
    supported()
    import torch

    warnings.filterwarnings("ignore", "Initializing zero-element tensors", UserWarning)  # empty layers
    warnings.filterwarnings("ignore", ".*egrees of freedom")  # both frameworks warn; the NaN is compared
    warnings.filterwarnings("ignore", "Mean of empty slice")
    warnings.filterwarnings("ignore", "Support for mismatched")  # masks of two dtypes in one call
    warnings.filterwarnings("ignore", "enable_nested_tensor is True")  # an implementation option
    warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")  # schedules are stepped without optimizers
    warnings.filterwarnings("ignore", "The epoch parameter in `scheduler.step")  # SequentialLR passes it itself
    torch.set_num_threads(1)  # the arrays are small, and results must not depend on how work is split


def attribute(path: str) -> Any:
    """The class of a name such as ``"nn.Linear"``; ``"counterparts.X"`` is class X of counterparts.py."""
    import torch

    value: Any = torch
    first, _, rest = path.partition(".")
    if first == "counterparts":
        from conformance.frameworks import counterparts as value

        path = rest
    for part in path.split("."):
        value = getattr(value, part)
    return value


def make(component: str, options: Mapping[str, Any], dtype: Any) -> Any:
    """A new module. Arrays in the options become tensors; ModuleList and ModuleDict apply their modules in order."""
    import torch

    arguments = {
        name: tensor(value.astype(dtype)) if isinstance(value, np.ndarray) else value for name, value in options.items()
    }
    kind = attribute(component)
    if issubclass(kind, (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict)):
        (inside,) = arguments.values()
        if kind is not torch.nn.Sequential:
            return applied(kind(inside))
        return kind(OrderedDict(inside)) if isinstance(inside, dict) else kind(*inside)
    return kind(**arguments).to(torch.float64 if np.dtype(dtype) == np.float64 else torch.float32)


def call(module: Any, inputs: list[Any], further: Mapping[str, Any]) -> Any:
    """Call the module; arrays become tensors, also in tuples, lists and dicts."""

    def converted(x: Any) -> Any:
        return tensor(x) if isinstance(x, (np.ndarray, np.generic)) else x

    options = {name: converted(x) for name, x in further.items()}
    return module(*(nested.map_leaves(converted, x) for x in inputs), **options)


def optimizer(component: str, groups: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Any:
    """A new optimizer; a group has lists of arrays, ``params`` and ``grads``, and its own options."""
    tensor_groups = [{**group, "params": [tensor(p, True) for p in group["params"]]} for group in groups]
    for group in tensor_groups:
        for p, g in zip(group["params"], group.pop("grads"), strict=True):
            p.grad = tensor(g)
    return attribute(component)(tensor_groups, **options)


def scheduler(component: str, optimizer: Any, options: Mapping[str, Any]) -> Any:
    """A new learning-rate schedule of this optimizer."""
    return attribute(component)(optimizer, **options)


def scheduler_step(scheduler: Any, metric: float | None = None) -> None:
    """Step the schedule, with a metric if it takes one."""
    scheduler.step() if metric is None else scheduler.step(metric)


def rates(optimizer: Any) -> list[dict[str, Any]]:
    """The options of each group that schedules set."""
    names = ("lr", "momentum", "betas")
    return [{name: group[name] for name in names if name in group} for group in optimizer.param_groups]


def applied(modules: Any) -> Any:
    """A module that applies the modules of a ModuleList or ModuleDict in order."""
    from torch import nn

    class Apply(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.modules_in_turn = modules

        def forward(self, x: Any) -> Any:
            for module in modules.values() if isinstance(modules, nn.ModuleDict) else modules:
                x = module(x)
            return x

    return Apply()


def dropout_modules(module: Any) -> list[Any]:
    """The modules inside that apply dropout."""
    import torch

    kinds = (torch.nn.Dropout, torch.nn.MultiheadAttention, attribute("counterparts.ScaledDotProductAttention"))
    return [inner for inner in module.modules() if isinstance(inner, kinds)]


def seed(number: int) -> None:
    """Seed PyTorch's CPU generator.

    ``torch.manual_seed`` also records the call and its stack for devices that are not initialized. That takes a third
    of the time of a Transformer, and memory that is never released.
    """
    import torch

    torch.default_generator.manual_seed(number)


def no_grad() -> AbstractContextManager[Any]:
    """A context manager inside which nothing is recorded."""
    import torch

    context: AbstractContextManager[Any] = torch.no_grad()
    return context


def tensor(x: Array | np.generic, requires_grad: bool = False) -> Any:
    """A tensor copy of the array; integers become int64, the dtype of PyTorch's indices."""
    import torch

    values = np.array(x, order="C")
    if values.dtype.kind in "iu":
        values = values.astype(np.int64)
    leaf = torch.from_numpy(values)
    return leaf.requires_grad_() if requires_grad and values.dtype.kind == "f" else leaf


def gradients(outputs: Sequence[Any], leaves: Sequence[Any], gys: Sequence[Array]) -> list[Array]:
    """The gradient of each leaf; zeros where no output depends on it."""
    import torch

    pairs = [(y, tensor(gy.astype(_numpy(y).dtype))) for y, gy in zip(outputs, gys, strict=True) if y.requires_grad]
    if not pairs or not leaves:
        return [np.zeros_like(_numpy(leaf)) for leaf in leaves]
    grads = torch.autograd.grad([y for y, _ in pairs], leaves, [g for _, g in pairs], allow_unused=True)
    return [np.zeros_like(_numpy(leaf)) if g is None else _numpy(g) for leaf, g in zip(leaves, grads, strict=True)]


def array(x: Any) -> Array:
    """A copy of a tensor's values."""
    return np.array(_numpy(x))


def _numpy(x: Any) -> Array:
    values: Array = x.detach().numpy()
    return values


def buffers(module: Any) -> dict[str, Array]:
    """The buffers of a module, by their names in the state dict."""
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    return {name: array(x) for name, x in module.state_dict().items() if name not in parameters}


def dims(a: Any, axis: Any) -> tuple[int, ...]:
    """NumPy's ``axis`` as PyTorch's tuple ``dim``."""
    return tuple(range(a.ndim)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)


def with_axis(a: Any, axis: int | None) -> tuple[Any, int]:
    """The tensor and its axis; the flattened tensor and 0 if ``axis`` is None."""
    return (a.reshape(-1), 0) if axis is None else (a, axis)


def scan(function: Any, a: Any, axis: int | None, keepdims: bool, *rest: Any) -> Any:
    """A function along one axis, or of the flattened tensor."""
    y = function(*with_axis(a, axis), *rest)
    if not keepdims:
        return y
    return y.reshape((1,) * a.ndim) if axis is None else y.unsqueeze(axis)


def take(x: Any, indices: Array) -> Any:
    """The elements at these indices of the flattened tensor."""
    return x.reshape(-1)[tensor(np.asarray(indices))]
