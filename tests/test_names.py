"""PyTorch's names: the error that Python raises for one gives the name to use here."""

import copy
import importlib
import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest

import numpyml
from numpyml import data, nn
from numpyml.nn import Module, activations, init, layers, losses, model, optimizers, schedulers, utils

NAMESPACES = [numpyml, nn, layers, activations, losses, optimizers, schedulers, model, init, utils, data]


@pytest.mark.parametrize(
    ("namespace", "name", "here"),
    [
        (layers, "Linear", "numpyml.nn.layers.Dense"),
        (nn, "Linear", "numpyml.nn.layers.Dense"),
        (nn, "CrossEntropyLoss", "numpyml.nn.losses.CrossEntropyWithLogits"),
        (losses, "MSELoss", "numpyml.nn.losses.MeanSquaredError"),
        (nn, "ReLU", "numpyml.nn.activations.ReLU"),
        (layers, "Sequential", "numpyml.nn.model.Sequential"),
        (nn, "optim", "numpyml.nn.optimizers"),
        (numpyml, "optim", "numpyml.nn.optimizers"),
        (optimizers, "lr_scheduler", "numpyml.nn.schedulers"),
        (optimizers, "StepLR", "numpyml.nn.schedulers.StepLR"),
        (numpyml, "tensor", "numpyml.Tensor"),
        (numpyml, "DataLoader", "numpyml.data.DataLoader"),
        (data, "TensorDataset", "numpyml.data.ArrayDataset"),
        (numpyml, "tanh", "np.tanh, which takes Tensors"),
    ],
)
def test_pytorch_name_gives_an_error_with_our_name(namespace, name, here):
    with pytest.raises(AttributeError) as caught:
        getattr(namespace, name)
    assert str(caught.value) == f"module {namespace.__name__!r} has no attribute {name!r}; here it is {here}"
    assert not hasattr(namespace, name)


@pytest.mark.parametrize("namespace", NAMESPACES, ids=lambda module: module.__name__)
def test_other_unknown_name_gives_pythons_error(namespace):
    with pytest.raises(AttributeError) as caught:
        namespace.nothing  # noqa: B018  # reading it is the test
    assert str(caught.value) == f"module {namespace.__name__!r} has no attribute 'nothing'"
    assert caught.value.name == "nothing" and caught.value.obj is namespace  # so Python can suggest a near one
    everything = {}
    exec(f"from {namespace.__name__} import *", everything)
    assert set(namespace.__all__) <= set(everything)
    with pytest.raises(ImportError, match="cannot import name 'Linear'"):
        exec(f"from {namespace.__name__} import Linear")


@pytest.mark.parametrize("name", ["typecodes", "sctypeDict", "a.b", "nn.layers", "a b", ""])
@pytest.mark.parametrize("namespace", [numpyml, nn, data], ids=lambda module: module.__name__)
def test_odd_attribute_names_give_pythons_error(namespace, name):
    """Tables of NumPy's, which have no hash; and what would be the path of a submodule."""
    with pytest.raises(AttributeError) as caught:
        getattr(namespace, name)
    assert str(caught.value) == f"module {namespace.__name__!r} has no attribute {name!r}"


def test_a_submodule_is_imported_alone():
    """Looking it up as an attribute, which Python does first, imports nothing else."""
    code = "import sys; from numpyml import errors; print('numpyml.nn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert importlib.import_module("numpyml.errors") is numpyml.errors


P = np.ones(3, np.float32), np.ones(3, np.float32)


class Mine(Module):
    """Takes nothing of what PyTorch takes."""

    def __init__(self, width):
        self.width = width


class Inherits(layers.Dense):
    """Its constructor is the layer's."""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optimizers.Adam([P[0]], [P[1]], lr=1e-3), "Adam 'lr'; its name here is learning_rate"),
        (lambda: optimizers.AdamW([P[0]], lr=1e-3), "AdamW 'lr'; its name here is learning_rate"),
        (lambda: optimizers.SGD(params=[P[0]]), "SGD 'params'; parameters and gradients are two lists here"),
        (lambda: optimizers.Adam([P[0]], [P[1]], fused=True), "Adam 'fused'; an implementation switch of PyTorch's"),
        (lambda: layers.Dense(2, 3, device="cpu"), "Dense 'device'; there is one device"),
        (lambda: Inherits(2, 3, device="cpu"), "Dense 'device'; there is one device"),
        (lambda: layers.Dropout(0.5, inplace=True), "Dropout 'inplace'; nothing that a caller holds is written to"),
        (
            lambda: data.DataLoader([1], num_workers=2),
            "DataLoader 'num_workers'; batches are made ahead in a thread, with prefetch",
        ),
        (
            lambda: losses.MeanSquaredError(size_average=True),
            "MeanSquaredError 'size_average'; deprecated by PyTorch in favour of reduction",
        ),
        # any other keyword gives Python's error
        (lambda: layers.Dense(2, 3, nothing=1), "Dense 'nothing'"),
        (lambda: optimizers.SGD([], [], nothing=1), "SGD 'nothing'"),
        (lambda: layers.Dense(2, 3, lr=0.1), "Dense 'lr'"),
        (lambda: layers.Dense(2, 3, params=[]), "Dense 'params'"),
        (lambda: layers.Dense(2, 3, num_workers=2), "Dense 'num_workers'"),
        (lambda: schedulers.StepLR(None, lr=1), "StepLR 'lr'"),
        (lambda: Mine(lr=3), "Mine 'lr'"),
        (lambda: Mine(4, params=2), "Mine 'params'"),
        (lambda: Mine(3, fused=True), "Mine 'fused'"),
    ],
)
def test_pytorch_keyword_gives_an_error_with_our_keyword(call, message):
    name, rest = message.split(" ", 1)
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == f"{name}.__init__() got an unexpected keyword argument {rest}"


class Own(Module):
    def __init__(self, width, lr=1.0, **options):
        self.width, self.lr, self.options = width, lr, options


class Narrow(Own):
    def __init__(self, lr):
        super().__init__(3, lr, device="mine")


def test_user_classes_may_use_pytorch_keywords():
    own = Narrow(lr=2.0)
    assert own.lr == 2.0 and own.options == {"device": "mine"}
    assert str(inspect.signature(Narrow)) == "(lr)"
    assert not hasattr(Narrow.__init__, "__wrapped__")  # nor a frame in its tracebacks
    assert pickle.loads(pickle.dumps(own)).lr == copy.deepcopy(own).lr == 2.0
    with pytest.raises(TypeError, match="device"):
        Narrow(lr=2.0, device="cpu")


def test_the_signature_of_a_class_is_that_of_its_constructor():
    class Narrow(layers.TransformerEncoderLayer):
        pass

    for cls in (layers.TransformerEncoderLayer, Narrow):
        assert list(inspect.signature(cls).parameters)[:3] == ["d_model", "nhead", "dim_feedforward"]
    assert not inspect.signature(activations.ReLU).parameters
