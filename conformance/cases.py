"""One drawn example of a row, and the problem that the comparison rule is put to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from hypothesis import strategies as st

from conformance.bound import Array, Given, Problem
from conformance.divergences import LIMITS, NOT_GIVEN
from conformance.frameworks import numpyml as framework
from conformance.frameworks import pytorch
from conformance.rows import Call, FunctionRow, ModuleRow
from conformance.strategies import Draw, laid_out, seeds, single
from conformance.twin import twin

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


class ModuleCase:
    """A component with drawn options, inputs, parameters and incoming gradient."""

    def __init__(
        self, row: ModuleRow, options: dict[str, Any], inputs: tuple[Given, ...], dtype: Any, training: bool, seed: int
    ) -> None:
        self.row, self.options, self.inputs = row, options, inputs
        self.dtype, self.training, self.seed = np.dtype(dtype), training, seed
        several = [f"x{i}" for i in range(len(inputs))] if len(inputs) > 1 else ["x"]
        self.names = ["outputs", "targets"] if row.loss else several

    def make(self, dtype: Any = None, arrays: Mapping[str, Array] | None = None) -> Any:
        """Our module, its parameters as in ``arrays`` (by default the case's own), its masks PyTorch's."""
        module = framework.make(self.row, self.options, dtype or self.dtype).train(self.training)
        framework.inject_masks(module, self._mask)
        for name, data in framework.parameters(module).items():
            data[...] = (arrays or {})[name] if arrays is not None else self.parameter(name, data.shape)
        return module

    def parameter(self, name: str, shape: tuple[int, ...]) -> Array:
        rng = np.random.default_rng([self.seed, *map(ord, name)])
        return single(rng.standard_normal(shape))

    def _mask(self, place: int, p: float, shape: tuple[int, ...], dtype: Any) -> Array:
        import torch

        torch.manual_seed(self.seed % 2**31 + place)
        kind = torch.float64 if np.dtype(dtype).itemsize > 4 else torch.float32
        mask = torch.nn.functional.dropout(torch.ones(shape, dtype=kind), p).numpy()
        if np.dtype(dtype).itemsize > 8:  # the scale with all its digits
            return np.where(mask != 0, np.divide(1, np.subtract(1, p, dtype=dtype), dtype=dtype), 0)
        return mask

    def twin(self, module: Any, dtype: Any) -> Any:
        """The PyTorch twin, every Dropout inside drawing the mask that was injected into ours."""
        import torch

        made = twin(module, dtype)
        dropouts = [inner for inner in made.modules() if isinstance(inner, torch.nn.Dropout)]
        for place, inner in enumerate(dropouts):

            def restart(*_: Any, seed: int = self.seed % 2**31 + place) -> None:
                torch.manual_seed(seed)

            inner.register_forward_pre_hook(restart)
        return made

    def arrays(self, arrays: Mapping[str, Array]) -> list[Array]:
        """The inputs, in their memory layouts and read-only."""
        return [
            laid_out(arrays.get(name, given.values), given.layout)
            for name, given in zip(self.names, self.inputs, strict=True)
        ]

    @cached_property
    def given(self) -> dict[str, Given]:
        """Every floating number that goes in, by name."""
        module = self.make(np.float64)
        given = {name: x for name, x in zip(self.names, self.inputs, strict=True) if x.floating}
        given |= {name: Given(np.array(data)) for name, data in framework.parameters(module).items()}
        y = self.twin(module, np.float64)(*map(pytorch.tensor, self.arrays({n: g.values for n, g in given.items()})))
        gy = np.random.default_rng([self.seed, 7]).standard_normal(tuple(y.shape))
        given["incoming gradient"] = Given(single(gy))
        return given

    def ours(self, arrays: Mapping[str, Array], driver: str = "explicit") -> dict[str, Array]:
        gy = arrays["incoming gradient"]
        module = self.make(gy.dtype, arrays)
        gy = laid_out(gy, "fortran" if self.seed % 2 else "strided")
        with np.errstate(all="ignore"):
            y, gxs = getattr(framework, driver)(module, self.arrays(arrays), gy)
        found = {"output": y}
        for name, given, gx in zip(self.names, self.inputs, gxs, strict=False):
            if given.floating:
                found[f"gradient of {name}"] = np.asarray(gx)
        return found | {f"gradient of {name}": np.array(g) for name, g in framework.gradients(module).items()}

    def dynamic(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        return self.ours(arrays, "dynamic")

    def torch(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """PyTorch's answers; where they are NaN for no reason that mathematics has, the limit instead."""
        found = self._torch(arrays)
        logits = arrays[self.names[0]]
        if self.row.name in LIMITS and np.isinf(logits).any():
            largest = 1e36 if logits.dtype == np.float32 else 1e300
            near = self._torch({**arrays, self.names[0]: np.clip(logits, -largest, largest)})
            for name, value in near.items():
                limit = np.where(np.abs(value) > largest**0.9, np.copysign(np.inf, value), value)
                found[name] = np.where(np.isnan(found[name]), limit.astype(value.dtype), found[name])
        return found

    def _torch(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        gy = arrays["incoming gradient"]
        made = self.twin(self.make(gy.dtype, arrays), gy.dtype)
        inputs = [pytorch.tensor(x, requires_grad=True) for x in self.arrays(arrays)]
        y = made(*inputs)
        named = [(name, x) for name, x in zip(self.names, inputs, strict=True) if x.requires_grad]
        named += list(made.named_parameters())
        found = pytorch.gradients([y], [x for _, x in named], [gy])
        return {"output": pytorch.array(y)} | {
            f"gradient of {name}": g for (name, _), g in zip(named, found, strict=True)
        }

    def problem(self, driver: str = "dynamic") -> Problem:
        return Problem(self.given, self.dynamic if driver == "dynamic" else self.ours, self.torch)

    def __repr__(self) -> str:
        lines = [f"{framework.make(self.row, self.options, self.dtype)!r}, {self.dtype}, training={self.training}"]
        lines += [f"    {name} = {given!r}" for name, given in zip(self.names, self.inputs, strict=True)]
        return "\n".join([*lines, f"    seed = {self.seed}"])


class FunctionCase:
    """A NumPy function with drawn operands and options."""

    def __init__(self, row: FunctionRow, call: Call, dtype: Any, seed: int) -> None:
        self.row, self.call, self.dtype, self.seed = row, call, np.dtype(dtype), seed

    def arrays(self, arrays: Mapping[str, Array]) -> list[Array]:
        return [laid_out(arrays[name], given.layout) for name, given in self.call.operands.items()]

    @cached_property
    def given(self) -> dict[str, Given]:
        given = dict(self.call.operands)
        operands = [pytorch.tensor(x) for x in self.arrays({name: g.values for name, g in given.items()})]
        for i, y in enumerate(_listed(self._torch(operands))):
            gy = np.random.default_rng([self.seed, i]).standard_normal(tuple(y.shape))
            given[f"incoming gradient {i}"] = Given(single(gy))
        return given

    def _torch(self, operands: list[Any]) -> Any:
        import torch

        return self.row.torch(torch, *operands, **self.call.options)

    def apply(self, operands: list[Any]) -> Any:
        """The function itself, on arrays or Tensors."""
        with np.errstate(all="ignore"):
            return (self.row.ours or self.row.function)(*operands, **self.call.options)

    def ours(self, arrays: Mapping[str, Array], times: int = 1) -> dict[str, Array]:
        operands = [framework.tensor(x) for x in self.arrays(arrays)]
        ys = _listed(self.apply(operands))
        for i, y in enumerate(ys):
            for _ in range(times if y.node is not None or y.requires_grad else 0):
                y.backward(laid_out(arrays[f"incoming gradient {i}"], "C"), retain_graph=True)
        found = {f"output {i}": y.data for i, y in enumerate(ys)}
        for name, x in zip(self.call.operands, operands, strict=True):
            found[f"gradient of {name}"] = np.zeros_like(x.data) if x.grad is None else x.grad
        return found

    def torch(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        operands = [pytorch.tensor(x, requires_grad=True) for x in self.arrays(arrays)]
        ys = _listed(self._torch(operands))
        gxs = pytorch.gradients(ys, operands, [arrays[f"incoming gradient {i}"] for i in range(len(ys))])
        found = {f"output {i}": pytorch.array(y) for i, y in enumerate(ys)}
        return found | {f"gradient of {name}": g for name, g in zip(self.call.operands, gxs, strict=True)}

    def problem(self, times: int = 1) -> Problem:
        """The call, and as many backwards."""

        def torch(arrays: Mapping[str, Array]) -> dict[str, Array]:
            found = self.torch(arrays)
            return {name: y * times if name.startswith("gradient") else y for name, y in found.items()}

        return Problem(self.given, lambda arrays: self.ours(arrays, times), torch)

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.call.options.items())
        lines = [f"{self.row.name}({', '.join(self.call.operands)}{options}), {self.dtype}"]
        lines += [f"    {name} = {given!r}" for name, given in self.call.operands.items()]
        return "\n".join([*lines, f"    seed = {self.seed}"])


def _listed(y: Any) -> list[Any]:
    return list(y) if isinstance(y, (list, tuple)) else [y]


@st.composite
def module_cases(draw: Draw, row: ModuleRow) -> ModuleCase:
    """Options, inputs, precision and mode of a component."""
    options = {name: draw(strategy) for name, strategy in row.options.items()}
    inputs = draw(row.inputs(options))
    return ModuleCase(row, options, inputs, draw(st.sampled_from(DTYPES)), draw(st.booleans()), draw(seeds))


@st.composite
def function_cases(draw: Draw, row: FunctionRow) -> FunctionCase:
    """Operands, options and precision of a function."""
    calls = row.calls.filter(lambda call: not any((row.name, x.kind) in NOT_GIVEN for x in call.operands.values()))
    return FunctionCase(row, draw(calls), draw(st.sampled_from(DTYPES)), draw(seeds))
