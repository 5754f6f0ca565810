"""The same weights and pairs: does numpyml give PyTorch's loss at every step of the encoder-decoder's training?

In float64 the two should agree to rounding. In float32 each strays from the float64 run by its own rounding; numpyml
should stray no further than PyTorch; how far that is depends on luck, so it is a median over starts.
"""

import argparse
from itertools import islice
from statistics import median

import numpy as np
import task
import with_numpyml
import with_pytorch
from matplotlib.figure import Figure

import numpyml
import torch

STEPS, STARTS = 300, 3
SMALL = {"width": 32, "heads": 2, "depth": 1}


def run(half, dtype, start):
    """The losses of a small model of this half, from initial weights that both have."""
    numpyml.manual_seed(start)
    state = with_numpyml.build(np.float32, **SMALL).state_dict()
    theirs = half is with_pytorch
    net = half.build(getattr(torch if theirs else np, dtype), **SMALL)
    net.load_state_dict({name: torch.tensor(x) if theirs else x for name, x in state.items()})
    return list(islice(half.train(net, task.data(seed=start, batch=16)), STEPS))


def apart(a, b):
    """Largest relative distance of two runs at any step."""
    return np.max(np.abs(np.subtract(a, b)) / np.abs(b))


def draw(path, ours, theirs):
    """Both curves, and how far they are from each other."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(theirs, linewidth=4, alpha=0.4, label="PyTorch")
    above.plot(ours, linewidth=1, label="numpyml")
    above.set_ylabel("loss, float64")
    above.legend()
    below.semilogy(np.maximum(np.abs(np.subtract(ours, theirs)), 1e-17), linewidth=1)
    below.set_ylabel("distance")
    below.set_xlabel("step")
    figure.savefig(path)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--plot", help="an SVG or PNG file to draw the curves into")
chosen = parser.parse_args()

halves = {"numpyml": with_numpyml, "PyTorch": with_pytorch}
strays = {name: [] for name in halves}
torch.set_num_threads(1)  # threads that wait for work would slow NumPy's down
for start in range(STARTS):
    exact = run(with_pytorch, "float64", start)
    for name, half in halves.items():
        strays[name].append(apart(run(half, "float32", start), exact))
ours = run(with_numpyml, "float64", start)

print(f"Losses at {STEPS} steps: largest relative distance")
print(f"numpyml to PyTorch, float64 {apart(ours, exact):.1e}")
for name in halves:
    print(f"{name} float32 to float64, median of {STARTS} starts {median(strays[name]):.1e}")
if chosen.plot:
    draw(chosen.plot, ours, exact)
