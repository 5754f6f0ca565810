"""The PyTorch module or optimizer identical to numpyml's: same arguments, weights and shared parameters."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from conformance import contracts
from conformance.errors import Misuse
from conformance.frameworks import pytorch
from conformance.rows import ModuleRow, OptimizerRow
from conformance.twins.mirror import (
    Mirror,
    MirrorBuffer,
    MirrorParameter,
    mirrored,
    plain,
    refuse_outsiders,
    torch_dtype,
)
from numpyml import Tensor
from numpyml.names import PYTORCH_OPTIONS
from numpyml.nn import Buffer, Module, Parameter, model
from numpyml.nn.drivers import is_program

OURS_ALONE = frozenset({"dtype", "generator"})  # arguments that choose precision and randomness, not meaning


def twin(module: Module, dtype: Any = None) -> Any:
    """The identical PyTorch module: a ``torch.nn.Module`` with the same weights, under the same names.

    A component that has a contract row becomes PyTorch's. A class of yours that defines ``forward`` keeps it: the same
    code, control flow included, runs on PyTorch's tensors, modules and parameters. Shared modules and parameters stay
    shared. Each side loads the state dict of the other.

    Args:
        module: a layer, a loss, or a model of these.
        dtype: dtype of the parameters; by default that of ``module``.

    Raises: Misuse without the supported PyTorch; if a module inside has neither a row nor a ``forward`` of its own;
        and, when the twin runs, if ``forward`` calls a NumPy function that has no row.
    """
    pytorch.supported()
    import torch

    if not isinstance(module, Module):
        raise Misuse(f"twin expects a numpyml module, got {type(module).__name__}")
    values = (p.data for _, p in module.named_parameters())
    chosen = np.dtype(dtype or next((x.dtype for x in values), np.float32))
    with torch.random.fork_rng(devices=[]):  # initial values are drawn and overwritten
        return _Twins(chosen).module(module)


def row_of(module: Module) -> ModuleRow | None:
    """The contract row of this module's class, or of the class that it inherits its computation from."""
    rows: dict[type, ModuleRow] = {row.ours: row for row in contracts.module_rows()}
    return rows.get(_computing(type(module))) or rows.get(type(module))


def _computing(kind: type) -> type:
    """The class that defines what a module computes."""
    return next(cls for cls in kind.__mro__ if {"forward", "compute"} & vars(cls).keys())


