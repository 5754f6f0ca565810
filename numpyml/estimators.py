"""scikit-learn estimators: any numpyml model in a Pipeline, a GridSearchCV, a cross_val_score.

Needs scikit-learn: ``pip install 'provengrad[estimators]'``.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from numpyml.autograd.tape import Array, no_grad
from numpyml.data import ArrayDataset, DataLoader
from numpyml.errors import DataError, DTypeError, MissingPackageError, ShapeError, kind_of
from numpyml.nn import activations, layers, losses, optimizers
from numpyml.nn.model import Sequential
from numpyml.nn.module import Module
from numpyml.nn.optimizer import Optimizer
from numpyml.nn.options import flag, integer, require
from numpyml.nn.schedulers import Scheduler
from numpyml.random import default_generator, drawing_from
from numpyml.training import fit

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise MissingPackageError(
        f"numpyml.estimators expected the package scikit-learn, 1.6 or newer ({error}); "
        "install it with numpyml's extra: pip install 'provengrad[estimators]'"
    ) from None

__all__ = ["NeuralNetClassifier", "NeuralNetRegressor"]

N = TypeVar("N", bound="_NeuralNet")
_ROWS = 1024  # to predict at a time


class _NeuralNet(BaseEstimator):  # type: ignore[misc]  # scikit-learn tells no types
    """What the classifier and the regressor share; scikit-learn's conventions for constructor and attributes."""

    def __init__(
        self,
        module: Module | Callable[[int, int], Module] | None = None,
        *,
        hidden_layer_sizes: Sequence[int] = (100,),
        loss: Any = None,
        optimizer: Callable[..., Optimizer] = optimizers.Adam,
        learning_rate: float = 0.001,
        max_epochs: int = 100,
        batch_size: int = 32,
        scheduler: Callable[[Optimizer], Scheduler] | None = None,
        clip_grad_norm: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        callbacks: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.module = module
        self.hidden_layer_sizes = hidden_layer_sizes
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.scheduler = scheduler
        self.clip_grad_norm = clip_grad_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self: N, X: Array, targets: Array, outputs: int, loss: Any, stratify: Array | None) -> N:
        """Train on what fit has checked."""
        generator = self._generator()
        with drawing_from(generator):
            if not self._goes_on():
                self.module_ = self._built(X, outputs)
                self.optimizer_ = self._new_optimizer()
            validation = None
            if flag(self, "early_stopping", self.early_stopping):
                X, held_out, targets, their_targets = train_test_split(
                    X, targets, test_size=self.validation_fraction, stratify=stratify,
                    random_state=int(generator.integers(2**31)),
                )  # fmt: skip
                validation = held_out, their_targets
            self.history_ = fit(
                self.module_, loss, self.optimizer_,
                DataLoader(ArrayDataset(X, targets), self.batch_size, shuffle=True, generator=generator),
                epochs=self.max_epochs, validation=validation, clip_grad_norm=self.clip_grad_norm,
                scheduler=None if self.scheduler is None else self.scheduler(self.optimizer_),
                patience=self.patience if self.early_stopping else None, callbacks=self.callbacks or (),
                progress=flag(self, "verbose", self.verbose),
            )  # fmt: skip
        if self.history_.stopped.startswith("interrupted"):  # as scikit-learn's own networks do
            warnings.warn(f"the training was {self.history_.stopped}", ConvergenceWarning, stacklevel=4)
        return self

    def _goes_on(self) -> bool:
        """Whether fit goes on from the last one."""
        return bool(flag(self, "warm_start", self.warm_start)) and hasattr(self, "module_")

    @contextmanager
    def _kept_if_it_fails(self) -> Iterator[None]:
        """Inside a fit: an error leaves everything that an earlier fit found."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _generator(self) -> np.random.Generator:
        """Where initial weights, orders, dropout and the held-out rows come from."""
        state = self.random_state
        if state is None:
            return default_generator()
        if isinstance(state, np.random.RandomState):
            return np.random.default_rng(int(state.randint(2**31)))
        if isinstance(state, np.random.Generator):
            return state
        return np.random.default_rng(int(integer(self, "random_state", state, 0)))

    def _built(self, X: Array, outputs: int) -> Module:
        """A model of its own, of the module that was given or by it."""
        if self.module is None:
            several = isinstance(self.hidden_layer_sizes, Iterable)
            require(several, self, "hidden_layer_sizes", self.hidden_layer_sizes, "several, such as (100,)")
            sizes = [X.shape[1], *(integer(self, "hidden_layer_sizes", size, 1) for size in self.hidden_layer_sizes)]
            hidden = [
                layer
                for before, size in pairwise(sizes)
                for layer in (layers.Dense(before, size, dtype=X.dtype), activations.ReLU())
            ]
            return Sequential(*hidden, layers.Dense(sizes[-1], outputs, dtype=X.dtype))
        made: Any = copy.deepcopy(self.module) if isinstance(self.module, Module) else None
        if made is None:
            if not callable(self.module):
                raise DTypeError(
                    f"{type(self).__name__} expected module to be a model, or a function of (features, outputs) that "
                    f"makes one, got {kind_of(self.module)}"
                )
            made = self.module(X.shape[1], outputs)
            if not isinstance(made, Module):
                raise DTypeError(f"{type(self).__name__} expected module to make a model, got {kind_of(made)}")
        with no_grad():
            y: Any = made.eval().forward(X[:1])
        shape = getattr(y, "shape", f"a {type(y).__name__}")
        if shape != (1, outputs):
            raise ShapeError(
                f"{type(self).__name__} expected a module whose outputs have shape (rows, {outputs}), got {shape} for "
                "one row; give module=lambda features, outputs: ... to build one of the right size"
            )
        return made

    def _new_optimizer(self) -> Optimizer:
        return self.optimizer(self.module_.parameters(), self.module_.gradients(), learning_rate=self.learning_rate)

    def _outputs(self, X: Any) -> Array:
        """What the model puts out, rows by rows."""
        check_is_fitted(self, "module_")
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        with no_grad():
            return np.concatenate([self.module_.forward(rows) for (rows,) in DataLoader(ArrayDataset(X), _ROWS)])

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "optimizer_" in state:  # it belongs to the arrays of this module_: a copy gets one of its own
            state["optimizer_"] = state["optimizer_"].state_dict()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "optimizer_" in state:
            self.optimizer_ = self._new_optimizer()
            self.optimizer_.load_state_dict(state["optimizer_"])


class NeuralNetClassifier(ClassifierMixin, _NeuralNet):  # type: ignore[misc]  # scikit-learn tells no types
    """A classifier around any numpyml model whose outputs are one logit for each class.

    Args:
        module: a numpyml model, which is copied, or a function of (features, outputs) that makes one: the numbers of
            columns of X and of classes. None: Dense layers of
        hidden_layer_sizes: with ReLU between them, in the dtype of X, float32 or float64.
        loss: any that takes logits and class indices; None: CrossEntropyWithLogits().
        optimizer: a class of numpyml.nn.optimizers, or a function of (parameters, gradients, learning_rate=...).
        learning_rate: its rate.
        max_epochs, batch_size, clip_grad_norm, callbacks: see :func:`numpyml.training.fit`.
        scheduler: a function of the optimizer that makes a schedule, stepped every epoch.
        early_stopping: whether to hold out a part of the rows, end after ``patience`` epochs without a smaller loss on
            it, and take the weights of the best epoch.
        validation_fraction: how large a part; it has the classes' shares.
        patience: in epochs.
        warm_start: whether fit goes on from the weights and the optimizer of the last fit.
        random_state: settles initial weights, orders and dropout: a seed, a RandomState or a Generator; None draws
            from the generator of ``numpyml.manual_seed``.
        verbose: whether to show the progress.

    After fit: ``classes_``, ``module_``, ``optimizer_``, ``history_`` (a :class:`numpyml.training.History`),
    ``n_features_in_``, and ``feature_names_in_`` where the columns of X have names. Sample weights are not supported.

    Raises: scikit-learn's own errors for X and y; numpyml's for options that do not fit, and for a loss that is no
        number any more (DivergenceError). What an earlier fit found is there then as before; the weights that
        warm_start goes on from are the last that gave a finite loss.
    """

    classes_: Array

    def fit(self, X: Any, y: Any) -> NeuralNetClassifier:
        """Train. X (rows, features) of floats, y (rows,) of labels, of any type that can be sorted."""
        with self._kept_if_it_fails():
            return self._fit_classes(X, y)

    def _fit_classes(self, X: Any, y: Any) -> NeuralNetClassifier:
        again = self._goes_on()
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), reset=not again)
        check_classification_targets(y)
        classes, indices = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if again and not np.array_equal(classes, self.classes_):
            raise DataError(
                f"NeuralNetClassifier expected the classes {self.classes_} of the fit that warm_start goes on from, "
                f"got {classes}"
            )
        self.classes_ = classes
        loss = losses.CrossEntropyWithLogits() if self.loss is None else self.loss
        return self._fit(X, indices, len(classes), loss, stratify=indices)

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (rows, classes): the softmax of the outputs."""
        probabilities: Array = activations.Softmax(1).forward(self._outputs(X))
        return probabilities

    def predict(self, X: Any) -> Array:
        """The most probable class of each row."""
        outputs = self._outputs(X)
        labels: Array = self.classes_[outputs.argmax(axis=1)]
        return labels


