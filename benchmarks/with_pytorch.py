"""Worker: ``python -m benchmarks.with_pytorch CASE SECONDS THREADS WAY``."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import nn

from benchmarks.cases import CASES, TOKENS, Case, Language, Perceptron, Sentences, Setting, example
from benchmarks.timing import Step, report


def optimizer_of(name: str, net: nn.Module, way: str, **options: float) -> torch.optim.Optimizer:
    kind = getattr(torch.optim, name)
    return kind(net.parameters(), lr=1e-3, fused=way == "fused", foreach=way == "foreach", **options)


def perceptron(case: Perceptron, way: str) -> Step:
    x = torch.randn(case.batch, case.widths[0])
    binary = case.loss == "bce"
    y = torch.randint(0, 2, (case.batch, 1)).float() if binary else torch.randint(0, case.widths[-1], (case.batch,))
    stack: list[nn.Module] = []
    for n_in, n_out in zip(case.widths, case.widths[1:], strict=False):
        stack += [nn.Linear(n_in, n_out), nn.ReLU()]
    net = nn.Sequential(*stack[:-1])
    loss_fn = nn.BCEWithLogitsLoss() if binary else nn.CrossEntropyLoss()
    optimizer = optimizer_of(case.optimizer, net, way)

    def step() -> torch.Tensor:
        loss = loss_fn(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return torch.Tensor.detach(loss)  # reading the value would be an additional call of PyTorch only

    return step


def language(case: Language, way: str) -> Step:
    example("gpt")
    from with_pytorch import GPT

    net = GPT(TOKENS, **case.size)
    ids = torch.randint(TOKENS, (case.batch, case.time + 1))
    if case.writes:
        return lambda: writes(net, ids[0, : case.time - case.writes], case.writes, way == "cache in place")
    tokens, targets = ids[:, :-1], ids[:, 1:].reshape(-1)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = optimizer_of("AdamW", net, way, weight_decay=0.1)

    def step() -> torch.Tensor:
        loss = loss_fn(net(tokens), targets)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        return torch.Tensor.detach(loss)

    return step


@torch.inference_mode()
def writes(net: Any, prompt: torch.Tensor, new: int, in_place: bool) -> torch.Tensor:
    step, fresh, cache = (InPlace(net).step, prompt, 0) if in_place else (net.step, prompt, None)
    for _ in range(new):
        logits, cache = step(fresh[None], cache)
        likely, which = (logits[0] / 0.8).topk(50)
        fresh = which[torch.multinomial(likely.softmax(0), 1)]
    return fresh[0]


class InPlace:
    """The example's model with a cache that is allocated once and written to, not copied at each token."""

    def __init__(self, net: Any) -> None:
        self.net = net
        self.length, width = net.position.weight.shape
        heads = net.blocks[0].attention.num_heads
        self.cache = torch.empty(len(net.blocks), 2, 1, heads, self.length, width // heads)

    def step(self, tokens: torch.Tensor, past: int) -> tuple[torch.Tensor, int]:
        net, now = self.net, past + tokens.shape[1]
        x = net.token(tokens) + net.position.weight[past:now]
        for block, (keys, values) in zip(net.blocks, self.cache, strict=True):
            attention = block.attention
            qkv = nn.functional.linear(block.norm1(x), attention.in_proj_weight, attention.in_proj_bias)
            q, keys[:, :, past:now], values[:, :, past:now] = (block.heads(y) for y in qkv.chunk(3, dim=-1))
            k, v = keys[:, :, :now], values[:, :, :now]
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=not past)
            x = x + attention.out_proj(y.transpose(1, 2).reshape(x.shape))
            x = x + block.mlp(block.norm2(x))
        return net.head(net.norm(x[:, -1])), now


def sentences(case: Sentences, way: str) -> Step:
    example("minilm")
    from with_pytorch import MiniLM

    torch.backends.mha.set_fastpath_enabled(way != "layer by layer")
    net = MiniLM().eval()
    net.encoder.enable_nested_tensor = net.encoder.use_nested_tensor = way == "fast path nested"
    tokens = torch.randint(1000, 30000, (case.batch, case.time))
    padding = torch.arange(case.time) >= torch.linspace(case.time, case.time * 3 / 4, case.batch)[:, None]

    def step() -> torch.Tensor:
        with torch.inference_mode():
            return net(tokens, padding)[0, 0]

    return step


def main(case: Case, seconds: float, setting: Setting) -> None:
    torch.set_num_threads(setting.threads)

    def make(case: Case) -> Step:
        torch.manual_seed(0)
        kinds: dict[type, Any] = {Perceptron: perceptron, Language: language, Sentences: sentences}
        return kinds[type(case)](case, setting.way)

    report(make, case, seconds)


if __name__ == "__main__":
    main(CASES[sys.argv[1]], float(sys.argv[2]), Setting(int(sys.argv[3]), sys.argv[4]))
