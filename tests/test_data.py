"""Data: what comes out of datasets, splits and loaders, and that nothing is copied where a view will do.

Compared with PyTorch's DataLoader in tests/harness/test_data.py.
"""

import gc
import threading
import time

import numpy as np
import pytest

import numpyml
from numpyml.data import ArrayDataset, DataLoader, Subset, train_test_split
from numpyml.errors import DataError, DTypeError, OptionError, ShapeError
from numpyml.random import default_generator, drawing_from


def table(n=10):
    return np.arange(2 * n, dtype=np.float32).reshape(n, 2), np.arange(n)


class Squares:
    """A dataset that computes its rows, and records which were read."""

    def __init__(self, n):
        self.n, self.asked = n, []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.asked.append(i)
        return np.full(2, i, np.float32), i * i


# Datasets


def test_a_row_is_a_tuple_with_an_entry_of_each_array():
    x, y = table()
    row = ArrayDataset(x, y)[3]
    assert type(row) is tuple and np.array_equal(row[0], x[3]) and row[1] == 3
    assert len(ArrayDataset(x)[-1]) == 1 and len(ArrayDataset(x, y)) == 10


def test_arrays_are_not_copied():
    x, y = table()
    assert ArrayDataset(x, y).arrays[0] is x
    assert [a.tolist() for a in ArrayDataset([[1], [2]], (3, 4)).arrays] == [[[1], [2]], [3, 4]]


def test_a_subset_renumbers_rows_also_of_a_subset():
    x, y = table()
    odd = Subset(ArrayDataset(x, y), [1, 3, 5, 7, -1])
    assert [int(odd[i][1]) for i in range(len(odd))] == [1, 3, 5, 7, 9]
    assert [int(row[1]) for row in (Subset(odd, [4, 0])[0], Subset(odd, np.array([4, 0]))[1])] == [9, 1]


def test_subset_in_another_order_keeps_it():
    order = [4, 6, 5, 7, 2]
    subset = Subset(ArrayDataset(*table()), order)
    for batch_size in (1, 2, 4, 5):
        assert np.concatenate([y for _, y in DataLoader(subset, batch_size)]).tolist() == order
    assert subset.batch(slice(1, 4))[1].tolist() == [6, 5, 7]


def test_a_subset_can_be_a_mask_and_can_be_of_any_dataset():
    assert [Subset(Squares(4), np.array([True, False, False, True]))[i][1] for i in (0, 1)] == [0, 9]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((), "at least one array, got none; pass inputs and targets"),
        ((np.zeros((3, 2)), np.zeros(4)), "arrays of one length, got lengths 3 and 4; each row of one"),
        ((np.zeros((0, 2)), np.zeros(0)), "at least one row, got arrays of length 0"),
        ((np.float32(1),), r"arrays with rows, got an array of float32, shape \(\)"),
        (([[1], [2, 3]],), "rows of one shape"),
        ((np.array([None, 1]),), "an array of numbers, got an array of object"),
    ],
)
def test_invalid_arrays_are_refused(arrays, message):
    with pytest.raises((DataError, ShapeError, DTypeError), match=f"ArrayDataset expected {message}"):
        ArrayDataset(*arrays)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([0, 10], "row numbers from -10 to 9, got 10"),
        ([0.5], "row numbers, got an array of float64"),
        (np.ones(3, bool), "a mask of 10 rows, got 3"),
        ([[1, 2]], "row numbers in one axis, got"),
    ],
)
def test_row_indices_out_of_range_are_refused_at_once(indices, message):
    with pytest.raises((OptionError, DTypeError, ShapeError), match=f"Subset expected {message}"):
        Subset(ArrayDataset(*table()), indices)


def test_empty_subset_gives_empty_arrays_or_an_error():
    x, y = Subset(ArrayDataset(*table()), [1, 2]).batch(slice(0, 0))
    assert x.shape == (0, 2) and y.shape == (0,)
    with pytest.raises(DataError, match="at least one row, got none"):
        Subset(Squares(3), [1, 2]).batch(slice(0, 0))


