"""Datasets and loaders beside PyTorch's: the same rows, the same batches, the same lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils import data as theirs

from numpyml import data as ours


def arrays(n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(3 * n, dtype=np.float32).reshape(n, 3), np.arange(n)


def same(a: Any, b: Any) -> bool:
    """Whether a batch of ours is PyTorch's, in structure, dtype, shape and values."""
    if isinstance(b, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in b)
    if isinstance(b, (list, tuple)) and not all(isinstance(part, str) for part in b):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(b, torch.Tensor):
        return a.dtype == b.numpy().dtype and a.shape == tuple(b.shape) and np.array_equal(a, b.numpy())
    return list(a) == list(b)


@given(n=st.integers(1, 30), batch_size=st.integers(1, 35), drop_last=st.booleans(), prefetch=st.integers(0, 2))
def test_batches_in_order_are_pytorchs(n: int, batch_size: int, drop_last: bool, prefetch: int) -> None:
    dataset = ours.ArrayDataset(*arrays(n)), theirs.TensorDataset(*map(torch.from_numpy, arrays(n)))
    mine = ours.DataLoader(dataset[0], batch_size, drop_last=drop_last, prefetch=prefetch)
    other = theirs.DataLoader(dataset[1], batch_size, drop_last=drop_last)
    assert len(mine) == len(other)
    assert same(list(mine), list(other))


@given(n=st.integers(1, 30), batch_size=st.integers(1, 35), drop_last=st.booleans(), seed=st.integers(0, 99))
def test_shuffled_batches_have_pytorchs_sizes_and_rows(n: int, batch_size: int, drop_last: bool, seed: int) -> None:
    mine = ours.DataLoader(
        ours.ArrayDataset(*arrays(n)), batch_size, True, drop_last=drop_last, generator=np.random.default_rng(seed)
    )
    other = theirs.DataLoader(
        theirs.TensorDataset(*map(torch.from_numpy, arrays(n))), batch_size, True, drop_last=drop_last
    )
    batches, expected = list(mine), list(other)
    assert [len(x) for x, _ in batches] == [len(x) for x, _ in expected]
    rows = [int(i) for _, y in batches for i in y]
    assert len(set(rows)) == len(rows)
    if not drop_last:
        assert sorted(rows) == sorted(int(i) for _, y in expected for i in y)
    assert all(np.array_equal(x[:, 0], 3 * y) for x, y in batches)


@given(n=st.integers(2, 20), picks=st.data())
def test_subsets_of_subsets_have_pytorchs_rows(n: int, picks: st.DataObject) -> None:
    indices = picks.draw(st.lists(st.integers(0, n - 1), min_size=1))
    positions = picks.draw(st.lists(st.integers(0, len(indices) - 1), min_size=1))
    mine = ours.Subset(ours.Subset(ours.ArrayDataset(*arrays(n)), indices), positions)
    tensors = theirs.TensorDataset(*map(torch.from_numpy, arrays(n)))
    other = theirs.Subset(theirs.Subset(tensors, indices), positions)
    assert len(mine) == len(other)
    assert same(list(ours.DataLoader(mine, 3)), list(theirs.DataLoader(other, 3)))
    assert all(same([np.asarray(v) for v in mine[i]], other[i]) for i in range(len(mine)))


ROWS: list[list[Any]] = [
    [1, 2, 3],
    [0.5, 1.5, 2.5],
    ["a", "b", "c"],
    [(1, 0.5, "x"), (2, 1.5, "y"), (3, 2.5, "z")],
    [{"x": np.ones(2, np.float32), "y": (i, [i])} for i in range(3)],
    [np.full((2, 2), i, np.int16) for i in range(3)],
]


@pytest.mark.parametrize("rows", ROWS, ids=range(len(ROWS)))
def test_rows_are_collated_as_pytorch_does(rows: list[Any]) -> None:
    assert same(list(ours.DataLoader(rows, 2)), list(theirs.DataLoader(rows, 2)))  # type: ignore[arg-type]
