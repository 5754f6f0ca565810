"""The gradient of an embedding row that 10,000 indices share, 0.1 each: PyTorch adds them one by one in float32."""

import torch

table = torch.zeros(1, 1, requires_grad=True)
indices = torch.zeros(10_000, dtype=torch.int64)
torch.nn.functional.embedding(indices, table).backward(torch.full((10_000, 1), 0.1))
print("PyTorch", table.grad.item())
print("true   ", 10_000 * torch.tensor(0.1).item())
