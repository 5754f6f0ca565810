"""Faults that count as not seen, each for another reason: the tests of the mechanism itself."""

from __future__ import annotations

from typing import Any

from faults import seen_by
from numpyml import data

SIZES = "test_data.py::test_split_has_the_requested_sizes_and_each_row_once"


def _raises(right: Any) -> Any:
    return lambda: None  # which takes no arguments


def _left_behind(right: Any) -> Any:
    def integer(*arguments: Any) -> Any:
        data.flag = lambda owner, name, value: value
        raise AssertionError

    return integer


FAULTS = [
    *seen_by(SIZES, ("no fault at all", data, "_count", lambda right: right)),
    *seen_by(SIZES, ("a crash", data, "_test_rows", _raises)),
    *seen_by("test_data.py::test_that_is_gone", ("a test that is gone", data, "_count", lambda right: right)),
    *seen_by("test_data.py::test_bad_options_are_refused", ("it stays", data, "integer", _left_behind)),
]
