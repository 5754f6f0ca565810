"""Arguments of ``fit``: conversion of its data to batches, and checks that precede any change of state."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from numpyml import checkpoint as files
from numpyml.data import ArrayDataset, DataLoader, Subset
from numpyml.errors import DataError, DTypeError, OptionError, OwnershipError, kind_of
from numpyml.nn.module import Module
from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.schedulers import ReduceLROnPlateau
from numpyml.options import choice, require


def batches_of(data: Any, batch_size: int | None, shuffle: bool) -> Any:
    """An iterable of batches that can be iterated over once an epoch."""
    listed = isinstance(data, list) and all(
        isinstance(batch, (tuple, list)) and all(hasattr(part, "shape") for part in batch) for batch in data
    )
    if listed:
        _refuse_rows(data)
    if isinstance(data, (tuple, list)) and not (listed and data):
        data = ArrayDataset(*data)
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, list):
        return DataLoader(data, 32 if batch_size is None else batch_size, shuffle)
    if batch_size is not None:
        raise OptionError(
            f"fit expected batch_size for arrays and datasets only, got it with {type(data).__name__}; leave it out, "
            "or make a DataLoader of this size"
        )
    if hasattr(data, "__next__") or not hasattr(data, "__iter__"):
        got = "an iterator, which is used up after one epoch" if hasattr(data, "__next__") else kind_of(data)
        raise DTypeError(
            f"fit expected arrays (X, y), a dataset or a DataLoader, got {got}; make an ArrayDataset of it"
        )
    return data


def _refuse_rows(batches: Sequence[Any]) -> None:
    """Refuse a list of rows in place of batches: the arrays of a batch share their first length."""
    for batch in batches:
        shapes = [tuple(part.shape) for part in batch]
        if max(map(len, shapes), default=2) < 2 and (len(set(shapes)) > 1 or () in shapes):
            raise DataError(
                f"fit expected arrays (X, y) or batches, got a list of rows, the parts of one being of shapes "
                f"{' and '.join(map(str, shapes))}; make batches of them: DataLoader(rows, batch_size, shuffle=True)"
            )


def in_memory(batches: Any) -> bool:
    """Whether all the data is in memory, so that another pass over it is cheap."""
    while isinstance(batches, (DataLoader, Subset)):
        batches = batches.dataset
    return isinstance(batches, (list, tuple, ArrayDataset))


def check_model(model: Any, loss: Any, optimizer: Any) -> None:
    """Refuse what is not a model, a loss or an optimizer, and an optimizer of another model."""
    if not isinstance(model, Module):
        raise DTypeError(f"fit expected a model, got {kind_of(model)}; pass a Module, such as a Sequential")
    if not (hasattr(loss, "forward") and hasattr(loss, "backward")):
        raise DTypeError(
            f"fit expected a loss with forward and backward, got {kind_of(loss)}; pass one of numpyml.nn.losses, made "
            "with its options"
        )
    if not isinstance(optimizer, Optimizer):
        raise DTypeError(
            f"fit expected an optimizer of numpyml.nn.optimizers, got {kind_of(optimizer)}; "
            "make it from model.parameters(), model.gradients()"
        )
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["parameters"]):
        raise OwnershipError(
            "fit expected an optimizer of this model's parameters, got one of another's; "
            "make it from model.parameters(), model.gradients()"
        )


def check_schedule(optimizer: Optimizer, scheduler: Any, every: str) -> None:
    """Refuse a scheduler of another optimizer, and ReduceLROnPlateau after every step."""
    if scheduler is not None and getattr(scheduler, "optimizer", None) is not optimizer:
        raise OwnershipError("fit expected a scheduler of this optimizer; make it from the optimizer that fit receives")
    choice("fit", "scheduler_every", every, ("epoch", "step"))
    fits = every == "epoch" or not isinstance(scheduler, ReduceLROnPlateau)
    expected = "'epoch' for ReduceLROnPlateau, which needs a metric that is computed once an epoch"
    require(fits, "fit", "scheduler_every", every, expected)


def callback_list(callbacks: Any) -> list[Callable[[Any], Any]]:
    """The callbacks, of which there may be one alone."""
    calls: Any = [callbacks] if callable(callbacks) else callbacks
    valid = isinstance(calls, Iterable) and all(map(callable, calls := list(calls)))
    require(valid, "fit", "callbacks", callbacks, "functions of one argument")
    return list(calls)


def check_path(name: str, path: Any) -> None:
    """Refuse, as option ``name``, what is not a path, and a path in a folder that does not exist."""
    if path is not None:
        require(isinstance(path, (str, os.PathLike)), "fit", name, path, "a path")
        files.require_safetensors()
        folder = Path(path).resolve().parent
        require(folder.is_dir(), "fit", name, str(path), f"in a folder that exists; {folder} does not")
