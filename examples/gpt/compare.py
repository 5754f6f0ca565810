"""The same weights, text and options: does numpyml give PyTorch's loss at every step, and the same logits from a cache?

In float64 the two should agree to rounding. In float32 each strays from the float64 run by its own rounding; numpyml
should stray no further than PyTorch; how far that is depends on luck, so it is a median over starts. The curves are
drawn over each other, and below them the difference.
"""

import argparse
from statistics import median

import numpy as np
import text
import with_numpyml
import with_pytorch
from matplotlib.figure import Figure

STEPS, STARTS = 300, 5


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


def cached(net, ids):
    """Largest distance between the logits that come token by token from the cache, and all at once."""
    at_once = net.forward(ids[np.newaxis]).reshape(len(ids), -1)
    cache, distances = None, []
    for i in range(len(ids)):
        logits, cache = net.step(ids[np.newaxis, i : i + 1], cache)
        distances.append(np.abs(logits[0] - at_once[i]).max())
    return max(distances)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--plot", help="an SVG or PNG file to draw the curves into")
chosen = parser.parse_args()

_, ids, _ = text.prepared()
halves = {"numpyml": with_numpyml, "PyTorch": with_pytorch}
strays = {name: [] for name in halves}
for start in range(STARTS):
    exact = with_pytorch.train(with_pytorch.build(text.TOKENS, np.float64, start, **text.SMALL), ids, STEPS)
    for name, half in halves.items():
        single = half.train(half.build(text.TOKENS, np.float32, start, **text.SMALL), ids, STEPS)
        strays[name].append(apart(single, exact))
net = with_numpyml.build(text.TOKENS, np.float64, start, **text.SMALL)
ours = with_numpyml.train(net, ids, STEPS)

print(f"Losses at {STEPS} steps: largest relative distance")
print(f"numpyml to PyTorch, float64 {apart(ours, exact):.1e}")
for name in halves:
    print(f"{name} float32 to float64, median of {STARTS} starts {median(strays[name]):.1e}")
print(f"Logits from the cache, and all at once, float64 {cached(net, ids[: text.SMALL['time']]):.1e}")
if chosen.plot:
    draw(chosen.plot, ours, exact)