# Splits


@pytest.mark.parametrize(("n", "test_size", "test"), [(10, 0.25, 3), (10, 4, 4), (7, 0.5, 4), (2, 0.01, 1)])
def test_split_has_the_requested_sizes_and_each_row_once(n, test_size, test):
    x, y = table(n)
    x1, x2, y1, y2 = train_test_split(x, y, test_size=test_size, seed=0)
    assert (len(x2), len(y2), len(x1)) == (test, test, n - test)
    assert sorted([*y1, *y2]) == list(range(n))
    assert np.array_equal(x1[:, 0], 2 * y1) and np.array_equal(x2[:, 0], 2 * y2)


def test_seed_determines_the_split():
    x, y = table(50)
    one, same, other = (train_test_split(x, y, seed=seed)[3] for seed in (1, np.random.default_rng(1), 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    numpyml.manual_seed(5)
    first = train_test_split(x, y)[3]
    numpyml.manual_seed(5)
    assert np.array_equal(first, train_test_split(x, y)[3])


def test_a_dataset_is_split_into_subsets():
    train, test = train_test_split(Squares(8), test_size=2, seed=0)
    assert (type(train), len(train), len(test)) == (Subset, 6, 2)
    assert sorted([train[i][1] for i in range(6)] + [test[i][1] for i in range(2)]) == [i * i for i in range(8)]


def test_a_split_without_shuffling_is_views():
    x, y = table()
    x1, x2, *_ = train_test_split(x, y, test_size=0.3, shuffle=False)
    assert np.array_equal(x1, x[:7]) and np.shares_memory(x1, x) and np.shares_memory(x2, x)


@pytest.mark.parametrize(
    ("option", "value"),
    [("test_size", size) for size in (0, 10, 0.0, 1.0, 1.5, -1, float("nan"), "half", True)]
    + [("seed", seed) for seed in ("lucky", True, -1)],
)
def test_invalid_options_of_a_split_are_refused(option, value):
    with pytest.raises(OptionError, match=f"train_test_split expected {option} to be"):
        train_test_split(*table(), **{option: value})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((), "arrays of rows, or one dataset"),
        ((np.zeros(3), np.zeros(2)), "arrays of one length"),
        ((3,), "arrays of rows"),
    ],
)
def test_invalid_data_of_a_split_is_refused(data, message):
    with pytest.raises((DataError, ShapeError, DTypeError), match=f"train_test_split expected {message}"):
        train_test_split(*data)


# Batches


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("dataset", [ArrayDataset(*table()), Subset(ArrayDataset(*table()), range(10)), Squares(10)])
def test_batches_hold_every_row_in_order(dataset, drop_last, prefetch):
    loader = DataLoader(dataset, 4, drop_last=drop_last, prefetch=prefetch)
    batches = list(loader)
    assert [len(x) for x, _ in batches] == ([4, 4] if drop_last else [4, 4, 2])
    assert len(loader) == len(batches)
    assert all(type(batch) is tuple for batch in batches)
    rows = np.concatenate([x for x, _ in batches])
    assert rows.dtype == np.float32 and len(rows) == (8 if drop_last else 10)
    assert np.array_equal(np.sort(rows[:, 0]), rows[:, 0])


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("make", [lambda: ArrayDataset(*table(23)), lambda: Squares(23)])
def test_shuffled_batches_hold_every_row_once_in_a_new_order_every_epoch(make, prefetch):
    loader = DataLoader(make(), 4, shuffle=True, generator=np.random.default_rng(0), prefetch=prefetch)
    epochs = [np.concatenate([y for _, y in loader]) for _ in range(2)]
    repeated = DataLoader(make(), 4, shuffle=True, generator=np.random.default_rng(0))
    assert np.array_equal(epochs[0], np.concatenate([y for _, y in repeated]))
    assert not np.array_equal(*epochs) and np.array_equal(*map(np.sort, epochs))
    assert len(set(epochs[0].tolist())) == 23


