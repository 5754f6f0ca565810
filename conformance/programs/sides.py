"""One side of a history of calls: a model and its optimizer, in numpyml or in PyTorch; see pair.py."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from conformance.programs.sidebyside import Array, array, perturbed, perturbed_tensor
from numpyml.nn import Module, layers, model

Numbers = dict[str, Array]
OPTIONS = {"learning_rate": "lr"}  # PyTorch's names of options, where they differ


# Modules of both frameworks


class OurDoubling(Module):
    """2 x in evaluation, x in training."""

    def __init__(self) -> None:
        self.dropout = layers.Dropout(1.0)

    def forward(self, x: Any) -> Any:
        return x + self.dropout(x)


class TheirDoubling(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(1.0)

    def forward(self, x: Any) -> Any:
        return x + self.dropout(x)


class OurModel(Module):
    """The layers in turn, in a forward of its own."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = model.ModuleList(parts)

    def forward(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x


class TheirModel(torch.nn.Module):
    def __init__(self, parts: Sequence[Any]) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)

    def forward(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x


# One side


class Side:
    """A model, its parameters by name, and an optimizer with groups of parameters by index."""

    def __init__(self, net: Any, make_optimizer: Callable[[Any], Any], groups: Sequence[Mapping[str, Any]]) -> None:
        self.net, self.make_optimizer = net, make_optimizer
        self.named = list(net.named_parameters())
        self.groups = [dict(group) for group in groups]
        self.optimizer = make_optimizer([self.group(group) for group in groups])

    def group(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """A group of parameters by index, as the optimizer takes it."""
        raise NotImplementedError

    def copied(self, net: Any, state: Any) -> Any:
        """A side with another model, and an optimizer that has loaded a state."""
        other = type(self)(net, self.make_optimizer, self.groups)
        other.optimizer.load_state_dict(state)
        return other

    def states(self) -> list[Mapping[str, Any]]:
        """The optimizer's state of each of its parameters."""
        raise NotImplementedError

    def names(self) -> list[str]:
        """The names of the optimizer's parameters, in its order."""
        return [self.named[i][0] for group in self.groups for i in group["indices"]]

    def numbers(self) -> Numbers:
        """Copies of every parameter, gradient and state array."""
        numbers = {}
        for name, p in self.named:
            numbers[name], numbers[f"gradient of {name}"] = array(p), array(p.grad)
        for name, state in zip(self.names(), self.states(), strict=True):
            numbers |= {f"{key} of {name}": array(x) for key, x in state.items() if key != "step" and x is not None}
        return numbers

    def steps(self) -> dict[str, int]:
        """The step count of each parameter that has one."""
        pairs = zip(self.names(), self.states(), strict=True)
        return {name: int(state["step"]) for name, state in pairs if "step" in state}

    def options(self) -> list[dict[str, Any]]:
        """The options of each group, under PyTorch's names."""
        return [{OPTIONS.get(name, name): x for name, x in group.items()} for group in self.optimizer.param_groups]

    def flags(self) -> dict[str, Any]:
        """requires_grad of every parameter, and the mode of every module."""
        modes = {f"mode of {name or 'the model'}": bool(m.training) for name, m in self.net.named_modules()}
        return {f"requires_grad of {name}": bool(p.requires_grad) for name, p in self.named} | modes


class Ours(Side):
    """numpyml."""

    def group(self, group: Mapping[str, Any]) -> dict[str, Any]:
        own = [self.named[i][1] for i in group["indices"]]
        options = {name: x for name, x in group.items() if name != "indices"}
        return {"parameters": [p.data for p in own], "gradients": [p.grad for p in own], **options}

    def states(self) -> list[Mapping[str, Any]]:
        return list(self.optimizer.state)

    def saved(self) -> tuple[Any, Any]:
        return self.net.state_dict(), self.optimizer.state_dict()


class Theirs(Side):
    """PyTorch, in one precision."""

    def group(self, group: Mapping[str, Any]) -> dict[str, Any]:
        own = [self.named[i][1] for i in group["indices"]]
        return {"params": own, **{OPTIONS.get(name, name): x for name, x in group.items() if name != "indices"}}

    def states(self) -> list[Mapping[str, Any]]:
        states = self.optimizer.state
        return [states.get(p, {}) for group in self.optimizer.param_groups for p in group["params"]]

    def saved(self) -> tuple[Any, Any]:
        return copy.deepcopy((self.net.state_dict(), self.optimizer.state_dict()))

    def write(self, numbers: Numbers) -> None:
        """Write numpyml's numbers."""
        self.set(numbers)
        for name, p in self.named:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            p.grad.copy_(torch.from_numpy(numbers[f"gradient of {name}"]))
        for name, state in zip(self.names(), self.states(), strict=True):
            for key, x in state.items():
                if f"{key} of {name}" in numbers:
                    x.copy_(torch.from_numpy(numbers[f"{key} of {name}"]))

    def set(self, values: Numbers) -> None:
        """Write the parameters; recorded calls do not notice."""
        for name, p in self.named:
            p.data.copy_(torch.from_numpy(values[name]))

    def step(self) -> None:
        """A step that leaves frozen parameters as they are: to PyTorch, they have no gradient."""
        frozen = [(p, p.grad) for _, p in self.named if not p.requires_grad]
        for p, _ in frozen:
            p.grad = None
        self.optimizer.step()
        for p, gradient in frozen:
            p.grad = gradient

    def tensor(self, x: Array, requires_grad: bool = False) -> Any:
        dtype = next(p.dtype for _, p in self.named)
        return torch.from_numpy(np.array(x)).to(dtype).requires_grad_(requires_grad)

    def answers(self, x: Array, gy: Array, dtype: Any, rng: np.random.Generator | None = None) -> Numbers:
        """Output and gradients of one call, with all numbers in it moved by one unit in the last place with ``rng``.

        The parameters have their own values again afterwards, and their gradients stay.
        """
        values, save = {name: array(p) for name, p in self.named}, lambda tensor: tensor
        if rng is not None:
            self.set({name: perturbed(value, dtype, rng) for name, value in values.items()})
            x = perturbed(x, dtype, rng)
            save = lambda tensor: perturbed_tensor(tensor, dtype, rng)  # noqa: E731
        inputs = self.tensor(x, True)
        wanted = {"gradient of x": inputs} | {f"gradient of {name}": p for name, p in self.named if p.requires_grad}
        with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
            y = self.net(inputs)
        gradients = torch.autograd.grad(y, list(wanted.values()), self.tensor(gy), allow_unused=True)
        self.set(values)
        return {"output": array(y)} | {
            name: array(g) for name, g in zip(wanted, gradients, strict=True) if g is not None
        }


def same_bits(a: Any, b: Any) -> bool:
    """Whether two state dicts have the same structure, types and bits."""
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and list(a) == list(b) and all(same_bits(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same_bits, a, b))
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return bool(a == b)
