"""Diagnosis of training: the first layer with an output that is not finite, and an activation that the loss repeats."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from numpyml import nested
from numpyml.autograd.tape import no_grad
from numpyml.autograd.tensor import Tensor
from numpyml.errors import DivergenceError, NumpymlError
from numpyml.nn import activations
from numpyml.nn.module import Module
from numpyml.nn.preserve import Call, observed, preserved
from numpyml.training.metrics import takes_logits


def warn_of_double_squashing(model: Module, loss: Any, calls: Sequence[Call], outputs: Any, stacklevel: int) -> None:
    """Warn where the outputs come from a Sigmoid or Softmax and the loss applies one itself."""
    squashing = (activations.Sigmoid, activations.Softmax)
    if not takes_logits(loss) or not isinstance(outputs, np.ndarray):
        return
    for module, _, y, _ in calls:
        if isinstance(module, squashing) and np.may_share_memory(_arrays(y)[0], outputs):
            location = NumpymlError("", module).located(model).location
            warnings.warn(
                f"the model ends in {location}, and {type(loss).__name__} expects logits: it applies a "
                f"{'sigmoid' if 'Binary' in type(loss).__name__ else 'softmax'} itself, so it is applied twice and the "
                "model learns slowly or not at all; leave the last layer out of the model and apply it to predictions",
                stacklevel=stacklevel,
            )
            return


class FloatingPointWarnings:
    """NumPy's floating-point warnings, deferred while a step runs.

    Where a loss is not finite, the diagnosis replaces them; else they are issued after the epoch, or at Ctrl-C. Where
    ``np.errstate`` chose another reaction than a warning, that reaction is immediate.
    """

    def __init__(self) -> None:
        reactions = np.geterr()
        taken = {"call", "log"} & set(reactions.values())  # NumPy has one object for both, and it is the user's
        self.kinds: Any = {k: "call" for k, how in reactions.items() if how == "warn" and not taken}
        self.seen: dict[str, None] = {}

    def deferred(self) -> Any:
        """A context in which they are recorded instead of issued."""
        return np.errstate(**self.kinds, call=self._note) if self.kinds else nullcontext()

    def _note(self, kind: str, flag: int) -> None:
        self.seen[kind] = None

    def issue(self, stacklevel: int) -> None:
        """Issue the recorded warnings."""
        seen, self.seen = self.seen, {}
        for kind in seen:
            option = kind.split()[0].removesuffix("flow")  # NumPy's word for it
            warnings.warn(
                f"{kind} encountered in fit, though all losses are finite; "
                f"call it inside np.errstate({option}='raise') to see where",
                RuntimeWarning,
                stacklevel=stacklevel,
            )


def finite(arrays: Sequence[Any]) -> bool:
    """Whether all elements of all arrays are finite."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


def divergence(
    model: Module, loss: Any, batch: Sequence[Any], event: str, consequence: str
) -> tuple[DivergenceError, bool]:
    """The error that names the origin of a loss that is not finite, and whether that is the data.

    Args:
        model: in the state in which the loss was computed: the batch is run again.
        loss: its loss function.
        batch: inputs and targets.
        event: the loss and the step.
        consequence: the state of the model, where the cause is not the data.
    """
    *inputs, targets = batch
    for x, name in (*((x, "inputs") for x in inputs), (targets, "targets")):
        for array in _arrays(x):
            if not finite([array]):
                bad = ~np.isfinite(array)
                return DivergenceError(
                    f"fit expected finite {name}, got {int(bad.sum())} NaN or infinite values, the first in row "
                    f"{int(np.argwhere(np.atleast_1d(bad))[0][0])} of the batch: {event}. Correct the data; the model "
                    "is as it was before this batch"
                ), True
    with preserved(model), no_grad(), np.errstate(all="ignore"), observed(model) as calls:
        outputs = _arrays(model.forward(*inputs))
    remedy = f"Lower the learning rate, or clip gradients with clip_grad_norm=1.0; {consequence}"
    for module, arguments, y, _ in calls:
        xs, ys = _arrays(arguments), _arrays(y)
        if finite(xs) and not finite(ys):  # outer and later modules only propagate it
            bad_names = [n for n, p in module.named_parameters() if "." not in n and not finite([p.data])]
            why = f"its {' and '.join(bad_names)} no longer finite" if bad_names else f"from inputs {_range_of(xs)}"
            error = DivergenceError(f"gave the first values that are not finite, {why}: {event}. {remedy}", module)
            error.located(model)
            return error, False
    return DivergenceError(
        f"fit expected a finite loss: {event}, and {loss!r} itself is where it first is not: the model's outputs are "
        f"{_range_of(outputs)}. {remedy}"
    ), False


def _range_of(arrays: Sequence[Any]) -> str:
    return f"of at most {max((float(np.abs(x).max(initial=0)) for x in arrays), default=0.0):.3g} in size"


def _arrays(values: Any) -> list[Any]:
    """The numeric arrays among values, Tensors included."""
    arrays = [np.asarray(part.data if isinstance(part, Tensor) else part) for part in nested.leaves(values)]
    return [array for array in arrays if array.dtype.kind in "iuf"]