def test_without_a_generator_manual_seed_determines_the_order_and_only_shuffling_draws():
    generator = numpyml.manual_seed(3)
    state = generator.bit_generator.state
    list(DataLoader(ArrayDataset(*table()), 2))
    assert generator.bit_generator.state == state
    first = [y.tolist() for _, y in DataLoader(ArrayDataset(*table()), 2, shuffle=True)]
    numpyml.manual_seed(3)
    assert first == [y.tolist() for _, y in DataLoader(ArrayDataset(*table()), 2, shuffle=True)]


def test_batches_in_order_are_views_and_shuffled_ones_are_not():
    x, y = table()
    for dataset in (ArrayDataset(x, y), Subset(Subset(ArrayDataset(x, y), range(1, 9)), range(2, 6))):
        assert all(np.shares_memory(a, x) and np.shares_memory(b, y) for a, b in DataLoader(dataset, 3))
    shuffled = DataLoader(ArrayDataset(x, y), 3, shuffle=True)
    assert not any(np.shares_memory(a, x) or np.shares_memory(b, y) for a, b in shuffled)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: x[:, ::-1], lambda x: np.repeat(x, 2, 0)[::2]])
def test_shuffled_batches_of_any_memory_layout_are_right(layout):
    x, y = table()
    laid = layout(x)
    for a, b in DataLoader(ArrayDataset(laid, y), 3, shuffle=True):
        assert np.array_equal(a, laid[b])


def test_memory_mapped_file_is_read_batch_by_batch(tmp_path):
    x, _ = table()
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    dataset = ArrayDataset(mapped)
    assert np.shares_memory(dataset.arrays[0], mapped)
    assert np.array_equal(np.concatenate([a for (a,) in DataLoader(dataset, 4)]), x)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([1.5, 2.5], np.array([1.5, 2.5])),
        ([np.zeros(3, np.float32)] * 2, np.zeros((2, 3), np.float32)),
        (
            [{"a": 1, "b": (2, 3)}, {"a": 4, "b": (5, 6)}],
            {"a": np.array([1, 4]), "b": (np.array([2, 5]), np.array([3, 6]))},
        ),
        (["x", "y"], ["x", "y"]),
    ],
)
def test_rows_are_collated_by_their_structure(items, expected):
    (batch,) = DataLoader(items, 2)

    def same(a, b):
        if isinstance(b, dict):
            return set(a) == set(b) and all(same(a[k], b[k]) for k in b)
        if isinstance(b, tuple):
            return type(a) is tuple and all(map(same, a, b))
        return type(a) is type(b) and np.array_equal(a, b) and np.asarray(a).dtype == np.asarray(b).dtype

    assert same(batch, expected)


def test_custom_collate_function_gets_the_rows():
    (batch,) = DataLoader(ArrayDataset(np.arange(3)), 5, collate_fn=lambda rows: sum(int(row[0]) for row in rows))
    assert batch == 3


