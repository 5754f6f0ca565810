"""Functions without a gradient: the result is no float, or does not depend on the values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numpyml.autograd.table import derivative

COMPARISONS: list[Callable[..., Any]] = [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal]
COMPARISONS += [np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor]
TESTS: list[Callable[..., Any]] = [np.logical_not, np.invert, np.isnan, np.isinf, np.isfinite, np.signbit]
POSITIONS: list[Callable[..., Any]] = [np.nonzero, np.flatnonzero, np.argwhere, np.shape, np.ndim]
GRADIENTLESS: list[tuple[Sequence[Callable[..., Any]], str]] = [
    (COMPARISONS, "a b"),
    (TESTS, "x"),
    (POSITIONS, "a"),
    ([np.size], "a axis"),
    ([np.any, np.all], "a axis !out keepdims * !where"),
    ([np.argmax, np.argmin], "a axis !out * keepdims"),
    ([np.argsort], "a axis kind !order * stable"),
    ([np.searchsorted], "a v side sorter"),
    ([np.count_nonzero], "a axis * keepdims"),
    ([np.zeros_like, np.ones_like], "a dtype order subok shape * device"),
    ([np.empty_like], "prototype dtype order subok shape * device"),
    ([np.isclose, np.allclose], "a b rtol atol equal_nan"),
    ([np.array_equal], "a1 a2 equal_nan"),
    ([np.result_type], "*arrays_and_dtypes"),
    ([np.iscomplexobj, np.isrealobj], "x"),
]
for _functions, _names in GRADIENTLESS:
    for _function in _functions:
        derivative(_function, _names)
