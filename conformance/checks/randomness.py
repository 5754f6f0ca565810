"""The checks of what is random in modules: initial values and masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from conformance.cases.modules import ModuleCase
from conformance.checks.registry import check
from conformance.frameworks import make_module, pytorch, under_test
from conformance.results.census import Note
from conformance.rows import ModuleRow
from numpyml.typing import Array

DRAWN = 4_000  # numbers of every parameter of a module, at least
ERRORS = 5  # standard errors: a false alarm in 1.7 million


def same_distribution(note: Note, what: str, ours: Array, theirs: Array) -> None:
    """Require samples of one distribution: the same extremes, if it has any, the same mean and standard deviation, and
    a small Kolmogorov-Smirnov statistic (a false alarm in a million)."""
    a, b = np.sort(ours), np.sort(theirs)
    hundredth = b.size // 100
    ends = b[hundredth] - b[0] + b[-1] - b[-1 - hundredth] <= 0.1 * (b[-1] - b[0])  # a tail would be thinner
    for x, y in ((a[0], b[0]), (a[-1], b[-1])) if ends else ():
        note.require(abs(x - y) <= 0.01 * (b[-1] - b[0]), f"extreme of {what}: {x}, PyTorch's {y}")
    for moment, (x, error), (y, own) in zip(("mean", "standard deviation"), _moments(a), _moments(b), strict=True):
        limit = ERRORS * np.hypot(error, own)
        message = f"{moment} of {what}: {x:.4g}, PyTorch's {y:.4g}, at most {limit:.2g} apart by chance"
        note.require(abs(x - y) <= limit, message)
    both = np.concatenate([a, b])
    gap = np.abs(np.searchsorted(a, both, "right") / a.size - np.searchsorted(b, both, "right") / b.size).max()
    limit = 2.7 * np.sqrt(1 / a.size + 1 / b.size)
    note.require(gap <= limit, f"{what}: distributions {gap:.3f} apart, at most {limit:.3f} by chance")


def _moments(x: Array) -> list[tuple[float, float]]:
    """Mean and standard deviation of a sample, each with its standard error."""
    mean = x.mean(dtype=np.float64)
    squares = (x - mean) ** 2
    variance = squares.mean()
    deviation = np.sqrt(variance)
    spread = np.sqrt(squares.var() / x.size) / (2 * deviation) if deviation else 0.0
    return [(mean, deviation / np.sqrt(x.size)), (deviation, spread)]


def no_more_repeats(note: Note, what: str, ours: Sequence[Array], theirs: Sequence[Array]) -> None:
    """Require no more repeated numbers than in PyTorch's samples, apart from coincidences of a low precision: neurons,
    or a weight and a bias, that start as copies of each other learn the same."""
    chance = sum(map(_coincidences, ours))
    more = sum(x.size - np.unique(x).size for x in ours) - sum(x.size - np.unique(x).size for x in theirs)
    limit = 2 + chance + ERRORS * np.sqrt(chance)
    message = f"{more} more numbers of {what} are repeated than in PyTorch, at most {limit:.0f} by chance"
    note.require(more <= limit, message)


def _coincidences(x: Array) -> float:
    """How many pairs of a sample are expected to be rounded to the same multiple of a spacing s, at most: a pair of the
    density f is with the probability s ∫f², of a uniform one s/(2√3 σ) = 0.289 s/σ, a normal one s/(2√π σ) = 0.282 s/σ.
    """
    deviation = float(x.std(dtype=np.float64))
    spacing = float(np.spacing(np.abs(x).max()))
    return x.size**2 / 2 * 0.3 * spacing / deviation if deviation else 0.0


def drawn_alone(row: ModuleRow) -> bool:
    """Whether what is random in it is its own: a loss has nothing random, and the parts of a container are rows."""
    return not row.loss and not row.container


MODULES = 16  # in which repeated numbers are counted


@check(rows=ModuleRow, where=drawn_alone, needs=("make", "parameters", "seed"), examples=4)
def initial_values(case: ModuleCase, note: Note) -> None:
    """Every parameter starts from PyTorch's distribution, by extremes, mean, deviation and shape, and no number of a
    module comes more often than in PyTorch's."""
    framework = under_test()
    framework.seed(case.seed)
    pytorch.seed(case.seed % 2**31)
    module = make_module(framework, case.row.torch, case.options, case.dtype)
    sizes = {name: x.size for name, x in framework.parameters(module).items() if x.size}
    if not sizes:
        return
    rounds = -(-DRAWN // (4 if case.row.composed else 1) // min(sizes.values()))  # many modules are built for each
    drawn: dict[str, tuple[list[Array], list[Array]]] = {name: ([], []) for name in sizes}
    for _ in range(rounds):
        ours, theirs = (make_module(side, case.row.torch, case.options, case.dtype) for side in (framework, pytorch))
        ours, theirs = framework.parameters(ours), dict(theirs.named_parameters())
        for name, (mine, peers) in drawn.items():
            mine.append(np.array(ours[name]).ravel())
            peers.append(pytorch.array(theirs[name]).ravel())
    modules = (
        [np.concatenate([x[side][i] for x in drawn.values()]) for i in range(min(rounds, MODULES))] for side in (0, 1)
    )
    no_more_repeats(note, "initial values", *modules)
    for name, (mine, peers) in drawn.items():
        same_distribution(note, f"initial values of {name}", np.concatenate(mine), np.concatenate(peers))


MASKS = 4  # of every module that drops elements
SHAPES = ((20_000,), (200, 100), (25, 20, 40))  # of these, by the seed
FAR = 8
SURE = 6  # standard deviations


@check(rows=ModuleRow, where=drawn_alone, needs=("make", "seed", "masks"), fewer_composed=False)
def mask_statistics(case: ModuleCase, note: Note) -> None:
    """Masks of its own: what is not dropped is scaled by 1/(1 − p), the rate is right, and no element correlates with
    those up to 8 positions away along an axis, nor with that of another mask (six standard deviations)."""
    framework, shape = under_test(), SHAPES[case.seed % len(SHAPES)]
    framework.seed(case.seed)
    module = make_module(framework, case.row.torch, case.options, case.dtype)
    known: list[Array] = []
    for several in zip(*(framework.masks(module, shape, case.dtype) for _ in range(MASKS)), strict=True):
        p, masks = several[0][0], np.stack([mask for _, mask in several])
        scale, alive = case.dtype.type(1 / (1 - p) if p < 1 else 1), masks != 0
        off = np.abs(masks[alive] - scale).max(initial=0)  # PyTorch divides by 1 − p as it was rounded
        note.require(off <= np.spacing(scale), f"what is not dropped is off by {off} from 1/(1 - p) = {scale}, p = {p}")
        spread, rate = np.sqrt(p * (1 - p)), 1 - alive.mean()
        note.require(abs(rate - p) <= SURE * spread / np.sqrt(alive.size), f"dropped {rate:.4f} of them, p = {p}")
        if spread:
            known.append((alive - (1 - p)) / spread)
            _independent(note, known[-1])
    if known:
        flat = np.concatenate(known).reshape(-1, known[0][0].size)
        together = np.abs(np.triu(flat @ flat.T, 1)).max() / flat.shape[1]
        note.require(together <= SURE / np.sqrt(flat.shape[1]), f"two masks correlate: {together:.2g}")


def _independent(note: Note, masks: Array) -> None:
    """Elements of one mask do not correlate with their neighbours, along any axis."""
    for axis in range(1, masks.ndim):
        along = np.moveaxis(masks, axis, 0)
        for far in range(1, FAR + 1):
            pairs = along[far:] * along[:-far]
            message = f"elements {far} positions apart on axis {axis - 1} correlate: {pairs.mean():.2g}"
            note.require(abs(pairs.mean()) <= SURE / np.sqrt(pairs.size), message)
