"""Train both halves of a task from the same weights on the same data, and compare losses, predictions and scores.

The functions of a half:

    build(dtype)            a new model
    train(net, data)        a generator that trains it and yields the loss of every step
    predict(net, data)      an array, its predictions for the held-out data

They share ``task.py``: ``data(dtype)``, and ``scores(predictions, data)``, a dict. Where a task has VARIANTS, ``train``
takes one as its third argument. A pretrained model has no ``train``.
"""

import sys
from contextlib import contextmanager
from itertools import combinations, islice
from statistics import median

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

import numpyml
from examples import tasks
from numpyml.nn import layers

torch.set_num_threads(1)  # idle threads of PyTorch spin, which slows NumPy down
SHOWN = 8


class Run:
    """The losses, predictions and scores of one half."""

    def __init__(self, losses, predictions, scores):
        self.losses, self.predictions, self.scores = np.asarray(losses), np.asarray(predictions), scores


@contextmanager
def shared_masks(seed):
    """Every dropout, PyTorch's too, draws its masks from numpyml's generator, seeded with ``seed``.

    Two halves that run the same layers in the same order then drop the same elements.
    """

    def dropout(x, p=0.5, training=True, inplace=False):
        mask = layers.Dropout(p).forward(np.ones(x.shape, x.numpy(force=True).dtype)) if training else 1
        return x * torch.as_tensor(mask)

    own = torch.nn.functional.dropout
    numpyml.manual_seed(seed)
    torch.nn.functional.dropout = dropout
    try:
        yield
    finally:
        torch.nn.functional.dropout = own


class Comparison:
    """The halves of a task, run from the same start."""

    def __init__(self, name):
        self.name = name
        self.task, self.halves = tasks.loaded(name)
        self.trains = all(hasattr(half, "train") for half in self.halves.values())
        self.variants = getattr(self.task, "VARIANTS", (None,)) if self.trains else (None,)

    def start(self, seed):
        """Initial weights, drawn by numpyml in float32, and exact in float64."""
        numpyml.manual_seed(seed)
        return next(iter(self.halves.values())).build(np.float32).state_dict()

    def run(self, label, start, dtype, seed, steps, variant):
        half = self.halves[label]
        theirs = hasattr(half, "torch")
        net = half.build(getattr(torch if theirs else np, dtype))
        net.load_state_dict({key: torch.tensor(w) if theirs else w for key, w in start.items()})
        data = self.task.data(np.dtype(dtype))
        arguments = () if variant is None else (variant,)
        with shared_masks(seed):
            training = islice(half.train(net, data, *arguments), steps) if self.trains else ()
            losses = list(watched(training, label if variant is None else f"{label}, {variant}", steps))
        predictions = half.predict(net, data)
        return Run(losses, predictions, self.task.scores(predictions, data))


def watched(training, what, steps):
    """Yield the losses, with a progress bar on a terminal and a line at the end elsewhere."""
    terminal = sys.stderr.isatty()
    count = 0
    with tqdm(training, what, steps, leave=False, disable=not terminal, unit=" steps", dynamic_ncols=True) as bar:
        for loss in bar:
            count += 1
            yield loss
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
    if not terminal and count:
        print(f"{what}: {count} steps", file=sys.stderr)


def relative_distance(a, b):
    """Elementwise distance of a from b, relative to b; 0 where they are equal."""
    a, b = np.atleast_1d(np.asarray(a, np.float64)), np.atleast_1d(np.asarray(b, np.float64))
    shorter = min(len(a), len(b))  # one may have stopped earlier
    a, b = a[:shorter], b[:shorter]
    distance = np.abs(a - b)
    return distance / np.where(distance == 0, 1, np.abs(b))


def largest(distances):
    """The largest number, and its index."""
    i = int(np.argmax(distances))
    return f"{distances.flat[i]:.1e}", i


def short(prediction):
    """A prediction in a few characters: a number, or the index and the value of the largest of several."""
    prediction = np.asarray(prediction)
    if prediction.ndim == 0:
        return f"{prediction}" if prediction.dtype.kind in "iub" else f"{prediction:.7g}"
    if prediction.size == 1:
        return short(prediction.reshape(()))
    return f"{prediction.argmax()} ({prediction.max():.7g})"


def row(first, *cells):
    print(f"{first!s:>10}" + "".join(f"{cell!s:>23}" for cell in cells))


def show_losses(runs):
    names, losses = list(runs), [run.losses for run in runs.values()]
    steps = min(map(len, losses))
    row("step", *(f"loss, {name}" for name in names), "distance")
    for i in sorted({*np.linspace(0, steps - 1, min(steps, 10)).astype(int)}):
        distance = max(relative_distance(one[i], losses[-1][i]).item() for one in losses)
        row(i + 1, *(f"{one[i]:.9g}" for one in losses), f"{distance:.1e}")
    for name, one in zip(names, losses, strict=True):
        if len(one) > steps:
            print(f"{name} continues to step {len(one)}")
    for one, other in combinations(names, 2):
        distance, i = largest(relative_distance(runs[one].losses, runs[other].losses))
        print(f"largest distance, {one} from {other}: {distance} of the loss, at step {i + 1} of {steps}")
    print()


