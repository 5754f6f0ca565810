"""One drawn example of a function's row."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from conformance import divergences
from conformance.cases.common import DTYPES, UNUSUAL, Case, answers, incoming_name, large_sizes, precisions
from conformance.cases.spellings import FUNCTION, METHODS_OF_ARRAYS, OF_ARRAYS, OPERATOR, spellings
from conformance.comparison.answers import Answer, output
from conformance.comparison.rule import Input, Problem
from conformance.frameworks import numpyml, pytorch, under_test
from conformance.records import NaNAnswer, NotCompared
from conformance.references.arithmetic import fold
from conformance.rows import Call, FunctionRow
from conformance.strategies.arrays import growing, incoming, incoming_layouts, laid_out, seeds
from conformance.strategies.calls import FEWER, NUMBER
from conformance.strategies.coverage import Coverage, Draw, likely, mark, may_hold
from conformance.strategies.offered import EVERYTHING, offered
from numpyml.nested import leaves
from numpyml.typing import Array


class FunctionCase(Case):
    """A NumPy function with drawn operands and options."""

    row: FunctionRow
    incoming_promised = tuple(layout for layout in UNUSUAL if layout != "fortran")  # few results have two axes

    def __init__(self, row: FunctionRow, call: Call, dtype: Any, seed: int, plain: Container[str] = ()) -> None:
        """``plain`` operands are passed to the framework as NumPy's arrays, and have no gradient."""
        super().__init__(row, call.options, dtype, seed)
        self.call = call
        self.variables = [name for name in call.operands if name not in plain]
        self.spelling = FUNCTION
        self.listed = False  # whether plain operands in float64 are nested lists

    @property
    def defaults(self) -> Mapping[str, Any]:
        """NumPy's defaults."""
        return self.row.defaults

    @property
    def named_inputs(self) -> Mapping[str, Input]:
        return self.call.operands

    def arrays(self, arrays: Mapping[str, Array]) -> list[Array]:
        return [laid_out(arrays[name], operand.layout) for name, operand in self.call.operands.items()]

    @cached_property
    def numbers(self) -> dict[str, Input]:  # type: ignore[override]  # computed when it is first asked for
        numbers = dict(self.call.operands)
        operands = [pytorch.tensor(x.values) for x in numbers.values()]
        for i, y in enumerate(leaves(self._torch(operands))):
            numbers[incoming_name(i)] = incoming(
                tuple(y.shape), self.seed, i, layout=None if i else self.incoming_layout
            )
        return numbers

    def _torch(self, operands: Sequence[Any]) -> Any:
        import torch

        return self.row.torch(torch, *operands, **self.options)

    def differentiated(self, arrays: Mapping[str, Array]) -> list[Array]:
        """The operands of which a gradient is asked."""
        return [x for name, x in zip(self.call.operands, self.arrays(arrays), strict=True) if name in self.variables]

    def function(
        self, namespace: Any, arrays: Mapping[str, Array], brief: bool = False, spelling: str | None = None
    ) -> Callable[..., Any]:
        """The function of the operands that are no plain arrays, from this namespace, in the case's own spelling or in
        this one. In every other case, and where it is to be brief, options at NumPy's own defaults are left out."""
        options = self.passed(self.options)
        if brief:
            options = {name: x for name, x in options.items() if not self.row.at_default(name, x)}
        spelling = self.spelling if spelling is None else spelling
        spelled = spellings(self.row, len(self.call.operands), options).get(spelling)
        operands = dict(zip(self.call.operands, self.arrays(arrays), strict=True))
        most = max(x.ndim for x in operands.values())
        # A plain operand without axes is a Python number where another has axes.
        plain: dict[str, Any] = {name: x.item() if most > x.ndim == 0 else x for name, x in operands.items()}
        if self.listed:
            lists = {name for name, x in operands.items() if x.dtype == np.float64 and x.ndim and x.size}
            plain |= {name: operands[name].tolist() for name in lists}

        def call(*variables: Any) -> Any:
            arguments = {**plain, **dict(zip(self.variables, variables, strict=False))}
            if spelled is not None:
                return spelled(*arguments.values(), **options)
            return self.row.call(namespace, *arguments.values(), **options)

        return call

    def ways(self) -> list[str]:
        """Every spelling that this case can have."""
        first = next(iter(self.call.operands)) in self.variables
        known = spellings(self.row, len(self.call.operands), self.passed(self.options))
        return [FUNCTION, *(way for way in known if first or way in OF_ARRAYS)]

    def _run(
        self, arrays: Mapping[str, Array], framework: Any, brief: bool = False, **options: Any
    ) -> dict[Answer, Array]:
        gys = self.gradients_of(arrays)
        function = self.function(framework.NAMESPACE, arrays, brief)
        try:
            with np.errstate(all="ignore"):
                ys, gxs = framework.differentiate(function, self.differentiated(arrays), gys, **options)
        except TypeError as error:
            if framework.NAME != "numpyml" and "unexpected keyword argument" in str(error):  # an option it has not
                if not brief:
                    return self._run(arrays, framework, True, **options)
                raise NotImplementedError(f"{self.row.name}: {error}") from error
            raise
        return answers(map(np.asarray, ys), dict(zip(self.variables, map(np.asarray, gxs), strict=True)))

    def ours(self, arrays: Mapping[str, Array], **options: Any) -> dict[Answer, Array]:
        """The framework's answers."""
        return self._run(arrays, under_test(), **options)

    def torch(self, arrays: Mapping[str, Array], times: int = 1) -> dict[Answer, Array]:
        """PyTorch's answers; after no backward, of the function alone."""
        operands = [pytorch.tensor(arrays[name], requires_grad=times > 0) for name in self.call.operands]
        ys = leaves(self._torch(operands))
        gys = [arrays[incoming_name(i)] for i in range(len(ys))]
        gxs = pytorch.gradients(ys, operands, gys) if times else []
        gradients = {name: times * g for name, g in zip(self.call.operands, gxs, strict=times > 0)}
        theirs = answers(map(pytorch.array, ys), gradients)
        for answer in [answer for answer in theirs if divergences.reason(self.row.name, NaNAnswer, str(answer))]:
            x, *others = (arrays[operand] for operand in self.call.operands)
            y = theirs[answer]
            nan = fold(np.isnan(theirs[output()]) * 1.0, y.shape) > 0 if others else np.isnan(x)
            theirs[answer] = np.where(nan, np.nan, y).astype(x.dtype)
        return theirs

    def problem(self, backward: int = 1) -> Problem:
        """The call, and so many backwards; with none, only the framework under test computes gradients."""
        several: dict[str, Any] = {} if backward < 2 else {"times": backward}
        formula = self.row.reference

        def referee(arrays: Mapping[str, Array]) -> dict[Answer, Array]:
            if formula is None:
                return self._run(arrays, numpyml, **several)
            operands = {name: arrays[name] for name in self.call.operands}
            ys, gxs = formula(operands, self.options, [x for name, x in arrays.items() if name not in operands])
            wide = answers(ys, {name: backward * gx for name, gx in gxs.items()})
            ours = [a for a in wide if divergences.reason(self.row.name, NaNAnswer, str(a), numpyml)]
            if ours and not divergences.reason(self.row.name, NaNAnswer, str(ours[0])):
                # The formulas say NaN as numpyml does. A framework that has not documented that is held to PyTorch.
                theirs = self.torch({name: np.asarray(x, np.float64) for name, x in arrays.items()}, backward)
                for answer in set(ours) & set(theirs):  # gradients are there after a backward alone
                    wide[answer] = np.where(np.isnan(wide[answer]), theirs[answer], wide[answer])
            return wide

        return Problem(
            self.numbers,
            lambda arrays: self.ours(arrays, **several),
            lambda arrays: self.torch(arrays, backward),
            referee,
            formula=formula.how if formula else "",
        )

    def coverage(self) -> Coverage:
        coverage = super().coverage()
        self.add_incoming(coverage)
        return coverage

    def arguments(self) -> list[str]:
        return [*self.call.operands, *super().arguments()]

    def details(self) -> list[str]:
        plain = [f"{name} is a plain array" for name in self.call.operands if name not in self.variables]
        spelled = [f"spelled as {self.spelling}"] if self.spelling != FUNCTION else []
        listed = ["plain arrays in float64 are nested lists"] if self.listed else []
        return [*super().details(), *plain, *listed, *spelled]