class _Twins:
    """The twins created so far, by id: what numpyml's side shares, PyTorch's side shares."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.modules: dict[int, Any] = {}
        self.parameters: dict[int, Any] = {}
        self.buffers: dict[int, Any] = {}
        self.stand_ins: dict[int, Module] = {}

    def module(self, module: Module) -> Any:
        """The twin of a module."""
        if id(module) not in self.modules:
            row = row_of(module)
            if row is not None and not row.container:
                self.modules[id(module)] = self.component(row, module).train(module.training)
            elif _computing(type(module)) in (Module, model.Sequential) or is_program(type(module)):
                self.modules[id(module)] = peer = self.composite(module)
                peer.training = module.training
            else:
                raise Misuse(
                    f"{type(module).__name__} defines compute and pullback and has no contract row, so its PyTorch "
                    "twin is not known; add a row, or hand over what PyTorch computes: "
                    "assert_conforms(module, *inputs, reference=...)"
                )
        return self.modules[id(module)]

    def component(self, row: ModuleRow, module: Module) -> Any:
        """PyTorch's class with the module's arguments and values; the module's class may be derived from the row's."""
        kind: Any = row.ours
        if type(module) is not kind:
            module, derived = kind.__new__(kind), module
            vars(module).update(vars(derived))
        arguments = {}
        for name in inspect.signature(row.ours).parameters:
            if name not in OURS_ALONE:
                arguments[PYTORCH_OPTIONS.get(name, name)] = self.argument(module.argument(name))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "enable_nested_tensor is True")  # an option that ours lacks
            peer = pytorch.attribute(row.torch)(**arguments).to(torch_dtype(self.dtype))
        # PyTorch's losses hold class weights as state, ours as options, which are among the arguments.
        state = peer.state_dict()
        values = {name: pytorch.tensor(self.cast(x)) for name, x in module.state_dict().items() if name in state}
        peer.load_state_dict({**state, **values})
        for name, parameter in module.named_parameters():
            owner, _, leaf = name.rpartition(".")
            if name not in state:
                continue  # a parameter of the derived class
            holder = peer.get_submodule(owner)
            holder.register_parameter(leaf, self.parameter(parameter, getattr(holder, leaf)))
        return peer

    def argument(self, value: Any) -> Any:
        """A constructor argument on PyTorch's side: arrays, modules and functions of arrays become PyTorch's."""
        if isinstance(value, np.ndarray):
            return pytorch.tensor(value.astype(self.dtype))
        if isinstance(value, Module):
            return self.module(value)
        if callable(value):
            return lambda *inputs: _tensor(value(*map(mirrored, inputs)))
        return value

    def composite(self, module: Module) -> Any:
        """A container, or a module of a user's class."""
        from torch import nn

        inside = OrderedDict((name, self.module(child)) for name, child in module.named_children())
        kind: Any = type(module)  # to the type checker, a class is not Hashable
        if kind is model.Sequential:
            return nn.Sequential(inside)
        if kind is model.ModuleList:
            return nn.ModuleList(inside.values())
        if kind is model.ModuleDict:
            return nn.ModuleDict(inside)
        peer = _program_class(kind)()
        for name, value in vars(module).items():
            if isinstance(value, Parameter):
                peer.register_parameter(name, self.parameter(value))
            elif isinstance(value, Buffer):
                peer.register_buffer(name, self.buffer(value))
        for name, child in inside.items():
            peer.add_module(name, child)
        self.modules[id(module)] = peer  # its stand-in refers to it
        peer.stand_in = self.stand_in(module)
        return peer

    def parameter(self, parameter: Parameter, peer: Any = None) -> Any:
        """The twin of a parameter: the existing one, else ``peer`` or a new one."""
        from torch import nn

        if id(parameter) not in self.parameters:
            peer = nn.Parameter(pytorch.tensor(parameter.data.astype(self.dtype))) if peer is None else peer
            self.parameters[id(parameter)] = peer.requires_grad_(parameter.requires_grad)
        return self.parameters[id(parameter)]

    def buffer(self, buffer: Buffer) -> Any:
        """The twin of a buffer: the existing one, or a new one."""
        if id(buffer) not in self.buffers:
            self.buffers[id(buffer)] = pytorch.tensor(self.cast(buffer.data))
        return self.buffers[id(buffer)]

    def cast(self, x: Any) -> Any:
        """The array; of floats, in the twin's dtype."""
        return x.astype(self.dtype) if x.dtype.kind == "f" else x

    def stand_in(self, module: Module) -> Module:
        """The ``self`` of the user's ``forward``: an instance of the module's class that holds PyTorch's modules."""
        if id(module) not in self.stand_ins:
            kind: Any = type(module)  # as above
            known_rows = contracts.module_rows() if is_program(kind) else []
            rows = [row for row in known_rows if issubclass(kind, row.ours) and kind is not row.ours]
            component: Any = rows[0].ours if rows else None
            stand_in_class = _stand_in_class(kind, component)
            self.stand_ins[id(module)] = instance = stand_in_class.__new__(stand_in_class)
            attributes = vars(instance)
            attributes["_twin"] = self.module(module)
            if rows:  # for super().forward
                attributes["_parent"] = self.parent(rows[0], module)
            for name, value in vars(module).items():
                if name not in ("training", "_record"):
                    attributes[name] = self.value(value)
        return self.stand_ins[id(module)]

    def parent(self, row: ModuleRow, module: Module) -> Any:
        """The twin of the component that a user's class is derived from, with the parameters of that class."""
        from torch import nn

        if issubclass(row.ours, model.Sequential):
            return nn.Sequential(OrderedDict((name, self.module(child)) for name, child in module.named_children()))
        return self.component(row, module)

    def value(self, value: Any) -> Any:
        """An attribute of the stand-in: a copy, since ``forward`` may change it."""
        if isinstance(value, Module):
            return self.stand_in(value)
        if isinstance(value, Parameter):
            return MirrorParameter(self.parameter(value))
        if isinstance(value, Buffer):
            return MirrorBuffer(self.buffer(value))
        if isinstance(value, Tensor):
            return Mirror(pytorch.tensor(value.data))
        if type(value) in (list, tuple):
            return type(value)(map(self.value, value))
        if type(value) is dict:
            return {name: self.value(inner) for name, inner in value.items()}
        return copy.deepcopy(value)


