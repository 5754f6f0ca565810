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

from numpyml.autograd.tape import no_grad
from numpyml.data import ArrayDataset, DataLoader
from numpyml.errors import DataError, DTypeError, MissingPackageError, OptionError, ShapeError, kind_of
from numpyml.kernels import thresholds
from numpyml.nn import activations, layers, losses, optimizers
from numpyml.nn.model import Sequential
from numpyml.nn.module import Module
from numpyml.nn.optimizers.base import Optimizer
from numpyml.nn.schedulers import Scheduler
from numpyml.options import flag, integer, require
from numpyml.random import default_generator, drawing_from
from numpyml.training import History, fit
from numpyml.typing import Array

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise MissingPackageError(
        f"numpyml.estimators expected the package scikit-learn, 1.6 or newer ({error}); "
        "install it with numpyml's extra: pip install 'provengrad[estimators]'"
    ) from None

__all__ = ["NeuralNetClassifier", "NeuralNetRegressor"]

N = TypeVar("N", bound="_NeuralNet")


class _NeuralNet(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no type annotations
    """Base class of classifier and regressor, with scikit-learn's conventions for constructor and attributes."""

    history_: History
    _source: np.random.Generator | None  # where the next partial_fit draws from

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

    def _fit(
        self: N, X: Array, targets: Array, outputs: int, loss: Any, weights: Any, partial: bool, stratify: Array | None
    ) -> N:
        """Train on what fit has checked, or make one pass over a part of the data."""
        if weights is not None:
            X, targets, loss, weighted = self._with_weights(X, targets, loss, weights)
            stratify = None if stratify is None else stratify[weighted]
        again = self._continues(partial)
        generator = (again and partial and self._source) or self._generator()
        self._source = None if self.random_state is None else generator
        with drawing_from(generator):
            if not again:
                self.module_ = self._new_module(X, outputs)
                self.optimizer_ = self._new_optimizer()
            validation: tuple[Array, ...] = ()
            if flag(self, "early_stopping", self.early_stopping):
                X, held_out, targets, their_targets = train_test_split(
                    X, targets, test_size=self.validation_fraction, stratify=stratify,
                    random_state=int(generator.integers(2**31)),
                )  # fmt: skip
                validation = held_out, their_targets
            if weights is not None and loss.reduction == "mean":
                for rows in (targets, *validation[1:]):
                    w = rows["weight"]
                    w /= w.max()  # then no sum of them overflows
                    w /= w.mean()
            history = fit(
                self.module_, loss, self.optimizer_,
                DataLoader(ArrayDataset(X, targets), self.batch_size, shuffle=True, generator=generator),
                epochs=1 if partial else self.max_epochs, validation=validation or None,
                scheduler=None if self.scheduler is None else self.scheduler(self.optimizer_),
                clip_grad_norm=self.clip_grad_norm,
                patience=self.patience if self.early_stopping else None, callbacks=self.callbacks or (),
                progress=flag(self, "verbose", self.verbose),
            )  # fmt: skip
        if again and partial:
            before = self.history_.records
            before = [*before, *({**record, "epoch": len(before) + record["epoch"]} for record in history)]
            history.records = before
        self.history_ = history
        if history.stopped.startswith("interrupted"):  # as scikit-learn's own networks do
            warnings.warn(f"the training was {history.stopped}", ConvergenceWarning, stacklevel=4)
        return self

    def _continues(self, partial: bool) -> bool:
        """Whether fit continues the last one, as partial_fit always does."""
        return (partial or bool(flag(self, "warm_start", self.warm_start))) and hasattr(self, "module_")

    def _with_weights(self, X: Array, targets: Array, loss: Any, weights: Any) -> tuple[Array, Array, Any, Array]:
        """The rows of weight above 0, their targets and weights, the weighted loss, and the rows' indices."""
        w = _check_sample_weight(weights, X, dtype=np.float64)
        if (w < 0).any():
            i = int(np.argmax(w < 0))
            raise DataError(
                f"{type(self).__name__} expected sample_weight to be 0 or more, got {w[i]} in row {i}; leave out rows "
                "with the weight 0"
            )
        weighted = np.flatnonzero(w)
        if not len(weighted):
            raise DataError(
                f"{type(self).__name__} expected a sample_weight above 0 in some row, got all zero; leave it out to "
                "weigh all rows equally"
            )
        loss = _weighted_loss(loss, self)
        if loss.reduction == "sum":
            with np.errstate(over="ignore", under="ignore"):
                lost = (w > 0) & np.isin(w.astype(X.dtype), (0, np.inf))
            if lost.any():
                i = int(np.argmax(lost))
                raise DataError(
                    f"{type(self).__name__} expected sample_weight to fit {X.dtype}, the type of X, where the loss "
                    f"sums, got {w[i]} in row {i}; scale the weights, or choose the reduction 'mean'"
                )
        both = np.empty(len(weighted), [("target", targets.dtype, targets.shape[1:]), ("weight", w.dtype)])
        both["target"], both["weight"] = targets[weighted], w[weighted]
        return X[weighted], both, loss, weighted

    def _check_part(self) -> None:
        """Refuse what a pass over a part of the data cannot do."""
        seen = "for partial_fit: what is held out of one part is learned from in another"
        require(not flag(self, "early_stopping", self.early_stopping), self, "early_stopping", True, f"False {seen}")
        begins = "None for partial_fit: a schedule would restart with every call"
        require(self.scheduler is None, self, "scheduler", self.scheduler, begins)

    @contextmanager
    def _restored_on_error(self) -> Iterator[None]:
        """A context for a fit: an error restores the results of an earlier fit."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _generator(self) -> np.random.Generator:
        """The generator for initial weights, orders, dropout and the held-out rows."""
        state = self.random_state
        if state is None:
            return default_generator()
        if isinstance(state, np.random.RandomState):
            return np.random.default_rng(int(state.randint(2**31)))
        if isinstance(state, np.random.Generator):
            return state
        return np.random.default_rng(int(integer(self, "random_state", state, 0)))

    def _new_module(self, X: Array, outputs: int) -> Module:
        """A new model: a copy of ``module``, or what it returns."""
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
        net: Any = copy.deepcopy(self.module) if isinstance(self.module, Module) else None
        if net is None:
            if not callable(self.module):
                raise DTypeError(
                    f"{type(self).__name__} expected module to be a model, or a function of (features, outputs) that "
                    f"makes one, got {kind_of(self.module)}; leave it out for Dense layers of hidden_layer_sizes"
                )
            net = self.module(X.shape[1], outputs)
            if not isinstance(net, Module):
                raise DTypeError(
                    f"{type(self).__name__} expected module to make a model, got {kind_of(net)}; return a Module, such "
                    "as a Sequential"
                )
        with no_grad():
            y: Any = net.eval().forward(X[:1])
        shape = getattr(y, "shape", f"a {type(y).__name__}")
        if shape != (1, outputs):
            raise ShapeError(
                f"{type(self).__name__} expected a module whose outputs have shape (rows, {outputs}), got {shape} for "
                "one row; give module=lambda features, outputs: ... to build one of the right size"
            )
        return net

    def _new_optimizer(self) -> Optimizer:
        return self.optimizer(self.module_.parameters(), self.module_.gradients(), learning_rate=self.learning_rate)

    def _outputs(self, X: Any) -> Array:
        """The model's outputs, computed in batches."""
        check_is_fitted(self, "module_")
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        with no_grad():
            parts = DataLoader(ArrayDataset(X), thresholds.PREDICTED_ROWS)
            return np.concatenate([self.module_.forward(rows) for (rows,) in parts])

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "optimizer_" in state:  # it refers to the arrays of this module_: a copy makes an optimizer of its own
            state["optimizer_"] = state["optimizer_"].state_dict()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "optimizer_" in state:
            self.optimizer_ = self._new_optimizer()
            self.optimizer_.load_state_dict(state["optimizer_"])


def _weighted_loss(loss: Any, owner: object) -> Any:
    """The loss with weighted rows: the mean of w l, or Σ w l where the reduction is 'sum'.

    A subclass of the same name, so that ``isinstance`` and messages treat it as the loss.
    """
    name = type(owner).__name__
    if not isinstance(loss, Module) or getattr(loss, "reduction", None) not in ("mean", "sum"):
        raise DTypeError(
            f"{name} expected a loss that has a reduction, 'mean' or 'sum', to weigh rows by sample_weight, "
            f"got {kind_of(loss)}; leave sample_weight out"
        )
    if isinstance(loss, losses.CrossEntropyWithLogits) and loss.reduction == "mean":
        where = f"{name} expected a loss without {{}} beside sample_weight, since both weigh the mean; {{}}"
        if loss.weight is not None:
            raise OptionError(where.format("class weights", "multiply sample_weight by them"))
        if loss.ignore_index >= 0:
            raise OptionError(where.format("ignore_index", "leave it out and give its rows the weight 0"))
    each: Any = copy.copy(loss)
    each.reduction = "none"

    def compute(self: Any, outputs: Array, targets: Array) -> tuple[Any, Any]:
        w = targets["weight"]
        row_losses, context = each.compute(outputs, targets["target"])
        if row_losses.shape[:1] != w.shape:
            raise ShapeError(
                f"expected a loss for each of {len(w)} rows where reduction is 'none', got {kind_of(row_losses)}; "
                "leave sample_weight out, or take another loss",
                self,
            )
        n = 1 if self.reduction == "sum" else row_losses.size
        share = (w / n).astype(row_losses.dtype).reshape(-1, *[1] * (row_losses.ndim - 1))
        return row_losses.dtype.type((share * row_losses).sum()), (context, share, row_losses.shape)

    def pullback(self: Any, context: Any, gy: Any, needs_input_grad: Sequence[bool] = (True, True)) -> Any:
        inner, share, shape = context
        return each.pullback(inner, np.broadcast_to(gy * share, shape), (needs_input_grad[0], False))

    weighted = copy.copy(loss)
    weighted.__class__ = type(type(loss).__name__, (type(loss),), {"compute": compute, "pullback": pullback})
    return weighted


class NeuralNetClassifier(ClassifierMixin, _NeuralNet):  # type: ignore[misc]  # scikit-learn has no type annotations
    """A classifier around any numpyml model whose outputs are one logit for each class.

    Args:
        module: a numpyml model, which is copied, or a function of (features, outputs) that makes one: the numbers of
            columns of X and of classes. None: Dense layers in the dtype of X (float32 or float64), ReLU between them.
        hidden_layer_sizes: the widths of these layers but the last.
        loss: any that takes logits and class indices; None: CrossEntropyWithLogits().
        optimizer: a class of numpyml.nn.optimizers, or a function of (parameters, gradients, learning_rate=...).
        learning_rate: its rate.
        max_epochs, batch_size, clip_grad_norm, callbacks: see :func:`numpyml.training.fit`.
        scheduler: a function of the optimizer that makes a schedule, stepped every epoch.
        early_stopping: whether to hold out a part of the rows, end after ``patience`` epochs without a smaller loss on
            it, and restore the weights of the best epoch.
        validation_fraction: the fraction of the rows to hold out, stratified by class.
        patience: in epochs.
        warm_start: whether fit continues from the weights and the optimizer of the last fit.
        random_state: determines initial weights, orders and dropout: a seed, a RandomState or a Generator; None draws
            from the generator of ``numpyml.manual_seed``.
        verbose: whether to show the progress.

    After fit: ``classes_``, ``module_``, ``optimizer_``, ``history_`` (a :class:`numpyml.training.History`),
    ``n_features_in_``, and ``feature_names_in_`` where the columns of X have names.

    Raises: scikit-learn's own errors for X and y; numpyml's for options that do not fit, and for a loss that is
        not finite (DivergenceError). The results of an earlier fit are then unchanged; the weights that warm_start
        continues from are the last that gave a finite loss.
    """

    classes_: Array

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuralNetClassifier:
        """Train. X (rows, features) of floats, y (rows,) of labels, of any type that can be sorted.

        ``sample_weight`` (rows,), each 0 or more: the loss of a batch is the mean of w l, and w is scaled to a mean of
        1 over all training rows, so that the loss of an epoch is Σ w l / Σ w; likewise over the held-out
        rows. With the reduction 'sum' the loss is Σ w l, and w is not scaled. A row of weight 0 is left out.
        """
        with self._restored_on_error():
            return self._fit_classes(X, y, sample_weight, False)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> NeuralNetClassifier:
        """One pass over a part of the data, from where the last one ended.

        ``classes``: at the first call, all that any part will have. ``history_`` continues; there is no early stopping
        and no schedule. ``sample_weight`` is scaled to a mean of 1 over the part.
        """
        with self._restored_on_error():
            self._check_part()
            _check_partial_fit_first_call(self, classes)  # sets classes_
            return self._fit_classes(X, y, sample_weight, True)

    def _fit_classes(self, X: Any, y: Any, weights: Any, partial: bool) -> NeuralNetClassifier:
        again = self._continues(partial)
        X, y = validate_data(self, X, y, dtype=(np.float64, np.float32), reset=not again)
        check_classification_targets(y)
        classes, indices = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if partial:
            if (others := np.setdiff1d(classes, self.classes_)).size:
                raise DataError(
                    f"NeuralNetClassifier expected labels among {self.classes_}, got {others[0]}; pass all classes to "
                    "the first partial_fit"
                )
            classes, indices = self.classes_, np.searchsorted(self.classes_, classes)[indices]
        if again and not np.array_equal(classes, self.classes_):
            raise DataError(
                f"NeuralNetClassifier expected the classes {self.classes_} of the fit that warm_start goes on from, "
                f"got {classes}; use partial_fit, or warm_start=False"
            )
        self.classes_ = classes
        loss = losses.CrossEntropyWithLogits() if self.loss is None else self.loss
        return self._fit(X, indices, len(classes), loss, weights, partial, stratify=indices)

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (rows, classes): the softmax of the outputs."""
        probabilities: Array = activations.Softmax(1).forward(self._outputs(X))
        return probabilities

    def predict(self, X: Any) -> Array:
        """The most probable class of each row."""
        outputs = self._outputs(X)
        labels: Array = self.classes_[outputs.argmax(axis=1)]
        return labels


class NeuralNetRegressor(RegressorMixin, _NeuralNet):  # type: ignore[misc]  # scikit-learn has no type annotations
    """A regressor around any numpyml model whose outputs are one number for each column of y.

    Args:
        module: as of :class:`NeuralNetClassifier`; outputs is the number of columns of y.
        loss: any of outputs and targets of one shape; None: MeanSquaredError().
        validation_fraction: the fraction of the rows that ``early_stopping`` holds out.

    All other arguments, the attributes after fit but ``classes_``, and the errors are those of the classifier. Scale y
    as well as X: weights start small.
    """

    _several: bool
    _columns: int

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuralNetRegressor:
        """Train. X (rows, features) of floats, y (rows,) or (rows, outputs) of numbers; scale both beforehand.

        ``sample_weight``: as of the classifier.
        """
        with self._restored_on_error():
            return self._fit_columns(X, y, sample_weight, False)

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> NeuralNetRegressor:
        """One pass over a part of the data, from where the last one ended; as of the classifier."""
        with self._restored_on_error():
            self._check_part()
            return self._fit_columns(X, y, sample_weight, True)

    def _fit_columns(self, X: Any, y: Any, weights: Any, partial: bool) -> NeuralNetRegressor:
        again = self._continues(partial)
        X, y = validate_data(
            self, X, y, dtype=(np.float64, np.float32), multi_output=True, y_numeric=True, reset=not again
        )
        y = np.asarray(y, X.dtype)
        targets = y.reshape(len(y), -1)
        if again and (y.ndim > 1, targets.shape[1]) != (self._several, self._columns):
            raise DataError(
                f"NeuralNetRegressor expected {self._columns} columns of y, those of the fit that this one goes on "
                f"from, got {kind_of(y)}; use another estimator for other targets"
            )
        self._several, self._columns = y.ndim > 1, targets.shape[1]
        loss = losses.MeanSquaredError() if self.loss is None else self.loss
        return self._fit(X, targets, targets.shape[1], loss, weights, partial, stratify=None)

    def predict(self, X: Any) -> Array:
        """The outputs, in the shape of y."""
        outputs = self._outputs(X)
        return outputs if self._several else outputs.reshape(-1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
