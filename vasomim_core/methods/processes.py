"""What several processes of one run tell each other; one alone hears itself. Nothing here passes a gradient on."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def place() -> tuple[int, int]:
    """This process's rank, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


@torch.no_grad()
def summed(value: Tensor) -> Tensor:
    """The sum over all processes."""
    if place()[1] > 1:
        value = value.clone()
        dist.all_reduce(value)
    return value


@torch.no_grad()
def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes, one after the other, (processes · B, …); as many from each."""
    count = place()[1]
    if count == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(count)]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)
