"""Errors: each says what was expected, what was received, what to do, and which layer it concerns."""

from __future__ import annotations

from typing import Any


class NumpymlError(Exception):
    """Base of all errors that numpyml raises.

    ``message`` continues a sentence whose subject is ``location``: the layer's repr at first, and with its path in
    the model (``Sequential[2] Dense(25, 1)``) once the error has passed the model's driver.
    """

    def __init__(self, message: str, layer: object = None) -> None:
        super().__init__(message, layer)
        self.message = message
        self.layer = layer  # whose path in the model is looked up
        self.location = "" if layer is None else name_of(layer)
        self._name = self.location
        self._trail = ""  # the path from that layer down to the one concerned

    def at(self, container: object, trail: str) -> NumpymlError:
        """The error, raised in the part of a container at the path ``trail``, such as ``[2]``."""
        if self.layer is not None:
            self.layer, self._trail = container, trail + self._trail
        return self

    def located(self, model: Any) -> NumpymlError:
        """The error, with the path of its layer in the model that was called."""
        for name, module in model.named_modules():
            if module is self.layer and (name or self._trail):
                parts = name.split(".") if name else []
                path = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts)
                self.location = f"{type(model).__name__}{path}{self._trail} {self._name}"
                break
        return self

    def __str__(self) -> str:
        return f"{self.location} {self.message}".lstrip()


class ShapeError(NumpymlError, ValueError):
    """An array has the wrong number of axes or the wrong length along one."""


class DTypeError(NumpymlError, TypeError):
    """A value has an unsupported type: object, complex or string data, integers for features."""


class DerivativeError(NumpymlError, TypeError):
    """A NumPy call that has no derivative in the table, or that would lose the gradient."""


class OptionError(NumpymlError, ValueError):
    """A constructor option is out of its range or contradicts another."""


class DataError(NumpymlError, ValueError):
    """Values outside the domain of a loss: a class index out of range, a NaN for a probability."""


class CallOrderError(NumpymlError, RuntimeError):
    """A call that the calls before it do not allow, such as ``backward`` before ``forward`` or twice."""


class OwnershipError(NumpymlError, RuntimeError):
    """Arrays that do not belong together: parameters and gradients of two models, or of a model long gone."""


class StateError(NumpymlError, KeyError):
    """A state dict whose entries are not the model's: missing, unexpected or misshapen ones are all listed."""


class CheckpointError(NumpymlError, ValueError):
    """A file is not a complete checkpoint: truncated, damaged, or of another kind."""


class DivergenceError(NumpymlError, ArithmeticError):
    """The loss of a training is no longer finite; the message names the step and the layer."""

    history: Any = None  # of the epochs before


class MissingPackageError(NumpymlError, ImportError):
    """A call needs an optional package that is not installed; the message names the extra that brings it."""


def missing_package(caller: str, package: str, extra: str, otherwise: str = "") -> MissingPackageError:
    """The error of a call that needs a package of one of numpyml's extras."""
    return MissingPackageError(
        f"{caller} expected the package {package}, which is not installed; "
        f"install it with numpyml's extra: pip install 'provengrad[{extra}]'{otherwise}"
    )


def name_of(layer: object) -> str:
    """The layer as its constructor call, or its class alone where the call takes more than a line."""
    text = repr(layer)
    return text if "\n" not in text and len(text) <= 100 else type(layer).__name__


def kind_of(value: Any) -> str:
    """A value as an error message shows it: ``3``, ``None``, ``an array of float64, shape (3, 2)``."""
    if not isinstance(value, type) and hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of {value.dtype}, shape {tuple(value.shape)}"
    return f"{value!r:.60}"
