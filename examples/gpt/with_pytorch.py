"""GPT: a Transformer that predicts the next token, trained on Python's help texts; then it generates text."""

from pathlib import Path

import task
from tqdm import tqdm

import torch
from torch import from_numpy, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, lr_scheduler


class Block(nn.Module):
    """A Transformer block: causal self-attention and a perceptron, each residual."""

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
        return x + self.mlp(self.norm2(x))

    def attend(self, x, mask):
        return self.attention(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)[0]

    def mlp(self, x):
        return self.down(self.gelu(self.up(x)))

    def step(self, x, cache):
        """As forward, for the newest positions only; keys and values of earlier ones are in the cache."""
        qkv = self.norm1(x) @ self.attention.in_proj_weight.T + self.attention.in_proj_bias
        q, k, v = (self.heads(y) for y in qkv.chunk(3, dim=-1))
        if cache is not None:
            k, v = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
        y = scaled_dot_product_attention(q, k, v, is_causal=cache is None)
        x = x + self.attention.out_proj(y.transpose(1, 2).reshape(x.shape))
        return x + self.mlp(self.norm2(x)), (k, v)

    def heads(self, y):
        """(batch, time, width) -> (batch, heads, time, width of a head)."""
        return y.reshape(*y.shape[:2], self.attention.num_heads, -1).transpose(1, 2)


class GPT(nn.Module):
    """Token and position embeddings, blocks, a final norm; the output shares the token table."""

    def __init__(self, tokens, width, heads, depth, time):
        super().__init__()
        self.token = nn.Embedding(tokens, width)
        self.position = nn.Embedding(time, width)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.token.weight

    def forward(self, tokens):
        """(batch, time) -> logits of each next token, (batch · time, tokens)."""
        time = tokens.shape[1]
        x = self.token(tokens) + self.position(torch.arange(time))
        mask = nn.Transformer.generate_square_subsequent_mask(time, dtype=x.dtype)
        for block in self.blocks:
            x = block(x, mask)
        x = self.norm(x)
        return self.head(x.reshape(-1, x.shape[-1]))

    def step(self, tokens, cache):
        """For generation: the logits of the next token, and the cache for the one after it."""
        caches = cache or [None] * len(self.blocks)
        past = 0 if cache is None else cache[0][0].shape[2]
        x = self.token(tokens) + self.position(torch.arange(past, past + tokens.shape[1]))
        updated = []
        for block, one in zip(self.blocks, caches, strict=True):
            x, new = block.step(x, one)
            updated.append(new)
        return self.head(self.norm(x[:, -1])), updated


def build(dtype=torch.float32, seed=0, **size):
    """A model with the initial values that both halves share."""
    net = GPT(task.TOKENS, **{**task.SIZE, **size}).to(dtype)
    state = task.weights({name: tuple(p.shape) for name, p in net.state_dict().items()}, seed)
    net.load_state_dict({name: from_numpy(array) for name, array in state.items()})
    return net


def train(net, data, steps=task.STEPS, checkpoint=None):
    """The loss of every step; training resumes from the checkpoint file if it exists."""
    loss_fn = nn.CrossEntropyLoss()
    optim = AdamW(net.parameters(), lr=task.RATE, weight_decay=0.1, fused=True)
    schedule = lr_scheduler.OneCycleLR(optim, task.RATE, total_steps=steps, pct_start=0.1, cycle_momentum=False)
    history = []
    if checkpoint and Path(checkpoint).exists():
        saved = torch.load(checkpoint)
        for part, name in ((net, "net"), (optim, "optim"), (schedule, "schedule")):
            part.load_state_dict(saved[name])
        history = saved["losses"]
    yield from history
    net.train()
    for step, (tokens, targets) in enumerate(task.batches(data.ids, net.position.num_embeddings, steps, data.seed)):
        if step < len(history):
            continue
        outputs = net(from_numpy(tokens))
        loss = loss_fn(outputs, from_numpy(targets))
        optim.zero_grad()
        loss.backward()
        clip_grad_norm_(net.parameters(), 1.0)
        optim.step()
        schedule.step()
        history.append(loss.item())
        if checkpoint and (step + 1) % 100 == 0:
            parts = {"net": net.state_dict(), "optim": optim.state_dict(), "schedule": schedule.state_dict()}
            torch.save({**parts, "losses": history}, checkpoint)
        yield history[-1]


def predict(net, data):
    """The loss at each held-out token."""
    net.eval()
    loss_fn = nn.CrossEntropyLoss(reduction="none")
    with torch.inference_mode():
        stretches = task.stretches(data.held_out, net.position.num_embeddings)
        values = [loss_fn(net(from_numpy(tokens)), from_numpy(targets)) for tokens, targets in stretches]
    return torch.cat(values).numpy()


def write(net, tokenizer, prompt, new, seed=0):
    """A sample, of any length: the context is the last tokens that fit."""
    ids, length = from_numpy(tokenizer.encode(prompt)), net.position.num_embeddings
    rng = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        while new > 0:
            cache, fresh = None, ids[-length // 2 :]
            for _ in range(min(new, length - len(fresh))):
                logits, cache = net.step(fresh[None], cache)
                likely, which = (logits[0] / 0.8).topk(50)
                fresh = which[torch.multinomial(likely.softmax(0), 1, generator=rng)]
                ids, new = torch.cat([ids, fresh]), new - 1
    return tokenizer.decode(ids)


if __name__ == "__main__":
    chosen = task.options()
    data, net = task.data(), build()
    for loss in (bar := tqdm(train(net, data, chosen.steps, chosen.checkpoint), total=chosen.steps, disable=None)):
        bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
    for name, figure in task.scores(predict(net, data), data).items():
        print(f"{name} {figure:.4f}")
    print(write(net, data.tokenizer, chosen.prompt, chosen.new))