@st.composite
def function_cases(draw: Draw, row: FunctionRow) -> FunctionCase:
    """Operands, options and precision of a function."""
    call = draw(row.calls if offered() is EVERYTHING else row.calls.filter(_fits))
    kinds = {operand.kind for operand in call.operands.values()}
    usable = [
        dtype
        for dtype in DTYPES
        if not any(divergences.reason(row.name, NotCompared, f"{kind}, {dtype}", numpyml) for kind in kinds)
    ]
    plain = draw(plain_operands(row, call.operands))
    case = FunctionCase(row, call, draw(precisions(usable)), draw(seeds), plain)
    case.incoming_layout = draw(incoming_layouts())
    case.spelling = draw(spelled(case))
    case.listed = draw(listed(case))
    return case


def _fits(call: Call) -> bool:
    """Whether a call is offered."""
    arrays = [x.values for x in call.operands.values()]
    return offered().fits(call.options, [x.shape for x in arrays], arrays)


@st.composite
def spelled(draw: Draw, case: FunctionCase) -> str:
    """A spelling of the call, where the framework's functions are NumPy's own."""
    if under_test().NAMESPACE is not np:
        return FUNCTION
    first = next(iter(case.call.operands))
    plain = PLAIN if case.call.operands[first].values.ndim else NUMBER
    held = f"{first}{plain}" if first not in case.variables else ""

    other = [name for name, x in case.options.items() if not case.row.at_default(name, x)]

    def labels(way: str) -> list[str]:
        first_operand = [f"spelled as {way}, {held}"] if way == OPERATOR and held else []
        return [
            f"spelled as {way}",
            *first_operand,
            *(f"{way} with {name}" for name in other if way in METHODS_OF_ARRAYS),
        ]

    # A nested list is made of a plain array after this: see listed.
    way: str = draw(st.sampled_from(likely(case.ways(), lambda way: [*labels(way), *[LIST] * (way == OPERATOR)])))
    promised = [FUNCTION, *spellings(case.row, len(case.call.operands), case.options)]
    mark((label for way in promised for label in labels(way)), labels(way))
    if OPERATOR in promised and len(case.call.operands) > 1:
        numbers = may_hold(f"{first}{NUMBER}")
        mark((f"spelled as {OPERATOR}, {first}{plain}" for plain in (PLAIN, LIST, *[NUMBER] * numbers)), ())
    return way


