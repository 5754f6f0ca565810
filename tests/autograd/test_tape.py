"""The tape: what is recorded, how long it lives, and backpropagation."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
import pytest

from numpyml import Tensor, is_recording, no_grad
from numpyml.autograd import tape
from numpyml.errors import CallOrderError, DTypeError, ShapeError


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values, float), requires_grad=True)


def test_backward_twice_is_an_error() -> None:
    y = np.sum(np.exp(leaf(1, 2)))
    y.backward()
    with pytest.raises(CallOrderError, match="retain_graph=True"):
        y.backward()


def test_a_shared_part_is_freed_too() -> None:
    shared = np.exp(leaf(1))
    first, second = np.sum(shared), np.sum(shared * shared)
    first.backward()
    with pytest.raises(CallOrderError):
        second.backward()


def test_retain_graph_allows_another_backward_which_accumulates() -> None:
    x = leaf(1, 2)
    y = np.sum(x * x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4, 8]


def test_gradients_accumulate_until_zero_grad() -> None:
    x = leaf(3)
    for _ in range(2):
        np.sum(2 * x).backward()
    assert x.grad.tolist() == [4]
    x.zero_grad()
    assert x.grad is None


def test_shared_subexpression_is_visited_once() -> None:
    x = leaf(2)
    h = x * x
    np.sum(h * h + h).backward()
    assert x.grad.tolist() == [4 * 8 + 4]


def test_an_operand_on_both_sides_gets_both_gradients() -> None:
    x = leaf(3)
    np.sum(x * x - x).backward()
    assert x.grad.tolist() == [5]


def test_summing_gradients_writes_to_no_array_that_is_shared() -> None:
    a, b, gradient = leaf(0, 0), leaf(0, 0), np.ones(2)
    x, y = np.exp(a), np.exp(b)
    ((x + y) + (x + y) + x + x).backward(gradient)  # an addition hands one array to both of its operands
    np.testing.assert_array_equal(a.grad, [4, 4])
    np.testing.assert_array_equal(b.grad, [2, 2])
    np.testing.assert_array_equal(gradient, [1, 1])


def test_gradients_of_two_leaves_share_no_memory() -> None:
    x, y = leaf(1, 2), leaf(3, 4)
    np.sum(x + y).backward()
    x.grad[0] = 9
    assert y.grad.tolist() == [1, 1]


def test_exponentially_many_paths_take_linear_time() -> None:
    x = leaf(1)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.tolist() == [2.0**60]


def test_deep_chain_does_not_reach_the_recursion_limit() -> None:
    x = leaf(1)
    y = x
    for _ in range(10_000):
        y = y + 1
    y.backward()
    assert x.grad.tolist() == [1]


def test_a_deep_chain_can_be_dropped_without_a_backward() -> None:
    y = leaf(1) + 1
    first = weakref.ref(y.data)
    for _ in range(100_000):
        y = y + 1
    del y
    assert first() is None


def test_only_leaves_that_require_one_get_a_gradient() -> None:
    x, data = leaf(1, 2), Tensor(np.ones(2))
    np.sum(x * data).backward()
    assert data.grad is None


def test_nothing_is_recorded_without_a_leaf_that_requires_a_gradient() -> None:
    assert (Tensor(np.ones(2)) * 2).node is None


def test_no_grad_records_nothing() -> None:
    x = leaf(1)
    with no_grad():
        assert not is_recording()
        assert (x * x).node is None
    assert is_recording()


def test_no_grad_ends_with_an_exception_and_nests() -> None:
    with pytest.raises(ZeroDivisionError), no_grad(), no_grad():
        raise ZeroDivisionError
    assert is_recording()


def test_no_grad_decorates_a_function() -> None:
    @no_grad()
    def recording() -> bool:
        return is_recording()

    assert [recording(), recording(), is_recording()] == [False, False, True]


def test_no_grad_decorates_without_parentheses() -> None:
    @no_grad
    def recorded() -> bool:
        """Whether calls are recorded."""
        return is_recording()

    assert not recorded() and is_recording() and recorded.__doc__ == "Whether calls are recorded."


def test_no_grad_decorates_the_steps_of_a_generator() -> None:
    @no_grad()
    def steps() -> Generator[bool, str, str]:
        received = ""
        try:
            while True:
                received += yield is_recording()
        except ValueError:
            yield is_recording()
        finally:
            ended.append(is_recording())
        return received

    def whole() -> Iterator[bool]:
        returned.append((yield from steps()))

    ended: list[bool] = []
    returned: list[str] = []
    generator = whole()
    assert not next(generator) and is_recording()
    assert not generator.send("a") and is_recording()  # type: ignore[attr-defined]
    assert not generator.throw(ValueError()) and is_recording()  # type: ignore[attr-defined]
    assert list(generator) == [] and ended == [False] and returned == ["a"] and is_recording()
    stopped = steps()
    next(stopped)
    stopped.close()
    assert ended == [False, False] and is_recording()


def test_one_no_grad_is_entered_again_and_inside_itself() -> None:
    block = no_grad()
    for _ in range(2):
        with block:
            with block:
                assert not is_recording()
            assert not is_recording()
        assert is_recording()


async def _coroutine() -> None:
    """What no_grad cannot decorate."""


@pytest.mark.parametrize("wrong", [5, Tensor, _coroutine])
def test_no_grad_refuses_to_decorate_what_is_no_function(wrong: Any) -> None:
    with pytest.raises(DTypeError, match="no_grad expected a function to decorate, got "):
        no_grad(wrong)


def test_no_grad_affects_its_own_thread_only() -> None:
    seen: list[bool] = []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append(is_recording()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_backward_frees_what_was_kept() -> None:
    x = leaf(1, 2)
    h = np.exp(x)
    reference = weakref.ref(h)
    y = np.sum(h * h)
    del h
    y.backward()
    assert reference() is None


def test_a_graph_needs_no_garbage_collector() -> None:
    gc.disable()
    try:
        y = np.sum(np.exp(leaf(1)))
        node = weakref.ref(y)
        del y
        assert node() is None
    finally:
        gc.enable()


def test_several_outputs_each_contribute_and_an_unused_one_is_zero() -> None:
    x = leaf(1, 2, 3)
    first, _, third = np.split(x, 3)
    np.sum(first + 5 * third).backward()
    assert x.grad.tolist() == [1, 0, 5]


def test_excluded_leaves_get_no_gradient() -> None:
    x, w = leaf(1), leaf(2)
    tape.backward([x * w], [np.ones(1)], excluded=[x])
    assert x.grad is None
    assert w.grad.tolist() == [1]


def test_a_pullback_of_the_wrong_shape_is_named() -> None:
    class Broken:
        def __repr__(self) -> str:
            return "Broken()"

        def pullback(self, context: object, gy: np.ndarray, needs_input_grad: object) -> np.ndarray:
            return gy[:1]

    x, y = leaf(1, 2), Tensor(np.ones(2))
    y.node = tape.Node(Broken(), None, [x], [y.data])
    with pytest.raises(ShapeError, match=r"Broken\(\) pulled back a gradient of shape \(1,\) .* shape \(2,\)"):
        y.backward(np.ones(2))


def test_split_into_one_part_has_a_gradient():
    x = Tensor(np.arange(3.0), requires_grad=True)
    (part,) = np.split(x, 1)
    part.backward(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(x.grad, [1.0, 2.0, 3.0])
