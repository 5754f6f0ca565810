"""fit: invalid arguments and data, and models that end in Sigmoid or Softmax before a loss on logits."""

import sys
import warnings

import numpy as np
import pytest
from jobs import Job, line

import numpyml
from numpyml.data import ArrayDataset, DataLoader
from numpyml.errors import (
    DataError,
    DTypeError,
    MissingPackageError,
    OptionError,
    OwnershipError,
    ShapeError,
)
from numpyml.nn import Module, Parameter, activations, layers, losses, model, optimizers, schedulers
from numpyml.random import default_generator
from numpyml.training import fit

# Validation batches of several shapes


class Half(Module):
    """Outputs in the shape of what came in."""

    def __init__(self):
        self.p = Parameter(np.ones(1))

    def forward(self, x):
        return x * self.p


def rows_of_lengths(*lengths):
    return [(np.full((2, n), 0.5), np.zeros((2, n))) for n in lengths]


@pytest.mark.parametrize("validation", [
    rows_of_lengths(3, 4),
    DataLoader(rows_of_lengths(3, 3, 4), batch_size=2, collate_fn=lambda rows: rows[-1]),
    DataLoader(rows_of_lengths(3, 4), batch_size=1),
])  # fmt: skip
def test_validation_batches_that_cannot_be_joined_are_refused_before_training(validation):
    net = Half()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    before, drawn = net.state_dict(), numpyml.manual_seed(0).bit_generator.state
    options = {"epochs": 1, "validation": validation, "progress": False}
    with pytest.raises(ShapeError, match=r"in their rows alone, .* got \((1, )?2, 3\) and \((1, )?2, 4\)"):
        fit(net, losses.MeanSquaredError(), optim, rows_of_lengths(3), metrics={"one": lambda y, t: 1}, **options)
    assert np.array_equal(net.state_dict()["p"], before["p"])
    assert default_generator().bit_generator.state == drawn
    assert len(fit(net, losses.MeanSquaredError(), optim, rows_of_lengths(3), **options)) == 1  # no metric, no matter


def test_outputs_that_cannot_be_joined_are_refused_after_the_epoch():
    class Growing(Half):
        def forward(self, x):
            return np.concatenate([x] * x.shape[1], axis=1) * self.p

    net = Growing()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    data = [(np.ones((2, n)), np.zeros(2)) for n in (1, 2)]

    class First(losses.MeanSquaredError):
        def compute(self, outputs, targets):
            return super().compute(outputs[:, 0], targets)

        def pullback(self, context, gy, needs_input_grad=(True, True)):
            return super().pullback(context, gy, needs_input_grad)[0][:, np.newaxis], None

    with pytest.raises(ShapeError, match="differ in their rows alone"):
        fit(net, First(), optim, [data[0]], epochs=1, validation=data, metrics={"one": lambda y, t: 1}, progress=False)


def test_validation_draws_before_training_leave_generators_unchanged():
    def trained(metrics):
        job = Job(dropout=0.5)
        drawing = DataLoader(
            [(np.ones(3, np.float32), np.ones(1, np.float32))] * 4, batch_size=2, shuffle=True,
            collate_fn=lambda rows: [np.stack(part) for part in zip(*rows, strict=True)],
        )  # fmt: skip
        fit(job.net, losses.MeanSquaredError(), job.optim, line(), epochs=2, validation=drawing, metrics=metrics,
            progress=False)  # fmt: skip
        return job.net.state_dict()

    one, other = trained(()), trained({"one": lambda y, t: 1})
    assert all(np.array_equal(one[name], other[name]) for name in one)


# What it warns of