@st.composite
def listed(draw: Draw, case: FunctionCase) -> bool:
    """Whether plain operands are nested lists, where the framework's functions are NumPy's own."""
    able = [name for name, x in case.call.operands.items() if name not in case.variables and x.values.size]
    able = [name for name in able if case.call.operands[name].values.ndim and case.dtype == np.float64]
    if under_test().NAMESPACE is not np or not able:
        return False
    labels = [name + LIST for name in able]
    if case.spelling == OPERATOR and next(iter(case.call.operands)) in able:
        labels.append(f"spelled as {OPERATOR}, {able[0]}{LIST}")
    chosen: bool = draw(st.sampled_from(likely((False, True), lambda way: labels * way)))
    mark(labels, labels * chosen)
    return chosen


PLAIN, LIST = ": a plain array", ": a nested list"
MANY = 256  # numbers of a large operand, at least


@st.composite
def large_function_cases(draw: Draw, row: FunctionRow) -> FunctionCase:
    """As :func:`large_cases`, of the operands."""
    large, dtype = draw(large_sizes(row.large))
    with growing(large.growth * 4 / dtype.itemsize):  # as many bytes in either precision
        case = draw(function_cases(row))
    assume(any(x.values.size >= MANY for x in case.call.operands.values()))
    case.dtype, case.large = dtype, large
    return case


@st.composite
def plain_operands(draw: Draw, row: FunctionRow, operands: Mapping[str, Input]) -> tuple[str, ...]:
    """Which operands are no Tensors: none in every other call, else any but all."""
    able = [name for name in operands if name != row.dispatch_operand and len(operands) > 1]
    some = [chosen for n in range(1, len(operands)) for chosen in combinations(able, n)]
    ways = likely(
        [*[()] * len(some), *some], lambda way: [name + held for name in way for held in (PLAIN, LIST, NUMBER)]
    )
    plain: tuple[str, ...] = draw(st.sampled_from(ways)) if some else ()
    mark((name + PLAIN for name in able), (name + PLAIN for name in plain))
    if may_hold(f"operands {FEWER}"):
        axes = {name: operand.values.ndim for name, operand in operands.items()}
        numbers = (name + NUMBER for name in plain if max(axes.values()) > axes[name] == 0)
        mark((name + NUMBER for name in able), numbers)
    return plain