def show_predictions(runs, data):
    names, predictions = list(runs), [run.predictions for run in runs.values()]
    expected = getattr(data, "y_test", None)
    row("held out", *names, *(["expected"] if expected is not None else []))
    for i in range(min(SHOWN, len(predictions[-1]))):
        row(i + 1, *(short(one[i]) for one in predictions), *([short(expected[i])] if expected is not None else []))
    scale = np.max(np.abs(predictions[-1])) or 1
    for one, other in combinations(names, 2):
        distance = np.max(np.abs(runs[one].predictions - runs[other].predictions) / scale)
        print(f"largest distance, {one} from {other}: {distance:.1e} of the largest prediction")
    print()


def show_scores(runs):
    for figure in next(iter(runs.values())).scores:
        print(f"{figure}: " + ", ".join(f"{name} {run.scores[figure]:.4f}" for name, run in runs.items()))


def draw(path, results, title, floor):
    """The curves, and below them their distance; a column for each variant."""
    mpl.rcParams.update({"svg.hashsalt": "examples", "svg.fonttype": "none"})  # equal runs give equal files
    figure = Figure(figsize=(max(6.4, 3.2 * len(results)), 4.8), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(2, len(results), sharex="col", squeeze=False)
    for (above, below), (variant, runs) in zip(axes.T, results.items(), strict=True):
        curves = {name: curve(run) for name, run in runs.items()}
        *ours, theirs = curves
        above.plot(curves[theirs], linewidth=4, alpha=0.35, label=theirs)
        for name in ours:
            above.plot(curves[name], linewidth=1, label=name)
            distances = relative_distance(curves[name], curves[theirs])
            below.plot(np.maximum(distances, floor), linewidth=0.7, label=name)
        below.set_yscale("log")
        above.set_title(variant or "")
        below.set_xlabel("step" if runs[theirs].losses.size else "prediction, by size")
    axes[0, 0].legend()
    axes[0, 0].set_ylabel("loss" if runs[theirs].losses.size else "prediction")
    axes[1, 0].set_ylabel(f"relative distance\n(0 is drawn at {floor:.0e})")
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise tasks.Misuse(f"the plot cannot be written to {path}: {error.strerror}") from None


def curve(run):
    """The losses, or the sorted predictions of a pretrained model."""
    return run.losses if run.losses.size else np.sort(run.predictions, axis=None)


def float32_distances(comparison, starts, steps, variant=None):
    """Largest relative distances from PyTorch's loss in float64: numpyml's in float64, each half's in float32."""
    distances = {label: [] for label in comparison.halves}
    exact = []
    for seed in range(starts):
        start = comparison.start(seed)
        *ours, reference = (comparison.run(n, start, "float64", seed, steps, variant) for n in comparison.halves)
        exact += [relative_distance(run.losses, reference.losses).max() for run in ours]
        for label, of_label in distances.items():
            run = comparison.run(label, start, "float32", seed, steps, variant)
            of_label.append(relative_distance(run.losses, reference.losses).max())
    return exact, distances


def show_float32_distances(comparison, starts, steps):
    """Print the distance of each half in float32 from the same training in float64, a median over starts."""
    for variant in comparison.variants:
        exact, distances = float32_distances(comparison, starts, steps, variant)
        print(f"largest distances of the loss at any step, {starts} starts" + (f", {variant}" if variant else ""))
        print(f"    float64, from PyTorch, at worst: {max(exact):.1e}")
        for label, of_label in distances.items():
            print(f"    {label} in float32, from PyTorch in float64, median: {median(of_label):.2e}")


def compare(options, path):
    """Run ``python -m examples compare``."""
    comparison = Comparison(options.task)
    print(tasks.facts(options.task)["doc"])
    same = "with the same data and the same dropout masks, from seed 0" if comparison.trains else "which are pretrained"
    print(f"In {options.dtype}, from the same weights, {same}.\n")
    results, start = {}, comparison.start(0)
    for variant in comparison.variants:
        halves = comparison.halves
        runs = {name: comparison.run(name, start, options.dtype, 0, options.steps, variant) for name in halves}
        results[variant] = runs
        if variant:
            print(variant)
        if comparison.trains:
            show_losses(runs)
        show_predictions(runs, comparison.task.data(np.dtype(options.dtype)))
        show_scores(runs)
        print()
    if options.starts:
        show_float32_distances(comparison, options.starts, options.steps)
    draw(path, results, f"{options.task}, {options.dtype}", {"float32": 1e-9, "float64": 1e-17}[options.dtype])
    print(f"curves: {path}")