def test_rows_that_do_not_stack_are_refused():
    ragged = [np.zeros(2), np.zeros(3)]
    with pytest.raises(ShapeError, match=r"rows of one shape, got shapes \(2,\) and \(3,\).*collate_fn"):
        list(DataLoader(ragged, 2))
    with pytest.raises(DTypeError, match=r"rows of arrays, numbers, .* got None"):
        list(DataLoader([None, None], 2))
    with pytest.raises(ShapeError, match=r"rows of one length, got a tuple of 2 and a tuple of 3.*collate_fn"):
        list(DataLoader([(1, 2), (1, 2, 3)], 2))
    with pytest.raises(ShapeError, match=r"rows of the same keys, got \['a'\] and \['a', 'b'\].*collate_fn"):
        list(DataLoader([{"a": 1}, {"a": 1, "b": 2}], 2))
    with pytest.raises(ShapeError, match=r"rows of one kind, got a dict and 3.*collate_fn"):
        list(DataLoader([{"a": 1}, 3], 2))
    with pytest.raises(ShapeError, match=r"rows of one kind, got a tuple and 3.*collate_fn"):
        list(DataLoader([(1, 2), 3], 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size to be an integer of 1 or more, got 0"),
        ({"batch_size": 2.0}, "batch_size to be an integer of 1 or more"),
        ({"shuffle": "yes"}, "shuffle to be True or False"),
        ({"drop_last": 1}, "drop_last to be True or False"),
        ({"generator": 7}, r"generator to be a numpy\.random\.Generator or None, got 7"),
        ({"prefetch": -1}, "prefetch to be an integer of 0 or more"),
        ({"collate_fn": 3}, "collate_fn to be a function of a list of rows"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(OptionError, match=f"DataLoader expected {message}"):
        DataLoader(ArrayDataset(*table()), **options)


def test_objects_that_are_not_datasets_or_have_no_rows_are_refused():
    with pytest.raises(DTypeError, match="DataLoader expected a dataset, with a length and rows, got an iterator"):
        DataLoader(iter([1, 2]))
    with pytest.raises(DTypeError, match=r"a row for each number, got a dict of 'x', 'y'; .*ArrayDataset"):
        DataLoader({"x": np.zeros(3), "y": np.zeros(3)})
    with pytest.raises(DataError, match="DataLoader expected at least one row, got an empty list"):
        DataLoader([])
    with pytest.raises(DataError, match="at least one row, got an empty Subset"):
        DataLoader(Subset(Squares(3), []))


# Prefetching


class Watched(Squares):
    """Records the thread that reads it, and fails at a chosen row."""

    def __init__(self, n, fails_at=None):
        super().__init__(n)
        self.fails_at, self.threads = fails_at, set()

    def __getitem__(self, i):
        self.threads.add(threading.current_thread())
        if i == self.fails_at:
            raise OSError("unreadable")
        return super().__getitem__(i)


def test_prefetch_reads_ahead_in_a_thread_up_to_its_limit():
    dataset = Watched(100)
    batches = iter(DataLoader(dataset, 1, prefetch=3))
    next(batches)
    deadline = time.monotonic() + 10
    while len(dataset.asked) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert dataset.asked == [0, 1, 2, 3]
    assert threading.main_thread() not in dataset.threads


@pytest.mark.parametrize("own", [False, True])
def test_prefetch_draws_the_same_batches(own):
    class Drawing(Squares):
        generator = None

        def __getitem__(self, i):
            return (self.generator or default_generator()).random()

    drawn = []
    for prefetch in (0, 2):
        dataset = Drawing(6)
        dataset.generator = np.random.default_rng(5) if own else None
        with drawing_from(np.random.default_rng(3)):
            drawn.append(np.concatenate(list(DataLoader(dataset, 2, prefetch=prefetch))))
    assert np.array_equal(*drawn) and len(set(drawn[0])) == 6


def test_error_in_the_prefetch_thread_is_raised_at_its_batch():
    batches = iter(DataLoader(Watched(9, fails_at=4), 2, prefetch=2))
    assert [next(batches)[1].tolist() for _ in range(2)] == [[0, 1], [4, 9]]
    with pytest.raises(OSError, match="unreadable"):
        next(batches)


def test_leaving_the_loop_early_ends_the_thread():
    dataset = Watched(1000)
    for _ in DataLoader(dataset, 1, prefetch=2):
        break
    gc.collect()
    (thread,) = dataset.threads
    thread.join(10)
    assert not thread.is_alive() and len(dataset.asked) < 10


def test_two_loops_over_one_loader_do_not_disturb_each_other():
    loader = DataLoader(ArrayDataset(np.arange(6)), 2, prefetch=1)
    assert [a.tolist() == b.tolist() for (a,), (b,) in zip(loader, loader, strict=True)] == [True] * 3


def test_repr_is_the_constructor_call():
    loader = DataLoader(ArrayDataset(*table()), 4, shuffle=True)
    assert repr(loader) == "DataLoader(ArrayDataset(10 rows of (2,) float32, () int64), batch_size=4, shuffle=True)"
    assert repr(Subset(Squares(3), [1])) == "Subset(Squares of 3 rows, 1 row)"
