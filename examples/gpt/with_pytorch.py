"""GPT: a Transformer that foretells the next token, trained on Python's help texts; then it writes some itself."""

import sys
import time
from pathlib import Path

import numpy as np
import text

import torch
from torch import from_numpy, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, lr_scheduler


class Block(nn.Module):
    """Every place looks at those before it, then thinks by itself: two residual lines."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.gelu = nn.GELU("tanh")

    def forward(self, x, mask):
        x = x + self.attend(self.norm1(x), mask)
        return x + self.think(self.norm2(x))

    def attend(self, x, mask):
        return self.attention(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)[0]

    def think(self, x):
        return self.down(self.gelu(self.up(x)))

    def go_on(self, x, cache):
        """As forward, for the newest places alone; keys and values of the earlier ones are in the cache."""
        qkv = self.norm1(x) @ self.attention.in_proj_weight.T + self.attention.in_proj_bias
        q, k, v = (self.heads(y) for y in qkv.chunk(3, dim=-1))
        if cache is not None:
            k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
        y = scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        x = x + self.attention.out_proj(y.transpose(1, 2).reshape(x.shape))
        return x + self.think(self.norm2(x)), (k, v)

    def heads(self, y):
        """(batch, time, width) -> (batch, heads, time, width of a head)."""
        return y.reshape(*y.shape[:2], self.attention.num_heads, -1).transpose(1, 2)


class GPT(nn.Module):
    """Token and place, blocks, a last norm; the table that reads tokens also writes them."""

    def __init__(self, tokens, width, heads, depth, time):
        super().__init__()
        self.token = nn.Embedding(tokens, width)
        self.place = nn.Embedding(time, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.token.weight

    def forward(self, tokens):
        """(batch, time) -> logits of each next token, (batch · time, tokens)."""
        time = tokens.shape[1]
        x = self.token(tokens) + self.place(torch.arange(time))
        mask = nn.Transformer.generate_square_subsequent_mask(time, dtype=x.dtype)
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        return self.head(x.reshape(-1, x.shape[-1]))

    def step(self, tokens, cache):
        """For generation: the logits of the next token, and the cache for the one after it."""
        caches = cache or [None] * len(self.blocks)
        past = 0 if cache is None else cache[0][0].shape[2]
        x = self.token(tokens) + self.place(torch.arange(past, past + tokens.shape[1]))
        made = []
        for block, one in zip(self.blocks, caches, strict=True):
            x, new = block.go_on(x, one)
            made.append(new)
        return self.head(self.norm(x[:, -1])), made


def build(tokens, dtype=np.float32, seed=0, **size):
    """A model with the initial values of both halves."""
    net = GPT(tokens, **size).to(torch.float64 if dtype == np.float64 else torch.float32)
    state = text.weights({name: tuple(p.shape) for name, p in net.state_dict().items()}, dtype, seed)
    net.load_state_dict({name: from_numpy(array) for name, array in state.items()})
    return net


def train(net, ids, steps, report=None, checkpoint=None):
    """The loss of every step."""
    loss_fn = nn.CrossEntropyLoss()
    optim = AdamW(net.parameters(), lr=text.RATE, weight_decay=0.1, fused=True)
    schedule = lr_scheduler.OneCycleLR(optim, text.RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False)
    found = []
    if checkpoint and Path(checkpoint).exists():
        saved = torch.load(checkpoint)
        for part, name in ((net, "net"), (optim, "optim"), (schedule, "schedule")):
            part.load_state_dict(saved[name])
        found = saved["losses"]
    net.train()
    for step, (tokens, targets) in enumerate(text.batches(ids, net.place.num_embeddings, steps)):
        if step < len(found):
            continue
        outputs = net(from_numpy(tokens))
        loss = loss_fn(outputs, from_numpy(targets))
        optim.zero_grad()
        loss.backward()
        clip_grad_norm_(net.parameters(), 1.0)
        optim.step()
        schedule.step()
        found.append(float(loss.detach()))
        if report:
            report(step + 1, found[-1])
        if checkpoint and (step + 1) % 100 == 0:
            parts = {"net": net.state_dict(), "optim": optim.state_dict(), "schedule": schedule.state_dict()}
            torch.save({**parts, "losses": found}, checkpoint)
    net.eval()
    return found


def validate(net, ids):
    """The mean loss on text that was never read."""
    loss_fn, sums, count = nn.CrossEntropyLoss(reduction="sum"), 0.0, 0
    with torch.inference_mode():
        for tokens, targets in text.stretches(ids, net.place.num_embeddings):
            sums += float(loss_fn(net(from_numpy(tokens)), from_numpy(targets)))
            count += len(targets)
    return sums / count


def write(net, tokenizer, prompt, new, seed=0):
    """A sample: as many tokens as the model has places for, again and again from the last few."""
    ids, places = from_numpy(tokenizer.encode(prompt)), net.place.num_embeddings
    rng = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        while new > 0:
            cache, fresh = None, ids[-places // 2 :]
            for _ in range(min(new, places - len(fresh))):
                logits, cache = net.step(fresh[None], cache)
                likely, which = (logits[0] / 0.8).topk(50)
                fresh = which[torch.multinomial(likely.softmax(0), 1, generator=rng)]
                ids, new = torch.cat([ids, fresh]), new - 1
    return tokenizer.decode(ids)


if __name__ == "__main__":
    chosen = text.options()
    tokenizer, ids, held_out = text.prepared()
    net = build(text.TOKENS, **text.SIZE)
    began = time.perf_counter()

    def report(step, loss):
        rate = step / (time.perf_counter() - began)
        end = "\n" if step % 100 == 0 else "\r"
        print(f"step {step:4} of {chosen.steps}  loss {loss:.3f}  {rate:.1f} steps/s", end=end, file=sys.stderr)

    train(net, ids, chosen.steps, report, chosen.checkpoint)
    print(f"gpt: validation loss {validate(net, held_out):.4f} on {len(held_out)} tokens")
    print(write(net, tokenizer, chosen.prompt, chosen.new))