@pytest.mark.parametrize("make", [
    lambda: model.Sequential(layers.Dense(3, 2), activations.Softmax(1)),
    lambda: model.Sequential(model.Sequential(layers.Dense(3, 2), activations.Sigmoid())),
    lambda: model.Sequential(layers.Dense(3, 2), activations.Sigmoid(), layers.Dropout(0.0), layers.Flatten()),
])  # fmt: skip
@pytest.mark.parametrize("loss", [losses.CrossEntropyWithLogits(), losses.BinaryCrossEntropyWithLogits()])
def test_sigmoid_or_softmax_before_a_loss_on_logits_warns(make, loss):
    net = make()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    x, _ = line()
    y = (x[:, :2] > 0).astype(np.float32) if "Binary" in repr(loss) else (x[:, 0] > 0).astype(np.int64)
    with pytest.warns(
        UserWarning, match=r"the model ends in Sequential\[.*(Sigmoid|Softmax).*expects logits"
    ) as caught:
        fit(net, loss, optim, (x, y), epochs=2, progress=False)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_custom_model_ending_in_a_sigmoid_warns():
    class Own(Module):
        def __init__(self):
            self.dense, self.squash = layers.Dense(3, 1), activations.Sigmoid()

        def forward(self, x):
            return self.squash(self.dense(x)).reshape(-1)

    net = Own()
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
    x, _ = line()
    with pytest.warns(UserWarning, match=r"Own\.squash Sigmoid\(\)"):
        fit(net, losses.BinaryCrossEntropyWithLogits(), optim, (x, (x[:, 0] > 0) * 1.0), epochs=1, progress=False)


def test_sigmoid_elsewhere_or_before_another_loss_does_not_warn():
    x, y = line()
    inside = model.Sequential(layers.Dense(3, 3), activations.Sigmoid(), layers.Dense(3, 1))
    at_the_end = model.Sequential(layers.Dense(3, 1), activations.Sigmoid())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for net, loss in ((inside, losses.BinaryCrossEntropyWithLogits()), (at_the_end, losses.MeanSquaredError())):
            optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1)
            assert fit(net, loss, optim, (x, (y > 0) * 1.0), epochs=1, progress=False)


# What it refuses


def call(**changes):
    net = layers.Dense(3, 1)
    arguments = {
        "model": net, "loss": losses.MeanSquaredError(), "data": line(), "epochs": 1, "progress": False,
        "optimizer": optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.1),
    }  # fmt: skip
    arguments |= {
        name: value(net) if callable(value) and name == "optimizer" else value for name, value in changes.items()
    }
    return fit(
        arguments.pop("model"), arguments.pop("loss"), arguments.pop("optimizer"), arguments.pop("data"), **arguments
    )


