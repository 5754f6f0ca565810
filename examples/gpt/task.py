"""GPT: a Transformer that predicts the next token of Python's help texts, and generates text."""

import argparse
import runpy
from functools import reduce
from pathlib import Path
from pydoc_data.topics import topics
from types import SimpleNamespace

runpy.run_path(str(Path(__file__).resolve().parents[1] / "alone.py"))  # names the packages that are not installed

import numpy as np

DATA = "Python's help texts; the last tenth of each topic is held out"
CLAIM = "its loss on held-out tokens is within 1 % of PyTorch's after as many steps; it resumes from a checkpoint"


def corpus():
    """Python's help texts, for training and validation (the last tenth of each topic).

    A paragraph that occurs in several topics is used once, so held-out paragraphs are not in the training data. The
    texts differ between versions of Python by about a tenth, and scores differ in the second digit.
    """
    seen, train, held_out = set(), [], []
    for _, text in sorted(topics.items()):
        paragraphs = [p for p in dict.fromkeys(text.split("\n\n")) if p not in seen]
        seen.update(paragraphs)
        cut = len(paragraphs) - len(paragraphs) // 10
        train += paragraphs[:cut]
        held_out += paragraphs[cut:]
    return "\n\n".join(train), "\n\n".join(held_out)


class Tokenizer:
    """Byte-pair encoding: the most frequent pair of adjacent tokens becomes a new token, repeatedly.

    Args:
        text: the corpus in which pairs are counted; its characters are the first tokens.
        size: the final number of tokens.

    Source: Gage 1994, C Users Journal 12(2); Sennrich, Haddow, Birch 2016, arXiv:1508.07909.
    """

    def __init__(self, text, size):
        self.tokens = sorted(set(text))
        self.pairs = {}
        ids = self.characters(text)
        while len(self.tokens) < size:
            first, second = divmod(np.bincount(ids[:-1] * size + ids[1:]).argmax(), size)
            self.pairs[first, second] = len(self.tokens)
            self.tokens.append(self.tokens[first] + self.tokens[second])
            ids = merge(ids, ((first, second), len(self.tokens) - 1))

    def characters(self, text):
        numbers = {character: i for i, character in enumerate(self.tokens) if len(character) == 1}
        return np.array([numbers[character] for character in text if character in numbers], np.int64)

    def encode(self, text):
        """Text -> token numbers; unknown characters are left out."""
        return reduce(merge, self.pairs.items(), self.characters(text))

    def decode(self, ids):
        """Token numbers -> text."""
        return "".join(self.tokens[i] for i in ids)


def merge(ids, rule):
    """Replace each occurrence of the pair by the new token, from the left."""
    (first, second), new = rule
    at = np.flatnonzero((ids[:-1] == first) & (ids[1:] == second))
    if first == second:  # occurrences may overlap: take every second one of a run
        starts = np.flatnonzero(np.diff(at, prepend=-2) > 1)
        index = np.arange(len(at)) - np.repeat(starts, np.diff(starts, append=len(at)))
        at = at[index % 2 == 0]
    merged = ids.copy()
    merged[at] = new
    return np.delete(merged, at + 1)


# The model and its training

SIZE = {"width": 128, "heads": 4, "depth": 4, "time": 64}
TOKENS, BATCH, STEPS, RATE = 512, 16, 1200, 3e-3


def data(dtype=np.float32, seed=0):
    """The tokenizer, and the tokens for training and validation."""
    train, held_out = corpus()
    tokenizer = Tokenizer(train, TOKENS)
    return SimpleNamespace(
        tokenizer=tokenizer, ids=tokenizer.encode(train), held_out=tokenizer.encode(held_out), seed=seed
    )


def scores(predictions, data):
    """Scores from the loss at each held-out token."""
    return {"loss on the tokens held out": predictions.mean(dtype=np.float64)}


def batches(ids, time, steps, seed):
    """For each step, a batch of parts of the text, and the same parts shifted by a token: the targets."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        starts = rng.integers(len(ids) - time, size=(BATCH, 1))
        rows = ids[starts + np.arange(time + 1)]
        yield rows[:, :-1], rows[:, 1:].reshape(-1)


def stretches(ids, time):
    """The whole text in batches of parts that do not overlap."""
    count = (len(ids) - 1) // time
    for rows in np.array_split(np.arange(count), -(-count // BATCH)):
        at = rows[:, np.newaxis] * time + np.arange(time + 1)
        yield ids[at][:, :-1], ids[at][:, 1:].reshape(-1)


def weights(shapes, seed):
    """GPT-2's initial values: N(0, 0.02²) for matrices."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            state[name] = state["token.weight"] if name == "head.weight" else 0.02 * rng.standard_normal(shape)
        else:
            state[name] = np.full(shape, float("norm" in name and name.endswith("weight")))
    return {name: array.astype(np.float32) for name, array in state.items()}


def options(argv=None):
    """The command-line options."""
    parser = argparse.ArgumentParser(description="Train a small GPT on the help texts of Python, then generate text.")
    parser.add_argument("--steps", type=int, default=STEPS, help="of training (%(default)s)")
    parser.add_argument("--checkpoint", help="a file to save to, and to resume from if it exists")
    parser.add_argument("--prompt", default="The ", help="the beginning of the sample (%(default)r)")
    parser.add_argument("--new", type=int, default=200, help="tokens to generate (%(default)s)")
    return parser.parse_args(argv)
