"""What PyTorch rejects, the framework rejects, by an error of its own: valid calls, spoilt in one way each.

And the checks of what is random: initial values and masks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from conformance import divergences
from conformance.bound import Array
from conformance.cases import ModuleCase, listed
from conformance.census import Note
from conformance.checks import ESSENTIAL, needs
from conformance.errors import Mismatch
from conformance.frameworks import built, pytorch, under_test
from conformance.initial import DRAWN, no_more_repeats, same_distribution

OPTIONS: dict[str, Any] = {
    "None": None,
    "a word": "nonsense",
    "-1": -1,
    "a fraction": 1.5,
    "NaN": np.nan,
    "infinity": np.inf,
    "a list": [1, 2],
}


HINTS = ("is_causal", "src_is_causal", "tgt_is_causal", "memory_is_causal")


def spoilt_inputs(case: ModuleCase, inputs: list[Array]) -> Iterator[tuple[str, list[Array]]]:
    """Each input in turn, spoilt in each way."""
    hinted = divergences.HINTED if any(case.call.get(name) is True for name in HINTS) else ""
    for i, (name, x) in enumerate(zip(case.names, inputs, strict=True)):
        role = "target" if name == "targets" else "input"
        other = np.float64 if x.dtype == np.float32 else np.float32
        ways = {"with an axis more": x[None], "as complex": x.astype(np.complex128), "as booleans": x.astype(bool)}
        if x.ndim:
            ways["with an axis less"] = x.sum(axis=0).astype(x.dtype)
            ways["longer on the last axis"] = np.concatenate([x, x, np.ones((*x.shape[:-1], 1), x.dtype)], -1)
            ways["longer on the first axis"] = np.concatenate([x, x[:1], np.ones((1, *x.shape[1:]), x.dtype)], 0)
        if x.dtype.kind == "f":
            ways |= {"as integers": np.zeros(x.shape, np.int64), "in another precision": x.astype(other)}
        else:
            wide = x.astype(np.int64)  # 8 bits have no number out of range, unsigned ones none below 0
            ways |= {"out of range": wide + 1000, "negative": wide - 50, "as fractions": x + 0.5}
        if name == "targets" and x.dtype.kind == "f":
            ways |= {"above 1": x + 2, "below 0": x - 2}
        for way, y in ways.items():
            yield f"{role} {way}{hinted}", [y if j == i else z for j, z in enumerate(inputs)]


@needs(*ESSENTIAL, "REJECTIONS")
def rejections(case: ModuleCase, note: Note) -> None:
    """Both sides take a spoilt call or refuse it alike, but for the divergences on record."""
    framework = under_test()
    module, made = case.make(), case.twin()
    inputs = case.arrays(
        {name: x.values.astype(case.dtype) for name, x in zip(case.names, case.inputs, strict=True) if x.floating}
    )
    further = case.further(case.dtype)
    for spoilt, arrays in spoilt_inputs(case, inputs):
        alike(
            case,
            note,
            spoilt,
            lambda xs=arrays: framework.forward(module, *xs, **further),
            lambda xs=arrays: pytorch.call(made, xs, further),
        )
    for name in case.row.options:
        for word, value in OPTIONS.items():
            changed = {**case.options, name: value}

            def run(side: Any, options: dict[str, Any] = changed) -> Any:
                return built(side, case.row.torch, options, case.dtype)

            alike(
                case, note, f"option {name}: {word}",
                lambda make=run: framework.forward(make(framework), *inputs, **further),
                lambda make=run: pytorch.call(make(pytorch), inputs, further),
            )  # fmt: skip


def alike(case: ModuleCase, note: Note, spoilt: str, ours: Any, theirs: Any) -> None:
    """Whether one call is refused on both sides or on neither."""
    name = case.row.name
    mine, refusal = _outcome(ours)
    peer, reason = _outcome(theirs)
    if refusal is not None and not isinstance(refusal, under_test().REJECTIONS):
        raise Mismatch(f"{spoilt}: {type(refusal).__name__} instead of an error of its own: {refusal}")
    if refusal is None and reason is not None:
        excuse = divergences.laxer(name, spoilt)
        if not excuse:
            raise Mismatch(f"{spoilt}: PyTorch refuses it ({reason}), it is accepted")
        note.remarks.add(excuse)
    if refusal is not None and reason is None:
        excuse = divergences.stricter(name, spoilt)
        if not excuse:
            raise Mismatch(f"{spoilt}: PyTorch accepts it, it is refused: {refusal}")
        note.remarks.add(excuse)
    if refusal is None and reason is None:
        for y, theirs in zip(listed(mine), listed(peer), strict=True):
            if np.shape(y) != tuple(theirs.shape) and not divergences.laxer(name, spoilt):
                raise Mismatch(f"{spoilt}: shape {np.shape(y)}, PyTorch's is {tuple(theirs.shape)}")
    note.record(1)


def _outcome(call: Any) -> tuple[Any, Exception | None]:
    import warnings

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # PyTorch warns of what it then does
        try:
            return call(), None
        except Exception as error:  # noqa: BLE001  # which one it is, is what the check asks
            return None, error


MODULES = 16  # in which repeated numbers are counted


@needs("make", "parameters", "seed")
def initial_values(case: ModuleCase, note: Note) -> None:
    """Every parameter starts from PyTorch's distribution (see :func:`same_distribution`), and no number of a module
    comes more often than in PyTorch's."""
    framework = under_test()
    framework.seed(case.seed)
    pytorch.seed(case.seed % 2**31)
    module = built(framework, case.row.torch, case.options, case.dtype)
    sizes = {name: x.size for name, x in framework.parameters(module).items() if x.size}
    if not sizes:
        return
    rounds = -(-DRAWN // min(sizes.values()))
    drawn: dict[str, tuple[list[Array], list[Array]]] = {name: ([], []) for name in sizes}
    for _ in range(rounds):
        ours, theirs = (built(side, case.row.torch, case.options, case.dtype) for side in (framework, pytorch))
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


@needs("make", "seed", "masks")
def mask_statistics(case: ModuleCase, note: Note) -> None:
    """Masks of its own: the rate is right, and neighbours know nothing of each other (five standard deviations)."""
    framework, n = under_test(), 20_000
    framework.seed(case.seed)
    module = built(framework, case.row.torch, case.options, case.dtype)
    for p, mask in framework.masks(module, n, case.dtype):
        kept = mask != 0
        spread = np.sqrt(p * (1 - p))
        rate = 1 - kept.mean()
        note.require(abs(rate - p) <= 5 * spread / np.sqrt(n), f"dropped {rate:.4f} of the elements, p = {p}")
        together = np.mean((kept[1:] - (1 - p)) * (kept[:-1] - (1 - p)))
        note.require(abs(together) <= 5 * spread**2 / np.sqrt(n), f"neighbours correlate: {together:.2g}")


REJECTION_CHECKS = [rejections]
RANDOM_CHECKS = [initial_values, mask_statistics]
