"""The adapter of mygrad: NumPy's functions on tensors. Layers and optimizers for it are in mynn: mynn.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import mygrad
import numpy as np

from conformance.frameworks import NotOffered
from numpyml.typing import Array

NAME = "mygrad"
NAMESPACE = SimpleNamespace(**{name: getattr(mygrad, name) for name in dir(mygrad)})
# The same functions, but their argument has another name.
NAMESPACE.reshape = lambda a, shape: mygrad.reshape(a, shape)
NAMESPACE.transpose = lambda a, axes: mygrad.transpose(a, axes)


def differentiate(
    function: Callable[..., Any], operands: Sequence[Array], gys: Sequence[Array]
) -> tuple[list[Array], list[Array]]:
    tensors = [mygrad.tensor(x) for x in operands]
    try:
        y = mygrad.astensor(function(*tensors))
    except ValueError as refusal:
        if "non-constant" in str(refusal):  # mygrad's message for a function without a derivative
            raise NotOffered(str(refusal)) from refusal
        raise
    y.backward(*gys)  # no function of mygrad's gives several arrays
    return [y.data], [np.zeros_like(x) if t.grad is None else t.grad for x, t in zip(operands, tensors, strict=True)]
