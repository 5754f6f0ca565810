"""Both halves of an example compute the same."""

import itertools
import json
import re
from pathlib import Path

import pytest
from examples_run import TASKS, distances, number, start

STEPS = {"gpt": 15, "dates": 60, "cartpole": 500, "digits": 300, "column_reader": 300}


@pytest.mark.parametrize("task", TASKS)
def test_in_float64_halves_agree_at_every_step(task: str, command, tmp_path: Path) -> None:
    """Losses and predictions to 1e-10, with dropout too; and the plot is in the named file."""
    plot = tmp_path / "curves.svg"
    done = command("compare", task, "--dtype", "float64", "--steps", str(STEPS.get(task, 100)), "--plot", str(plot))
    assert done.returncode == 0, done.stderr
    errors = distances(done.stdout)
    assert len(errors) >= (1 if task == "minilm" else 2), done.stdout
    assert max(errors.values()) <= 1e-10, errors
    assert done.stdout.endswith(f"curves: {plot}\n")
    assert plot.read_text("utf-8").count("<path") > 5
    assert ("PyTorch" in done.stderr) == (task != "minilm")  # the progress, away from the figures; minilm comes trained


def test_both_styles_have_the_same_bits(command, tmp_path: Path) -> None:
    done = command("compare", "two_styles", "--steps", "400", "--plot", str(tmp_path / "curves.png"))
    assert done.returncode == 0, done.stderr
    errors = distances(done.stdout)
    assert [errors["numpyml", "numpyml dynamic", kind] for kind in ("loss", "prediction")] == [0, 0]
    assert errors["numpyml", "PyTorch", "loss"] > 0  # the distance is measured


def test_float32_error_is_no_larger_than_pytorchs(command, tmp_path: Path) -> None:
    """From the same training in float64; a single start is random, so it is a median over starts."""
    done = command("compare", "optimizers", "--starts", "10", "--plot", str(tmp_path / "curves.svg"))
    assert done.returncode == 0, done.stderr
    blocks = done.stdout.split("largest distances of the loss at any step, 10 starts, ")[1:]
    assert [block.splitlines()[0] for block in blocks] == ["SGD", "SGD, nesterov", "Adam", "Adam, amsgrad"]
    for block in blocks:
        assert number("at worst", block) <= 1e-10
        ours, theirs = re.findall(r"median: (\S+)", block)
        assert float(ours) <= float(theirs), block


IN_BOTH = """
import numpy as np
from examples import tasks

task, halves = tasks.loaded("minilm")
long = ["word " * 600, " ".join(task.TEXTS), " ".join(task.TEXTS * 4), "0" * 300]
odd = ["", " ", "?", "naïve café, 東京, Ωmega, 🙂", *long]
texts = [*task.TEXTS, *task.QUERIES, *odd]
nets = [half.build() for half in halves.values()]
for size in (1, 8, 32):
    for longest in (256, 512):
        a, b = (h.embed(net, texts, size=size, longest=longest) for h, net in zip(halves.values(), nets))
        print((a.astype(np.float64) * b).sum(1).min())
"""


def test_minilm_embeddings_agree_in_both_frameworks(checkout: Path) -> None:
    """Of short texts and long ones, alone and padded in batches, and of what no text should be."""
    done = start(["-c", IN_BOTH], checkout)
    assert done.returncode == 0, done.stderr
    cosines = [float(line) for line in done.stdout.split()]
    assert len(cosines) == 6
    assert min(cosines) >= 0.999999


FROM_CACHE = """
import numpy as np
from examples import tasks

task, halves = tasks.loaded("gpt")
net = halves["numpyml"].build(np.float64, width=32, heads=2, depth=2, time=32).eval()
ids = task.data().ids[:32]
at_once = net.forward(ids[np.newaxis]).reshape(32, -1)
cache, furthest = None, 0
for i in range(32):
    logits, cache = net.step(ids[np.newaxis, i : i + 1], cache)
    furthest = max(furthest, np.abs(logits[0] - at_once[i]).max())
print(furthest)
"""


def test_gpt_logits_from_the_cache_equal_those_of_the_whole_sequence(checkout: Path) -> None:
    done = start(["-c", FROM_CACHE], checkout)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 1e-12


SMALLER = """
import json
import sys
from examples import comparison

name, size, changes = sys.argv[1:]
smaller = comparison.Comparison(name)
smaller.task.SIZE.update(eval(size))
vars(smaller.task).update(eval(changes))
exact, distances = comparison.float32_distances(smaller, 7, 300, *smaller.variants)
print(json.dumps({"float64": max(exact), **distances}))
"""


def chance_of_ranks(a: list[float], b: list[float]) -> float:
    """How often chance alone ranks as many of a above those of b: the exact one-sided test of Mann and Whitney."""
    every = [*a, *b]
    above = [sum(sum(x > y for y in every if y not in xs) for x in xs) for xs in itertools.combinations(every, len(a))]
    return sum(n >= sum(x > y for x in a for y in b) for n in above) / len(above)


def test_rank_test_detects_larger_numbers() -> None:
    low, high = [1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]
    assert chance_of_ranks(high, low) == 1 / 70 and chance_of_ranks(low, high) == 1.0
    assert chance_of_ranks([1.0, 4.0, 5.0, 8.0], [2.0, 3.0, 6.0, 7.0]) > 0.4


@pytest.mark.parametrize(
    ("task", "size", "changes"),
    [
        ("gpt", {"width": 32, "heads": 2, "depth": 2, "time": 32}, {}),
        ("dates", {"width": 16, "depth": 1}, {"BATCH": 16, "HELD_OUT": 10}),
    ],
)
def test_transformer_float32_error_is_no_larger_than_pytorchs(
    task: str, size: object, changes: object, checkout: Path
) -> None:
    """Smaller ones: in float64 both have the same losses at 300 steps; in float32 numpyml is no further from them than
    PyTorch, as far as ranks over several starts can tell: a single start depends on which way roundings fall."""
    done = start(["-c", SMALLER, task, repr(size), repr(changes)], checkout)
    assert done.returncode == 0, done.stderr
    distances = json.loads(done.stdout.splitlines()[-1])
    assert distances["float64"] <= 1e-10
    assert chance_of_ranks(distances["numpyml"], distances["PyTorch"]) > 0.01, distances
