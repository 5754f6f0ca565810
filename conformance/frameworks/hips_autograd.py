"""HIPS autograd, as the checks see it: NumPy's functions and their vector-Jacobian products.

It has no modules. Its optimizers (``autograd.misc.optimizers``) are functions that run a whole training loop, and there
is no asking them for a single step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import autograd.numpy
from autograd import make_vjp
from autograd.builtins import isinstance, list, tuple  # which see through what is traced

from conformance.bound import Array
from conformance.frameworks import NotOffered

NAME = "autograd"
NAMESPACE = autograd.numpy


def differentiate(
    function: Callable[..., Any], operands: Sequence[Array], gys: Sequence[Array]
) -> tuple[list[Array], list[Array]]:
    def outputs(*xs: Any) -> Any:
        ys = function(*xs)
        return tuple(ys if isinstance(ys, (list, tuple)) else [ys])

    try:
        vjp, ys = make_vjp(outputs, range(len(operands)))(*operands)
        return list(ys), list(vjp(tuple(gys)))
    except (KeyError, AssertionError) as lacking:
        # A function without any derivative raises NotImplementedError, which is NotOffered.
        raise NotOffered(f"the derivative by argument {lacking}") from lacking
