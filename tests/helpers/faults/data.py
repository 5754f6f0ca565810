"""Faults in datasets, splits and loaders."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from math import floor
from typing import Any

import numpy as np

from faults import instead, seen_by
from numpyml import data
from numpyml.data import DataLoader, Subset

TEST = "test_data.py"


def _one_order(right: Any) -> Any:
    def iterate(self: Any) -> Any:
        generator = self.generator or data.default_generator()
        state = generator.bit_generator.state
        batches = list(right(self))
        generator.bit_generator.state = state
        return iter(batches)

    return iterate


def _draws_always(right: Any) -> Any:
    def iterate(self: Any) -> Any:
        data.default_generator().permutation(len(self.dataset))
        return right(self)

    return iterate


def _copies(right: Any) -> Any:
    return lambda array, rows: right(array, rows).copy()


def _memory_order(right: Any) -> Any:
    def rows_of(array: Any, rows: Any) -> Any:
        if isinstance(rows, slice) or array.flags.c_contiguous or not array.flags.f_contiguous:
            return right(array, rows)
        return array.ravel("K").reshape(array.shape).take(rows, axis=0)

    return rows_of


def _last_batch(right: Any) -> Any:
    return lambda self: -(-len(self.dataset) // self.batch_size)


def _inner_rows(right: Any) -> Any:
    return lambda self, rows: data._batch(self.dataset, rows)


def _consecutive(right: Any) -> Any:
    def batch(self: Any, rows: Any) -> Any:
        inner = self.indices[rows]
        if len(inner) and inner[-1] - inner[0] == len(inner) - 1:
            return data._batch(self.dataset, slice(int(inner[0]), int(inner[-1]) + 1))
        return right(self, rows)

    return batch


def _negative_left(right: Any) -> Any:
    def row_numbers(indices: Any, n: int) -> Any:
        right(indices, n)
        array = np.asarray(indices)
        return array % (n - 1) if array.dtype.kind in "iu" and (array < 0).any() else right(indices, n)

    return row_numbers


def _rounded_down(right: Any) -> Any:
    def test_rows(name: str, test_size: Any, n: int) -> int:
        right(name, test_size, n)
        return max(1, floor(test_size * n)) if isinstance(test_size, float) else test_size

    return test_rows


def _first_rows_held_out(right: Any) -> Any:
    def split(*arrays: Any, shuffle: bool = True, **options: Any) -> Any:
        if shuffle or data._is_dataset(arrays[0]):
            return right(*arrays, shuffle=shuffle, **options)
        return [np.flip(part, 0) for part in right(*(np.flip(a, 0) for a in arrays), shuffle=False, **options)]

    return split


def _shuffled_each(right: Any) -> Any:
    def split(*arrays: Any, seed: Any = None, **options: Any) -> Any:
        return [part for a in arrays for part in right(a, seed=None, **options)]

    return split


def _seed_ignored(right: Any) -> Any:
    return lambda *arrays, seed=None, **options: right(*arrays, seed=None, **options)


def _as_floats(right: Any) -> Any:
    def collate(rows: list[Any]) -> Any:
        batch = right(rows)
        return batch.astype(np.float64) if isinstance(batch, np.ndarray) else batch

    return collate


def _lists(right: Any) -> Any:
    return lambda rows: list(right(rows)) if isinstance(rows[0], (tuple, list)) else right(rows)


def _reads_all(right: Any) -> Any:
    def ahead(self: Any, rows: Any) -> Any:
        prefetch, self.prefetch = self.prefetch, len(rows)
        try:
            yield from right(self, rows)
        finally:
            self.prefetch = prefetch

    return ahead


class _SameThread:
    """A pool that runs what it gets at once."""

    def __init__(self, workers: int) -> None:
        pass

    def submit(self, function: Any, *arguments: Any) -> Any:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future

    def shutdown(self, **options: Any) -> None:
        pass


def _any_keys(right: Any) -> Any:
    return lambda rows: None if all(isinstance(row, Mapping) for row in rows) else right(rows)


def _other_generator(right: Any) -> Any:
    class Context:
        def run(self, function: Any, *arguments: Any) -> Any:
            return function(*arguments)

    return Context


def _rows_without_collate(right: Any) -> Any:
    return lambda self, rows: data._batch(self.dataset, rows)


FAULTS = [
    *seen_by(
        f"{TEST}::test_shuffled_batches_hold_every_row_once_in_a_new_order_every_epoch",
        ("every epoch has the same order", DataLoader, "__iter__", _one_order),
    ),
    *seen_by(
        f"{TEST}::test_without_a_generator_manual_seed_determines_the_order_and_only_shuffling_draws",
        ("batches in order draw random numbers", DataLoader, "__iter__", _draws_always),
    ),
    *seen_by(
        f"{TEST}::test_batches_in_order_are_views_and_shuffled_ones_are_not",
        ("batches in order are copies", data, "_rows_of", _copies),
    ),
    *seen_by(
        f"{TEST}::test_shuffled_batches_of_any_memory_layout_are_right",
        ("rows in the order of memory", data, "_rows_of", _memory_order),
    ),
    *seen_by(
        f"{TEST}::test_batches_hold_every_row_in_order",
        ("len() counts a batch that drop_last leaves out", DataLoader, "__len__", _last_batch),
    ),
    *seen_by(
        f"{TEST}::test_subset_in_another_order_keeps_it",
        ("batches of a subset are the rows of its dataset", Subset, "batch", _inner_rows),
        ("a subset between its first and last row is taken for a slice", Subset, "batch", _consecutive),
    ),
    *seen_by(
        f"{TEST}::test_a_subset_renumbers_rows_also_of_a_subset",
        ("negative row numbers count from the last but one", data, "_row_numbers", _negative_left),
    ),
    *seen_by(
        f"{TEST}::test_split_has_the_requested_sizes_and_each_row_once",
        ("a share to hold out is rounded down", data, "_test_rows", _rounded_down),
    ),
    *seen_by(
        f"{TEST}::test_a_split_without_shuffling_is_views",
        ("the first rows are held out", data, "train_test_split", _first_rows_held_out),
    ),
    *seen_by(
        f"{TEST}::test_split_has_the_requested_sizes_and_each_row_once",
        ("every array is split on its own", data, "train_test_split", _shuffled_each),
    ),
    *seen_by(
        f"{TEST}::test_seed_determines_the_split",
        ("the seed of a split is ignored", data, "train_test_split", _seed_ignored),
    ),
    *seen_by(
        f"{TEST}::test_rows_are_collated_by_their_structure",
        ("collated rows are float64", data, "_collate", _as_floats),
        ("collated tuples are lists", data, "_collate", _lists),
    ),
    *seen_by(
        f"{TEST}::test_custom_collate_function_gets_the_rows",
        ("collate_fn is ignored", DataLoader, "_read", _rows_without_collate),
    ),
    *seen_by(
        f"{TEST}::test_prefetch_reads_ahead_in_a_thread_up_to_its_limit",
        ("prefetch reads all batches ahead", DataLoader, "_ahead", _reads_all),
        ("prefetch reads in the thread of the loop", data, "ThreadPoolExecutor", instead(_SameThread)),
    ),
    *seen_by(
        f"{TEST}::test_prefetch_draws_the_same_batches",
        ("a thread draws from another default generator", data, "copy_context", _other_generator),
    ),
    *seen_by(
        f"{TEST}::test_arrays_are_not_copied",
        ("a dataset copies its arrays", data, "_table", lambda right: lambda *a: tuple(x.copy() for x in right(*a))),
    ),
    *seen_by(
        f"{TEST}::test_rows_that_do_not_stack_are_refused",
        ("keys that the first row lacks are left out", data, "_check_kinds", _any_keys),
    ),
]
