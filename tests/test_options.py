"""Validators of options, and how errors show a value."""

from fractions import Fraction

import numpy as np

from numpyml import options
from numpyml.errors import OptionError, kind_of

BEYOND = 1 << 63


def refused(validator, value, *limits):
    """Whether the value is refused; what is accepted is returned unchanged."""
    try:
        return getattr(options, validator)("Layer", "option", value, *limits) is not value
    except OptionError as error:
        return str(error).startswith("Layer expected option to be ")


def test_integers():
    for value in (0, -3, np.int8(3), BEYOND - 1, 1 - BEYOND):
        assert not refused("integer", value)
    for value in (True, np.True_, 1.0, "1", None, Fraction(1), np.ones(1, int), BEYOND, -BEYOND):
        assert refused("integer", value)
    assert not refused("integer", 2, 2) and refused("integer", 1, 2)


def test_numbers():
    for value in (0, 0.0, 2, 1e300, np.float32(3), np.int64(4)):
        assert not refused("number", value)
    for value in (-1, np.nan, np.inf, -np.inf, True, "1", None, 1j, Fraction(1), np.ones(1), 10**400):
        assert refused("number", value)
    assert not refused("number", -5.0, -np.inf)
    assert not refused("number", 1, 0, 1) and refused("number", 1.0001, 0, 1)
    assert not refused("positive", 1e-300) and refused("positive", 0) and refused("positive", -1.0)


def test_flags_and_choices():
    assert not refused("flag", True) and not refused("flag", np.False_)
    for value in (0, 1, "yes", None, np.ones(1, bool)):
        assert refused("flag", value)
    assert not refused("choice", "mean", ("mean", "sum"))
    for value in ("me", "", "MEAN", None, 3, ["mean"]):
        assert refused("choice", value, ("mean", "sum"))


def test_weights():
    for value in (None, [0, -1.5], np.ones(3, np.float32), [True, False], 2.0):
        assert not refused("weights", value)
    for value in ([np.nan], [np.inf, 1.0], ["x"], 1j):
        assert refused("weights", value)


def test_a_value_is_shown_by_its_kind():
    assert kind_of(3) == "3" and kind_of(None) == "None"
    assert kind_of(np.zeros((2, 3), np.float32)) == "an array of float32, shape (2, 3)"
    assert kind_of(np.float64(1)) == "an array of float64, shape ()"
    assert len(kind_of("x" * 1000)) == 60
