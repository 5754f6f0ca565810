"""Errors that say what was expected, what came, what to do, and which layer it concerns."""

from __future__ import annotations

from typing import Any


class NumpymlError(Exception):
    """The base of every error that numpyml raises on purpose.

    ``message`` continues a sentence whose subject is the place: the layer's repr at first,
    and its place in the model (``Sequential[2] Dense(25, 1)``) once the model's driver has seen it.
    """

    def __init__(self, message: str, layer: object = None) -> None:
        super().__init__(message, layer)
        self.message = message
        self.layer = layer  # where the search for the place goes on
        self.place = "" if layer is None else name_of(layer)
        self._name = self.place
        self._trail = ""  # from that layer down to the one concerned

    def at(self, container: object, trail: str) -> NumpymlError:
        """The error, known to have come up in a container at ``trail``, such as ``[2]``."""
        if self.layer is not None:
            self.layer, self._trail = container, trail + self._trail
        return self

    def located(self, model: Any) -> NumpymlError:
        """The error, its place told from the model that was called."""
        for name, module in model.named_modules():
            if module is self.layer and (name or self._trail):
                parts = name.split(".") if name else []
                path = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts)
                self.place = f"{type(model).__name__}{path}{self._trail} {self._name}"
                break
        return self

    def __str__(self) -> str:
        return f"{self.place} {self.message}".lstrip()


class ShapeError(NumpymlError, ValueError):
    """An array has the wrong number of axes or the wrong length along one."""


class DTypeError(NumpymlError, TypeError):
    """A value has a type that cannot stand here: object, complex or string data, integers for features."""


class DerivativeError(NumpymlError, TypeError):
    """A call of NumPy that the table of derivatives does not cover, or that would lose the gradient."""


class OptionError(NumpymlError, ValueError):
    """A constructor option is out of its range or contradicts another."""


class DataError(NumpymlError, ValueError):
    """Values no loss is defined for: a class index out of range, a NaN where a probability is due."""


class CallOrderError(NumpymlError, RuntimeError):
    """A call that the calls before it do not allow, such as ``backward`` before ``forward`` or twice."""


class OwnershipError(NumpymlError, RuntimeError):
    """Arrays that do not belong together: parameters and gradients of two models, or of a model long gone."""


class StateError(NumpymlError, KeyError):
    """A state dict whose entries are not the model's: missing, unexpected or misshapen ones are all listed."""


class CheckpointError(NumpymlError, ValueError):
    """A file that is no whole checkpoint: cut short, damaged, or of another kind."""


class DivergenceError(NumpymlError, ArithmeticError):
    """A training whose loss is no finite number any more; the message tells the step and the layer."""

    history: Any = None  # of the epochs before


class MissingPackageError(NumpymlError, ImportError):
    """A call needs an optional package that is not installed; the message names the extra that brings it."""


def name_of(layer: object) -> str:
    """The layer as its constructor call, or its class alone where the call would fill more than a line."""
    text = repr(layer)
    return text if "\n" not in text and len(text) <= 100 else type(layer).__name__


def kind_of(value: Any) -> str:
    """What a value is, in the words an error message needs: ``an array of float64, shape (3, 2)``."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of {value.dtype}, shape {tuple(value.shape)}"
    return f"{value!r:.60}"