OTHER = layers.Dense(3, 1)
OTHERS = optimizers.SGD(OTHER.parameters(), OTHER.gradients(), learning_rate=0.1)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": 3}, DTypeError, "fit expected a model, got 3"),
        ({"loss": abs}, DTypeError, "fit expected a loss with forward and backward"),
        (
            {"loss": losses.MeanSquaredError(reduction="none")},
            OptionError,
            "a loss that gives one number, got an array",
        ),
        ({"optimizer": "adam"}, DTypeError, "fit expected an optimizer of numpyml.nn.optimizers, got 'adam'"),
        ({"optimizer": lambda net: OTHERS}, OwnershipError, "fit expected an optimizer of this model's parameters"),
        ({"scheduler": schedulers.StepLR(OTHERS, 1)}, OwnershipError, "fit expected a scheduler of this optimizer"),
        ({"scheduler_every": "batch"}, OptionError, "scheduler_every to be one of 'epoch', 'step'"),
        (
            {
                "optimizer": lambda net: OTHERS,
                "model": OTHER,
                "scheduler_every": "step",
                "scheduler": schedulers.ReduceLROnPlateau(OTHERS),
            },
            OptionError,
            "scheduler_every to be 'epoch' for ReduceLROnPlateau, .* got 'step'",
        ),
        ({"epochs": 0}, OptionError, "epochs to be an integer of 1 or more, got 0"),
        ({"batch_size": 0}, OptionError, "DataLoader expected batch_size to be an integer of 1 or more, got 0"),
        (
            {"data": DataLoader(ArrayDataset(*line())), "batch_size": 3},
            OptionError,
            "batch_size for arrays and datasets",
        ),
        ({"data": iter([line()])}, DTypeError, "an iterator, which is used up after one epoch"),
        ({"data": 3}, DTypeError, r"arrays \(X, y\), a dataset or a DataLoader, got 3"),
        ({"data": (np.zeros((3, 3)), np.zeros((4, 1)))}, ValueError, "arrays of one length, got lengths 3 and 4"),
        ({"data": (np.zeros((0, 3)), np.zeros((0, 1)))}, DataError, "at least one row"),
        ({"data": DataLoader(ArrayDataset(*line(3)), 4, drop_last=True)}, DataError, "at least one batch in an epoch"),
        (
            {"validation": DataLoader(ArrayDataset(*line(3)), 4, drop_last=True)},
            DataError,
            "at least one batch of validation data",
        ),
        ({"data": ArrayDataset(line()[0])}, DataError, "batches of inputs and targets, got a tuple of 1"),
        (
            {"data": list(zip(*line(), strict=True))},
            DataError,
            r"list of rows, .* shapes \(3,\) and \(1,\).*DataLoader\(rows",
        ),
        (
            {"data": [(x, y[0]) for x, y in zip(*line(), strict=True)]},
            DataError,
            r"a list of rows, .* shapes \(3,\) and \(\)",
        ),
        ({"validation": [line()[0]]}, DataError, "batches of inputs and targets"),
        ({"metrics": ["accuracies"], "validation": line()}, OptionError, "any of accuracy, f1, r2, mae, or functions"),
        ({"metrics": 3}, OptionError, "metrics to be names or functions"),
        (
            {"metrics": [lambda a, b: 0, lambda a, b: 1], "validation": line()},
            OptionError,
            "<lambda> twice",
        ),
        ({"metrics": {"loss": abs}, "validation": line()}, OptionError, "got loss, .*val_loss.* in a dict"),
        ({"metrics": {"x": abs}}, OptionError, "validation data to compute metrics on"),
        ({"monitor": "val_loss"}, OptionError, "monitor to be one of 'loss'"),
        ({"mode": "most"}, OptionError, "mode to be one of 'min', 'max'"),
        ({"patience": 0}, OptionError, "patience to be an integer of 1 or more"),
        ({"clip_grad_norm": -1}, OptionError, "clip_grad_norm to be a finite number of 0 or more"),
        ({"callbacks": [3]}, OptionError, "callbacks to be functions of one argument"),
        ({"callbacks": 5}, OptionError, "callbacks to be functions of one argument, got 5"),
        ({"progress": 2}, OptionError, "progress to be True or False"),
        ({"checkpoint": "no/such/folder/file"}, OptionError, "checkpoint to be in a folder that exists"),
        ({"best": "no/such/folder/file"}, OptionError, "best to be in a folder that exists"),
        ({"checkpoint": 5}, OptionError, "checkpoint to be a path, got 5"),
        ({"resume": 5}, DTypeError, "load expected a path, got 5"),
    ],
)
def test_invalid_arguments_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        call(**changes)


def test_outputs_of_different_shapes_are_refused_for_metrics():
    dense = layers.Dense(1, 1, dtype=np.float64)
    optim = optimizers.SGD(dense.parameters(), dense.gradients(), learning_rate=0.1)
    batches = [(np.zeros((2, n, 1)), np.zeros((2, n, 1))) for n in (3, 4)]
    with pytest.raises(ShapeError, match=r"metrics .* got \(2, 3, 1\) and \(2, 4, 1\); pad them"):
        call(model=dense, optimizer=optim, data=batches, validation=batches, metrics=[lambda a, b: 0.0])


def test_validation_that_is_not_in_memory_is_not_read_before_training():
    class Stream:
        reads = 0

        def __iter__(self):
            Stream.reads += 1
            yield from [line(5)]

    net = layers.Dense(3, 1)
    optim = optimizers.SGD(net.parameters(), net.gradients(), learning_rate=0.01)
    options = {"validation": Stream(), "metrics": {"none": lambda a, b: 0.0}, "progress": False}
    fit(net, losses.MeanSquaredError(), optim, line(), epochs=1, **options)
    assert Stream.reads == 1


def test_metrics_by_name_need_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        MissingPackageError, match=r"accuracy expected the package scikit-learn.*'provengrad\[training\]'"
    ):
        call(metrics="accuracy", validation=line())


def test_missing_safetensors_is_an_error_before_training(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(MissingPackageError, match=r"'provengrad\[checkpoint\]'"):
        call(checkpoint=tmp_path / "x", callbacks=lambda run: pytest.fail("it trained"))
