"""Slow copies of a network: its weights follow, they get no gradient; and how fast they follow over a run."""

from __future__ import annotations

import copy
import math
from typing import TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


def slow_copy(network: N) -> N:
    """A copy that gets no gradient."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(slow: nn.Module, network: nn.Module, decay: float) -> None:
    """Weights of the copy ← decay · weights + (1 − decay) · the network's; buffers stay its own."""
    for own, other in zip(slow.parameters(), network.parameters(), strict=True):
        own.lerp_(other.detach().to(own.dtype), 1 - decay)


def linear(start: float, end: float, progress: float) -> float:
    """From `start` at progress 0 to `end` at 1, in a straight line; beyond that it stays."""
    return start + (end - start) * min(1.0, max(0.0, progress))


def half_cosine(start: float, end: float, progress: float) -> float:
    """From `start` at progress 0 to `end` at 1, along half a cosine: end + (start − end)·(1 + cos π·progress)/2."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