class NeuralNetRegressor(RegressorMixin, _NeuralNet):  # type: ignore[misc]  # scikit-learn tells no types
    """A regressor around any numpyml model whose outputs are one number for each column of y.

    Args:
        module: as of :class:`NeuralNetClassifier`; outputs is the number of columns of y.
        loss: any of outputs and targets of one shape; None: MeanSquaredError().
        validation_fraction: how large a part ``early_stopping`` holds out.

    All other arguments, the attributes after fit but ``classes_``, and the errors are those of the classifier. Scale y
    as well as X: weights start small.
    """

    _several: bool
    _columns: int

    def fit(self, X: Any, y: Any) -> NeuralNetRegressor:
        """Train. X (rows, features) of floats, y (rows,) or (rows, outputs) of numbers; scale both beforehand."""
        with self._kept_if_it_fails():
            return self._fit_columns(X, y)

    def _fit_columns(self, X: Any, y: Any) -> NeuralNetRegressor:
        again = self._goes_on()
        X, y = validate_data(
            self, X, y, dtype=(np.float64, np.float32), multi_output=True, y_numeric=True, reset=not again
        )
        y = np.asarray(y, X.dtype)
        targets = y.reshape(len(y), -1)
        if again and (y.ndim > 1, targets.shape[1]) != (self._several, self._columns):
            raise DataError(
                f"NeuralNetRegressor expected {self._columns} columns of y, those of the fit that warm_start goes on "
                f"from, got {kind_of(y)}"
            )
        self._several, self._columns = y.ndim > 1, targets.shape[1]
        loss = losses.MeanSquaredError() if self.loss is None else self.loss
        return self._fit(X, targets, targets.shape[1], loss, stratify=None)

    def predict(self, X: Any) -> Array:
        """The outputs, in the shape of y."""
        outputs = self._outputs(X)
        return outputs if self._several else outputs.reshape(-1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
