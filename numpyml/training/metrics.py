"""Metrics by name: scikit-learn's, computed from the outputs of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from numpyml.errors import OptionError, ShapeError, kind_of, missing_package
from numpyml.nn import losses
from numpyml.options import require
from numpyml.typing import Array

Metric = Callable[[Array, Array], float]

GREATER_IS_BETTER = ("accuracy", "f1", "r2")
NAMES = (*GREATER_IS_BETTER, "mae")


def takes_logits(loss: Any) -> bool:
    """Whether the loss applies a sigmoid or softmax itself."""
    return isinstance(loss, (losses.BinaryCrossEntropyWithLogits, losses.CrossEntropyWithLogits))


def metric_functions(metrics: Any, loss: Any) -> dict[str, Metric]:
    """Functions of (outputs, targets) by name, from names, functions, or a dict that names them."""
    if isinstance(metrics, str) or callable(metrics):
        metrics = [metrics]
    if isinstance(metrics, Mapping):
        named = dict(metrics)
    elif isinstance(metrics, Iterable):
        metrics = list(metrics)
        names = [m if isinstance(m, str) else getattr(m, "__name__", str(m)) for m in metrics]
        if twice := [name for name in names if names.count(name) > 1]:
            raise OptionError(f"fit expected metrics of different names, got {twice[0]} twice; name them in a dict")
        named = dict(zip(names, metrics, strict=True))
    else:
        raise OptionError(
            f"fit expected metrics to be names or functions, got {kind_of(metrics)}; "
            f"pass any of {', '.join(NAMES)}, or functions of outputs and targets"
        )
    if "loss" in named:
        raise OptionError(
            "fit expected metrics of names of their own, got loss, but val_loss is the loss itself; "
            "name it otherwise, in a dict"
        )
    functions: dict[str, Metric] = {}
    for name, metric in named.items():
        valid = callable(metric) or (isinstance(metric, str) and metric in NAMES)
        require(valid, "fit", "metrics", metric, f"any of {', '.join(NAMES)}, or functions of outputs and targets")
        functions[name] = _by_name(metric, loss) if isinstance(metric, str) else metric
    return functions


def _by_name(name: str, loss: Any) -> Metric:
    try:
        from sklearn import metrics  # optional, and slow to import
    except ImportError:
        own = ", or pass a function of your own"
        raise missing_package(f"the metric {name}", "scikit-learn", "training", own) from None
    if name == "accuracy":
        return lambda outputs, targets: float(metrics.accuracy_score(*classes_of(outputs, targets, loss)))
    if name == "f1":
        return lambda outputs, targets: _f1(metrics.f1_score, *classes_of(outputs, targets, loss), outputs)
    score = metrics.r2_score if name == "r2" else metrics.mean_absolute_error
    return lambda outputs, targets: float(score(_columns(targets), _columns(outputs)))


def _f1(score: Any, truth: Array, decisions: Array, outputs: Array) -> float:
    """F1 score of the positive class where there are two, else the mean over the classes."""
    classes = outputs.shape[1] if outputs.ndim > truth.ndim else 2
    macro = truth.ndim > 1 or classes > 2
    return float(score(truth, decisions, average="macro" if macro else "binary", zero_division=0))


def classes_of(outputs: Array, targets: Array, loss: Any) -> tuple[Array, Array]:
    """The true classes and the predicted ones.

    Outputs with a class axis: the class of the largest; (N, C, ...) with targets (N, ...), or probabilities (N, C, ...)
    where the loss is over classes. Outputs of the targets' shape: binary, in every column.
    """
    over_classes = isinstance(loss, losses.CrossEntropyWithLogits)
    if outputs.ndim == targets.ndim + 1 or (over_classes and outputs.shape == targets.shape):
        truth = targets if outputs.ndim > targets.ndim else targets.argmax(axis=1)
        truth, decisions = truth.reshape(-1), outputs.argmax(axis=1).reshape(-1)
        counted = truth != getattr(loss, "ignore_index", None)
        return truth[counted], decisions[counted]
    yes = outputs > (0 if takes_logits(loss) else 0.5)
    truth, decisions = (np.asarray(x).astype(np.int64) for x in (targets > 0.5, yes))
    flat = truth.ndim < 2 or truth[0].size == 1
    return (truth.reshape(-1), decisions.reshape(-1)) if flat else (_columns(truth), _columns(decisions))


def _columns(x: Array) -> Array:
    return x.reshape(len(x), -1)


def concatenate(parts: Sequence[Any]) -> Any:
    """All outputs or all targets of the validation, concatenated for the metrics."""
    require_same_row_shape(map(np.shape, parts))
    return np.concatenate(parts)


def require_same_row_shape(shapes: Iterable[tuple[int, ...]]) -> None:
    """Refuse batches that cannot be concatenated."""
    first: tuple[int, ...] | None = None
    for shape in shapes:
        first = first or shape
        if shape[1:] != first[1:]:
            raise ShapeError(
                "fit expected batches of the validation that differ in their rows alone, to compute metrics on all of "
                f"them, got {first} and {shape}; pad them, or leave metrics out"
            )
