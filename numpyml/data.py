"""Data: datasets over arrays, a split, and batches.

A dataset is any object with ``__len__`` and ``__getitem__``, such as a list. Where the rows are those of arrays, a
batch is read at once: in order as views, shuffled with one ``take`` for each array.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from math import ceil
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from numpyml.errors import DataError, DTypeError, OptionError, ShapeError, kind_of
from numpyml.names import ExplainsKeywords, unknown
from numpyml.options import array_or_none, flag, generator_or_none, integer, require
from numpyml.random import default_generator
from numpyml.typing import Array

__all__ = ["ArrayDataset", "DataLoader", "Dataset", "Subset", "train_test_split"]


class Dataset(Protocol):
    """What a :class:`DataLoader` reads. PyTorch: utils.data.Dataset.

    One that can read many rows faster together than one by one may also have ``batch(rows)``: rows is a slice or
    an array of row indices, the result is the batch that :class:`DataLoader` yields.
    """

    def __len__(self) -> int:
        """How many rows there are."""

    def __getitem__(self, index: Any, /) -> Any:
        """One row: an array, a number, or a tuple or dict of these."""


class ArrayDataset:
    """Arrays side by side: row i is a tuple of the i-th entry of each.

    Args:
        arrays: of one length, such as inputs and targets; they are not copied. Other values are converted to arrays.

    Raises: DataError without arrays or rows; ShapeError where lengths differ; DTypeError for what is no array.
    PyTorch: utils.data.TensorDataset.
    """

    def __init__(self, *arrays: ArrayLike) -> None:
        self.arrays = _table("ArrayDataset", arrays)

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(array[index] for array in self.arrays)

    def batch(self, rows: Any) -> tuple[Array, ...]:
        """Many rows at once: views for a slice, copies for indices."""
        return tuple(_rows_of(array, rows) for array in self.arrays)

    def __repr__(self) -> str:
        columns = ", ".join(f"{array.shape[1:]} {array.dtype}" for array in self.arrays)
        return f"ArrayDataset({_count(len(self))} of {columns})"


class Subset:
    """A subset of the rows of a dataset.

    Args:
        dataset: any dataset.
        indices: their indices in the dataset, or a mask.

    Raises: OptionError for an index out of range; ShapeError and DTypeError for what are not indices.
    PyTorch: utils.data.Subset.
    """

    def __init__(self, dataset: Dataset, indices: ArrayLike) -> None:
        self.dataset = dataset
        self.indices = _row_numbers(indices, len(dataset))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def batch(self, rows: Any) -> Any:
        """Many rows at once; views where they are consecutive rows of arrays."""
        inner = self.indices[rows]
        if not len(inner):
            return _batch(self.dataset, slice(0, 0))
        first, last = int(inner[0]), int(inner[-1])
        if last - first == len(inner) - 1 and bool((np.diff(inner) == 1).all()):
            return _batch(self.dataset, slice(first, last + 1))
        return _batch(self.dataset, inner)

    def __repr__(self) -> str:
        return f"Subset({_description(self.dataset)}, {_count(len(self))})"


def train_test_split(
    *data: Any, test_size: float = 0.25, seed: int | np.random.Generator | None = None, shuffle: bool = True
) -> list[Any]:
    """Split rows into those to train on and those held out.

    Args:
        data: arrays of one length, or one dataset.
        test_size: how much to hold out: a share (rounded up to an integer number of rows), or a number of rows.
        seed: the same split for the same seed; a generator; None draws from the one of ``manual_seed``.
        shuffle: False holds out the last rows; the parts of arrays are views then.

    Returns: of arrays, both parts of each in turn (``X_train, X_test, y_train, y_test``); of a dataset, two subsets.
    Raises: OptionError where a part would have no rows; DataError, ShapeError and DTypeError as :class:`ArrayDataset`.
    scikit-learn: model_selection.train_test_split, which can also keep the shares of classes (``stratify``).
    """
    name = "train_test_split"
    dataset = data[0] if len(data) == 1 and _is_dataset(data[0]) else None
    if dataset is None and (not data or any(not hasattr(x, "__len__") for x in data)):
        got = ", ".join(map(kind_of, data)) or "nothing"
        raise DTypeError(f"{name} expected arrays of rows, or one dataset, got {got}; call it as {name}(X, y)")
    arrays = () if dataset is not None else _table(name, data)
    n = len(dataset) if dataset is not None else len(arrays[0])
    test_rows = _test_rows(name, test_size, n)
    require(
        seed is None or isinstance(seed, np.random.Generator)
        or (isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and seed >= 0),
        name, "seed", seed, "an integer of 0 or more, a numpy.random.Generator or None",
    )  # fmt: skip
    parts: list[Any] = [slice(0, n - test_rows), slice(n - test_rows, n)]
    if flag(name, "shuffle", shuffle):
        order = (default_generator() if seed is None else np.random.default_rng(seed)).permutation(n)
        parts = [order[part] for part in parts]
    if dataset is not None:
        return [Subset(dataset, np.arange(n)[part] if isinstance(part, slice) else part) for part in parts]
    return [_rows_of(array, part) for array in arrays for part in parts]


class DataLoader(ExplainsKeywords):
    """Batches of a dataset: ``for x, y in loader``, again for every epoch.

    A batch is built as a row is: of tuples a tuple, of dicts a dict, with arrays of one more axis in front.
    Batches in order of arrays are views: change a copy of them, not them.

    Args:
        dataset: an :class:`ArrayDataset`, or anything else with a length and rows.
        batch_size: rows in a batch; the last one has what is left.
        shuffle: whether each epoch has an order of its own.
        drop_last: whether to leave out a last batch of fewer rows.
        generator: where the orders come from; by default the one of ``manual_seed``. One draw per epoch, when the loop
            begins.
        collate_fn: makes a batch of a list of rows.
        prefetch: how many batches a thread prepares ahead of the loop. The batches are the same. It pays where the
            dataset waits for something (files, a decoder that lets other threads run); batches of arrays in memory
            take less time than handing them over, 0 is right for them (``python -m benchmarks.loading`` measures both).
            Rows are then read in that thread, one batch at a time, and ahead of the loop: a dataset or collate_fn that
            draws random numbers needs a generator that nobody else draws from, or prefetch changes the batches.

    ``len(loader)`` is the number of batches.

    Raises: OptionError for options out of their range; DTypeError for what is no dataset; DataError for one without
        rows; in the loop, ShapeError and DTypeError for rows that do not stack.
    PyTorch: utils.data.DataLoader.
    """

    def __init__(
        self, dataset: Dataset, batch_size: int = 1, shuffle: bool = False, *, drop_last: bool = False,
        generator: np.random.Generator | None = None, collate_fn: Callable[[list[Any]], Any] | None = None,
        prefetch: int = 0,
    ) -> None:  # fmt: skip
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or getattr(dataset, "shape", 0) == ():
            got = "an iterator" if hasattr(dataset, "__next__") else kind_of(dataset)
            raise DTypeError(f"DataLoader expected a dataset, with a length and rows, got {got}; use ArrayDataset")
        if isinstance(dataset, Mapping) and 0 not in dataset:
            raise DTypeError(
                f"DataLoader expected a dataset, with a row for each number, got a {type(dataset).__name__} of "
                f"{', '.join(map(repr, dataset))}; make an ArrayDataset of its arrays"
            )
        if not len(dataset):
            raise DataError(f"DataLoader expected at least one row, got an empty {type(dataset).__name__}; add rows")
        self.dataset = dataset
        self.batch_size = integer(self, "batch_size", batch_size, 1)
        self.shuffle, self.drop_last = flag(self, "shuffle", shuffle), flag(self, "drop_last", drop_last)
        self.generator = generator_or_none(self, "generator", generator)
        valid = collate_fn is None or callable(collate_fn)
        require(valid, self, "collate_fn", collate_fn, "a function of a list of rows or None")
        self.collate_fn = collate_fn
        self.prefetch = integer(self, "prefetch", prefetch, 0)

    def __len__(self) -> int:
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        n, size = len(self.dataset), self.batch_size
        order = (self.generator or default_generator()).permutation(n) if self.shuffle else None
        parts = [slice(i * size, min((i + 1) * size, n)) for i in range(len(self))]
        rows = parts if order is None else [order[part] for part in parts]
        return self._ahead(rows) if self.prefetch else map(self._read, rows)

    def _read(self, rows: Any) -> Any:
        if self.collate_fn is not None:
            return self.collate_fn([self.dataset[i] for i in _numbers(rows)])
        return _batch(self.dataset, rows)

    def _ahead(self, rows: Sequence[Any]) -> Iterator[Any]:
        """The batches, ``prefetch`` of them submitted to a thread ahead of the loop."""
        pool = ThreadPoolExecutor(1)
        pending: deque[Future[Any]] = deque()
        try:
            for part in rows:
                pending.append(pool.submit(copy_context().run, self._read, part))  # the same default generator
                if len(pending) > self.prefetch:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:  # also where the loop is left early
            pool.shutdown(wait=False, cancel_futures=True)

    def __repr__(self) -> str:
        state = {name: getattr(self, name) for name in ("shuffle", "drop_last", "generator", "collate_fn", "prefetch")}
        options = [f"{name}={value!r}" for name, value in state.items() if value]
        return f"DataLoader({', '.join([_description(self.dataset), f'batch_size={self.batch_size}', *options])})"


globals()["__getattr__"] = unknown(__name__)  # as in numpyml/nn/__init__.py


# Rows


def _table(name: str, values: Sequence[ArrayLike]) -> tuple[Array, ...]:
    """Arrays of one length, of at least one row."""
    if not values:
        raise DataError(f"{name} expected at least one array, got none; pass inputs and targets")
    arrays = []
    for value in values:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise ShapeError(
                f"{name} expected rows of one shape in every array, got others: {error}; pad them, or pass a list of "
                "rows to DataLoader with a collate_fn"
            ) from None
        if array.dtype.kind == "O":
            raise DTypeError(f"{name} expected an array of numbers, got {kind_of(array)}; convert it first")
        if not array.ndim:
            raise ShapeError(f"{name} expected arrays with rows, got {kind_of(array)}; pass a row for each example")
        arrays.append(array)
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ShapeError(
            f"{name} expected arrays of one length, got lengths {' and '.join(map(str, lengths))}; "
            "each row of one belongs to the same row of the others"
        )
    if not lengths[0]:
        raise DataError(f"{name} expected at least one row, got arrays of length 0; add rows")
    return tuple(arrays)


def _rows_of(array: Array, rows: Any) -> Array:
    # take, the faster of the two, would first copy the whole of an array that is not contiguous
    return array[rows] if isinstance(rows, slice) or not array.flags.c_contiguous else array.take(rows, axis=0)


def _row_numbers(indices: ArrayLike, n: int) -> Array:
    """Non-negative row indices, from indices in [−n, n) or a mask."""
    array = array_or_none(indices)
    if array is None or array.ndim != 1:
        raise ShapeError(f"Subset expected row numbers in one axis, got {kind_of(indices)}; pass a list of them")
    if array.dtype.kind == "b":
        if len(array) != n:
            raise ShapeError(f"Subset expected a mask of {n} rows, got {len(array)}; pass one bool for each row")
        return np.flatnonzero(array)
    if array.dtype.kind not in "iu" and array.size:
        raise DTypeError(f"Subset expected row numbers, got {kind_of(array)}; pass integers or a mask")
    array = array.astype(np.intp)
    if (outside := array[(array < -n) | (array >= n)]).size:
        raise OptionError(f"Subset expected row numbers from {-n} to {n - 1}, got {outside[0]}; leave it out")
    return np.where(array < 0, array + n, array)


def _test_rows(name: str, test_size: Any, n: int) -> int:
    """The number of rows to hold out: at least 1, at most n − 1."""
    share = isinstance(test_size, (float, np.floating))
    whole = isinstance(test_size, (int, np.integer)) and not isinstance(test_size, bool)
    rows = 0
    if (share and 0 < test_size < 1) or whole:
        rows = ceil(test_size * n) if share else int(test_size)
    expected = f"a share between 0 and 1, or an integer number of rows, and to leave some of {n} on either side"
    require(0 < rows < n, name, "test_size", test_size, expected)
    return rows


def _is_dataset(data: Any) -> bool:
    """Whether this is a dataset rather than an array or a value to convert to one."""
    arraylike = isinstance(data, (list, tuple, Mapping)) or hasattr(data, "shape") or hasattr(data, "__array__")
    return not arraylike and hasattr(data, "__len__") and hasattr(data, "__getitem__")


def _numbers(rows: Any) -> Any:
    return range(rows.start, rows.stop) if isinstance(rows, slice) else rows.tolist()


# Batches


def _batch(dataset: Any, rows: Any) -> Any:
    """Rows of a dataset as a batch, read at once where the dataset has ``batch``."""
    whole = getattr(dataset, "batch", None)
    return whole(rows) if whole is not None else _collate([dataset[i] for i in _numbers(rows)])


def _collate(rows: list[Any]) -> Any:
    """Rows stacked along a new first axis, in tuples and dicts entry by entry."""
    if not rows:
        raise DataError("DataLoader expected at least one row, got none; leave the empty batch out")
    first = rows[0]
    _check_kinds(rows)
    if isinstance(first, Mapping):
        return {key: _collate([row[key] for row in rows]) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(_collate(list(column)) for column in zip(*rows, strict=True))
    if isinstance(first, (str, bytes)):
        return rows
    arrays = [np.asarray(row) for row in rows]
    if arrays[0].dtype.kind == "O":
        raise DTypeError(
            f"DataLoader expected rows of arrays, numbers, strings, tuples and dicts, got {kind_of(first)}; "
            "pass a collate_fn that makes a batch of a list of such rows"
        )
    for array in arrays:
        if array.shape != arrays[0].shape:
            raise ShapeError(
                f"DataLoader expected rows of one shape, got shapes {arrays[0].shape} and {array.shape}; "
                "pad them, or pass a collate_fn that does"
            )
    return np.stack(arrays)


def _check_kinds(rows: Sequence[Any]) -> None:
    """Refuse rows whose type, length or keys differ from those of the first."""
    first = rows[0]
    kind = Mapping if isinstance(first, Mapping) else (tuple, list) if isinstance(first, (tuple, list)) else None
    if kind is None:
        return
    for row in rows:
        if not isinstance(row, kind):
            expected, got = "of one kind", f"a {type(first).__name__} and {kind_of(row)}"
        elif isinstance(first, Mapping) and set(row) != set(first):
            expected, got = "of the same keys", f"{list(first)} and {list(row)}"
        elif len(row) != len(first):
            expected = "of one length"
            got = f"a {type(first).__name__} of {len(first)} and a {type(row).__name__} of {len(row)}"
        else:
            continue
        raise ShapeError(
            f"DataLoader expected rows {expected}, got {got}; pass a collate_fn that makes a batch of a list of them"
        )


def _count(rows: int) -> str:
    return f"{rows} row{'' if rows == 1 else 's'}"


def _description(dataset: Any) -> str:
    own = isinstance(dataset, (ArrayDataset, Subset))
    return repr(dataset) if own else f"{type(dataset).__name__} of {_count(len(dataset))}"