@cache
def _stand_in_class(kind: type, component: type | None) -> Any:
    """A subclass whose calls run the PyTorch twin; ``super().forward`` runs the twin of the component."""
    bases: tuple[type, ...] = (kind,)
    if component is not None:
        between: Any = type(component.__name__, (component,), {})
        between.forward = _run_parent
        bases = (kind, between)
    cls: Any = type(kind.__name__, bases, {})
    cls.forward, cls.compute = _run_twin, _no_arrays
    cls.training = property(lambda self: self._twin.training, lambda self, mode: self._twin.train(mode))
    return cls


def _run_twin(self: Any, *inputs: Any, **options: Any) -> Any:
    refuse_outsiders(inputs, options)
    return _run(self._twin, inputs, options)


def _run_parent(self: Any, *inputs: Any, **options: Any) -> Any:
    self._parent.training = self._twin.training
    return _run(self._parent, inputs, options)


def _no_arrays(self: Any, *inputs: Any) -> Any:
    raise Misuse(
        f"the twin of a model whose forward takes a slice of a Sequential, or calls compute of {type(self).__name__}, "
        "is not known; call the parts one by one"
    )


def _run(peer: Any, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """Call a PyTorch module in the user's ``forward``; other float dtypes are cast to its own, as numpyml does."""
    options = {name: _tensor(value) for name, value in options.items()}
    if hasattr(peer, "stand_in"):
        return mirrored(peer(*map(_tensor, inputs), **options))
    tensors = list(map(_tensor, inputs))
    floats = [x for x in (*peer.parameters(), *tensors) if hasattr(x, "is_floating_point") and x.is_floating_point()]
    if floats:
        tensors = [x.to(floats[0].dtype) if any(x is y for y in floats) else x for x in tensors]
    return mirrored(peer(*tensors, **options))


def _tensor(value: Any) -> Any:
    """The value with PyTorch tensors in place of Tensors and arrays."""
    if isinstance(value, Mirror):
        return value.torch
    if isinstance(value, (Tensor, np.ndarray)):
        return pytorch.tensor(plain(value))
    if type(value) in (list, tuple):
        return type(value)(map(_tensor, value))
    return value


@cache
def _program_class(kind: type) -> Any:
    """A PyTorch class of the same name whose forward is the user's."""
    from torch import nn

    def forward(self: Any, *inputs: Any, **options: Any) -> Any:
        if not is_program(kind):
            raise Misuse(f"{kind.__name__} defines no forward")
        mirrors = [mirrored(x) for x in inputs]
        own: Any = kind.forward  # type: ignore[attr-defined]
        if not any(isinstance(x, Mirror) for x in mirrors):
            own = own.__wrapped__
        y = own(self.stand_in, *mirrors, **{name: mirrored(value) for name, value in options.items()})
        refuse_outsiders(y)
        return _tensor(y)

    return type(kind.__name__, (nn.Module,), {"forward": forward})


def torch_optimizer(row: OptimizerRow, groups: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Any:
    """The identical PyTorch optimizer; groups hold PyTorch tensors as ``params``."""
    return pytorch.attribute(row.torch)(list(map(torch_names, groups)), **torch_names(options), foreach=False)


def torch_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options under PyTorch's names."""
    return {PYTORCH_OPTIONS.get(name, name): value for name, value in options.items()}
