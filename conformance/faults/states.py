"""Faults in the state of a module: gradients, modes, state dicts, copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.faults.fault import Fault
from numpyml.nn import Parameter, layers, module


def _overwriting(right: Any) -> Any:
    def pullback(self: Any, x: Any, gy: Any, needs_input_grad: Any = (True,)) -> Any:
        self.weight.grad.fill(0)
        return right(self, x, gy, needs_input_grad)

    return pullback


def _ignored(right: Any) -> Any:
    return lambda self: None


def _shallow(right: Any) -> Any:
    def train(self: Any, mode: bool = True) -> Any:
        self.training = mode
        return self

    return train


def _reordered(right: Any) -> Any:
    return lambda self: dict(reversed(right(self).items()))


def _uncopied(right: Any) -> Any:
    def load_state_dict(self: Any, state: Any) -> None:
        right(self, state)
        for name, parameter in self.named_parameters():
            parameter._data = np.asarray(state[name])

    return load_state_dict


class _Shared(np.ndarray[Any, Any]):
    def __deepcopy__(self, memo: Any) -> Any:
        return self


def _rebuilt(data: Any, grad: Any) -> Any:
    parameter = Parameter(data, dtype=data.dtype)
    parameter._grad = grad
    return parameter


def _sharing(right: Any) -> Any:
    return lambda self: (_rebuilt, (self._data, self._grad.view(_Shared)))


FAULTS = [
    Fault("weight gradient overwritten, not added to", "Dense", "accumulation", layers.Dense, "pullback", _overwriting),
    Fault("zero_grad does nothing", "Dense", "accumulation", Parameter, "zero_grad", _ignored),
    Fault("train stops at the first module", "Sequential", "modes", module.Module, "train", _shallow),
    Fault("state dict in another order", "Dense", "state_dict", module.Module, "state_dict", _reordered),
    Fault("a loaded state is not copied", "Dense", "state_dict", module.Module, "load_state_dict", _uncopied),
    Fault("a copy shares its gradients", "Dense", "copies", Parameter, "__reduce__", _sharing),
]
