"""The comparison rule sees what it must, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from conformance.bound import Array, Given, Problem, judge

VALUES = Given(np.array([0.5, -1.25, 3.0, 0.1]).astype(np.float32).astype(np.float64))


def squares(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {"output": arrays["x"] * arrays["x"]}


def planted(relative: float) -> Any:
    def ours(arrays: Mapping[str, Array]) -> dict[str, Array]:
        y = np.array(arrays["x"] * arrays["x"])
        if y.dtype != np.longdouble:
            y[2] *= y.dtype.type(1 + relative)
        return {"output": y}

    return ours


def verdict(ours: Any, dtype: Any, torch: Any = squares, given: Given = VALUES) -> Any:
    (found,) = judge(Problem({"x": given}, ours, torch, ours), np.dtype(dtype), 1)
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_formula_passes(dtype: Any) -> None:
    found = verdict(squares, dtype)
    assert not found.failure
    assert found.compared == 4
    assert found.error <= 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_error_of_64_units_in_the_last_place_of_one_element_is_noticed(dtype: Any) -> None:
    found = verdict(planted(64 * float(np.finfo(dtype).eps)), dtype)
    assert found.failure.startswith("output[2]")
    assert found.error > 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_formula_wrong_in_every_precision_is_noticed(dtype: Any) -> None:
    def wrong(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {"output": arrays["x"] * arrays["x"] * arrays["x"].dtype.type(1 + 1e-5)}

    assert verdict(wrong, dtype).failure


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_must_stand_where_the_reference_has_it(value: float) -> None:
    def ours(arrays: Mapping[str, Array]) -> dict[str, Array]:
        y = np.array(arrays["x"] * arrays["x"])
        y[1] = value
        return {"output": y}

    assert "output[1]" in verdict(ours, np.float32).failure
    holes = Given(np.array([value, 1.0, 2.0]))
    assert not verdict(squares, np.float32, given=holes).failure
    assert verdict(
        lambda arrays: {"output": np.nan_to_num(squares(arrays)["output"], posinf=1.0)}, np.float32, given=holes
    ).failure


def test_an_ill_conditioned_element_may_move_as_far_as_its_inputs_make_it() -> None:
    def near_one(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {"output": 1 / (1 - arrays["x"])}

    def other_way(arrays: Mapping[str, Array]) -> dict[str, Array]:
        return {"output": -1 / (arrays["x"] * arrays["x"].dtype.type(1) - 1)}

    close = Given(np.array([1 - 2.0**-20, 0.5]))
    assert not verdict(other_way, np.float32, near_one, close).failure


def test_another_shape_or_precision_is_noticed() -> None:
    assert "shape" in verdict(lambda arrays: {"output": squares(arrays)["output"][None]}, np.float32).failure
    assert (
        "float64"
        in verdict(lambda arrays: {"output": squares(arrays)["output"].astype(np.float64)}, np.float32).failure
    )
