"""Worker: ``python -m benchmarks.step_with_pytorch CASE SECONDS THREADS IMPLEMENTATION``."""

from __future__ import annotations

import sys

import torch
from torch import nn

from benchmarks.cases import CASES, Setting
from benchmarks.timing import report


def main(name: str, seconds: float, setting: Setting) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    torch.set_num_threads(setting.threads)
    x = torch.randn(case.batch, case.widths[0])
    binary = case.loss == "bce"
    y = torch.randint(0, 2, (case.batch, 1)).float() if binary else torch.randint(0, case.widths[-1], (case.batch,))
    stack: list[nn.Module] = []
    for n_in, n_out in zip(case.widths, case.widths[1:], strict=False):
        stack += [nn.Linear(n_in, n_out), nn.ReLU()]
    net = nn.Sequential(*stack[:-1])
    loss_fn = nn.BCEWithLogitsLoss() if binary else nn.CrossEntropyLoss()
    optimizer = getattr(torch.optim, case.optimizer)(
        net.parameters(),
        lr=1e-3,
        fused=setting.implementation == "fused",
        foreach=setting.implementation == "foreach",
    )

    def step() -> torch.Tensor:
        loss = loss_fn(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return torch.Tensor.detach(loss)  # reading its value here would be one more call for PyTorch alone

    report(step, seconds)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Setting(int(sys.argv[3]), sys.argv[4]))
