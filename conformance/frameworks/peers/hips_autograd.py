"""The adapter of HIPS autograd: NumPy's functions and their vector-Jacobian products.

It has no modules. Its optimizers (``autograd.misc.optimizers``) are functions that run a whole training loop, and
cannot do a single step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import autograd.numpy
from autograd import make_vjp
from autograd.builtins import isinstance, list, tuple  # noqa: A004  # these recognize traced values

from conformance.frameworks import NotOffered
from numpyml.typing import Array

NAME = "autograd"
NAMESPACE = SimpleNamespace(**vars(autograd.numpy))
NAMESPACE.broadcast_to = lambda x, shape: autograd.numpy.broadcast_to(x, shape)  # it takes shape by position only
warnings.filterwarnings("ignore", "Output seems independent of input")  # of np.floor it is


def differentiate(
    function: Callable[..., Any], operands: Sequence[Array], gys: Sequence[Array]
) -> tuple[list[Array], list[Array]]:
    def outputs(*xs: Any) -> Any:
        ys = function(*xs)
        return tuple(ys if isinstance(ys, (list, tuple)) else [ys])

    try:
        vjp, ys = make_vjp(outputs, [*range(len(operands))])(*operands)
        return list(ys), list(vjp(tuple(gys)))
    except (KeyError, AssertionError) as error:
        # Usually autograd raises NotImplementedError; for a third argument and some options ("Only constant mode
        # padding is supported."), one of these.
        if str(error):
            raise NotOffered(f"no derivative: {error}") from error
        raise
    except TypeError as error:
        if "returned NotImplemented" in str(error):  # NumPy's message for a call it cannot dispatch, as clip's
            raise NotOffered(f"no derivative: {error}"[:100]) from error
        raise
