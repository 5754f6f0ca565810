"""GPT: a Transformer that predicts the next token, trained on Python's help texts; then it generates text."""

from pathlib import Path

import numpy as np
import task
from tqdm import tqdm

import numpyml
from numpyml.generation import generate
from numpyml.nn import Module, activations, layers, losses, model, optimizers, schedulers
from numpyml.nn.utils import clip_grad_norm_


class Block(Module):
    """A Transformer block: causal self-attention and a perceptron, each residual."""

    def __init__(self, width, heads, dtype):
        self.norm1 = layers.LayerNorm(width, dtype=dtype)
        self.attention = layers.MultiheadAttention(width, heads, batch_first=True, dtype=dtype)
        self.norm2 = layers.LayerNorm(width, dtype=dtype)
        self.up = layers.Dense(width, 4 * width, dtype=dtype)
        self.down = layers.Dense(4 * width, width, dtype=dtype)
        self.gelu = activations.GELU("tanh")
        self.causal, self.cached = layers.ScaledDotProductAttention(is_causal=True), layers.ScaledDotProductAttention()

    def forward(self, x, mask):
        x = x + self.attend(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))

    def attend(self, x, mask):
        return self.attention(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)[0]

    def mlp(self, x):
        return self.down(self.gelu(self.up(x)))

    def step(self, x, cache):
        """As forward, for the newest positions only; keys and values of earlier ones are in the cache."""
        qkv = self.norm1(x) @ self.attention.in_proj_weight.data.T + self.attention.in_proj_bias.data
        q, k, v = self.heads(qkv)
        if cache is not None:
            k, v = np.concatenate([cache[0], k], axis=2), np.concatenate([cache[1], v], axis=2)
        y = (self.causal if cache is None else self.cached)(q, k, v)
        x = x + self.attention.out_proj(y.transpose(0, 2, 1, 3).reshape(x.shape))
        return x + self.mlp(self.norm2(x)), (k, v)

    def heads(self, qkv):
        """(batch, time, 3 · width) -> three times (batch, heads, time, width of a head)."""
        return qkv.reshape(*qkv.shape[:2], 3, self.attention.num_heads, -1).transpose(2, 0, 3, 1, 4)


class GPT(Module):
    """Token and position embeddings, blocks, a final norm; the output shares the token table."""

    def __init__(self, tokens, width, heads, depth, time, dtype=np.float32):
        self.token = layers.Embedding(tokens, width, dtype=dtype)
        self.position = layers.Embedding(time, width, dtype=dtype)
        self.blocks = model.ModuleList([Block(width, heads, dtype) for _ in range(depth)])
        self.norm = layers.LayerNorm(width, dtype=dtype)
        self.head = layers.Dense(width, tokens, bias=False, dtype=dtype)
        self.head.weight = self.token.weight

    def forward(self, tokens):
        """(batch, time) -> logits of each next token, (batch · time, tokens)."""
        time = tokens.shape[1]
        x = self.token(tokens) + self.position(np.arange(time))
        mask = layers.Transformer.generate_square_subsequent_mask(time)
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        return self.head(x.reshape(-1, x.shape[-1]))

    def step(self, tokens, cache):
        """For generation: the logits of the next token, and the cache for the one after it."""
        caches = cache or [None] * len(self.blocks)
        past = 0 if cache is None else cache[0][0].shape[2]
        x = self.token(tokens) + self.position(np.arange(past, past + tokens.shape[1]))
        updated = []
        for block, one in zip(self.blocks, caches, strict=True):
            x, new = block.step(x, one)
            updated.append(new)
        return self.head(self.norm(x[:, -1])), updated


def build(dtype=np.float32, seed=0, **size):
    """A model with the initial values that both halves share."""
    net = GPT(task.TOKENS, **{**task.SIZE, **size}, dtype=dtype)
    net.load_state_dict(task.weights({name: p.shape for name, p in net.state_dict().items()}, seed))
    return net


def train(net, data, steps=task.STEPS, checkpoint=None):
    """The loss of every step; training resumes from the checkpoint file if it exists."""
    loss_fn = losses.CrossEntropyWithLogits()
    optim = optimizers.AdamW(net.parameters(), net.gradients(), learning_rate=task.RATE, weight_decay=0.1)
    schedule = schedulers.OneCycleLR(optim, task.RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False)
    history = []
    if checkpoint and Path(checkpoint).exists():
        history = numpyml.load(checkpoint, net, optimizer=optim, schedule=schedule)["losses"]
    yield from history
    net.train()
    for step, (tokens, targets) in enumerate(task.batches(data.ids, net.position.num_embeddings, steps, data.seed)):
        if step < len(history):
            continue
        outputs = net.forward(tokens)
        loss = loss_fn.forward(outputs, targets)
        optim.zero_grad()
        net.backward(loss_fn.backward())
        clip_grad_norm_(net.gradients(), 1.0)
        optim.step()
        schedule.step()
        history.append(loss.item())
        if checkpoint and (step + 1) % 100 == 0:
            numpyml.save(checkpoint, net, optimizer=optim, schedule=schedule, losses=history)
        yield history[-1]


def predict(net, data):
    """The loss at each held-out token."""
    net.eval()
    loss_fn = losses.CrossEntropyWithLogits(reduction="none")
    with numpyml.no_grad():
        stretches = task.stretches(data.held_out, net.position.num_embeddings)
        values = [loss_fn.forward(net.forward(tokens), targets) for tokens, targets in stretches]
    return np.concatenate(values)


def write(net, tokenizer, prompt, new, seed=0):
    """A sample, of any length: the context is the last tokens that fit."""
    ids, length = tokenizer.encode(prompt), net.position.num_embeddings
    rng = np.random.default_rng(seed)
    with numpyml.no_grad():
        while new > 0:
            past = ids[-length // 2 :]
            fresh = min(new, length - len(past))
            ids = np.concatenate([ids, generate(net.step, past, fresh, 0.8, top_k=50, generator=rng)[len(past) :]])
            new -= fresh
    return tokenizer.decode(ids)


if __name__ == "__main__":
    chosen = task.options()
    data, net = task.data(), build()
    for loss in (bar := tqdm(train(net, data, chosen.steps, chosen.checkpoint), total=chosen.steps, disable=None)):
        bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
    for name, figure in task.scores(predict(net, data), data).items():
        print(f"{name} {figure:.4f}")
    print(write(net, data.tokenizer, chosen.prompt, chosen.new))
