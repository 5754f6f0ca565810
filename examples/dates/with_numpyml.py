"""Dates in twenty formats, rewritten as ISO 8601 by a Transformer: training, greedy decoding, beam search."""

import argparse
import sys
import time

import numpy as np
import task

import numpyml
from numpyml.generation import beam_search, generate
from numpyml.nn import Module, init, layers, losses, optimizers, schedulers, utils


class Translator(Module):
    """Encoder-decoder with one embedding table for input and output, and sinusoidal positions."""

    def __init__(self, width, heads, depth, dtype):
        self.token = layers.Embedding(len(task.TOKENS), width, dtype=dtype)
        init.normal_(self.token.weight.data, std=width**-0.5)
        self.position = layers.SinusoidalPositionalEncoding(width, task.LONGEST, batch_first=True)
        self.transformer = layers.Transformer(
            width, heads, depth, depth, 4 * width, dropout=0.0, activation="gelu", batch_first=True, dtype=dtype
        )
        self.head = layers.Dense(width, len(task.TOKENS), bias=False, dtype=dtype)
        self.head.weight = self.token.weight

    def forward(self, source, target):
        """(batch, length) twice -> logits of the token after each target token, (batch · length, tokens)."""
        memory, padding = self.encode(source)
        logits = self.write(target, memory, padding)
        return logits.reshape(-1, logits.shape[-1])

    def embed(self, tokens):
        return self.position(self.token(tokens) * self.token.embedding_dim**0.5)

    def encode(self, source):
        padding = source == task.PAD
        return self.transformer.encoder(self.embed(source), src_key_padding_mask=padding), padding

    def write(self, target, memory, padding):
        future = np.triu(np.ones((target.shape[1], target.shape[1]), bool), 1)
        masks = {"tgt_mask": future, "tgt_key_padding_mask": target == task.PAD, "memory_key_padding_mask": padding}
        return self.head(self.transformer.decoder(self.embed(target), memory, **masks))

    def step(self, tokens, cache):
        """For decoding: the logits of the next token; the cache is the encoder's output and the tokens so far."""
        memory, padding, written = cache
        written = tokens if written is None else np.concatenate([written, tokens], axis=1)
        return self.write(written, memory, padding)[:, -1], (memory, padding, written)


def build(dtype=np.float32, **size):
    return Translator(**{**task.SIZE, **size}, dtype=dtype)


def train(net, data):
    """The loss of every step."""
    loss_fn = losses.CrossEntropyWithLogits(ignore_index=task.PAD)
    optim = optimizers.Adam(net.parameters(), net.gradients(), learning_rate=task.RATE, betas=(0.9, 0.98))
    schedule = schedulers.LambdaLR(optim, task.rate)
    net.train()
    for source, target in data.batches():
        outputs = net.forward(source, target[:, :-1])
        loss = loss_fn.forward(outputs, target[:, 1:].reshape(-1))
        optim.zero_grad()
        net.backward(loss_fn.backward())
        utils.clip_grad_norm_(net.gradients(), 1.0)
        optim.step()
        schedule.step()
        yield loss.item()


def greedy(net, texts):
    """Greedy decoding of all texts at once."""
    with numpyml.no_grad():
        cache = (*net.encode(np.array(task.encoded(texts))), None)
        start = np.full((len(texts), 1), task.START)
        rows = generate(net.step, start, task.LONGEST - 1, greedy=True, end=task.END, cache=cache)
    return [task.decoded(row) for row in rows]


def beam(net, text, beams=4):
    """Beam search for one text."""
    with numpyml.no_grad():
        cache = (*net.encode(np.array(task.encoded([text]))), None)
        options = {"end": task.END, "cache": cache, "reorder": task.rows_of}
        hypotheses = beam_search(net.step, [task.START], task.LONGEST - 1, beams, **options)
    return task.decoded(hypotheses[0].tokens)


def predict(net, data):
    """The held-out dates, as numbers."""
    net.eval()
    return np.array([task.as_number(written) for written in greedy(net, data.written)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    seed = parser.parse_args().seed
    numpyml.manual_seed(seed)
    data, net = task.data(seed=seed), build()
    began = time.perf_counter()
    for step, loss in enumerate(train(net, data), 1):
        rate, end = step / (time.perf_counter() - began), "\n" if step % 100 == 0 else "\r"
        print(f"step {step:4} of {task.STEPS}  loss {loss:.4f}  {rate:.1f} steps/s", end=end, file=sys.stderr)
    for name, figure in task.scores(predict(net, data), data).items():
        print(f"{name} {figure:.4f}")
    decoded = [beam(net, written) for written in data.written]
    print(f"exact match of 1,000, beam {np.mean([a == b for a, b in zip(decoded, data.answers, strict=True)]):.4f}")
    for written, answer in zip(data.written[:5], decoded, strict=False):
        print(f"{written} -> {answer}")
