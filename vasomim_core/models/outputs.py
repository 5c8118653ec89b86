"""What the outputs of a network mean: how many there are for some classes, and the probabilities that they say.

One class needs one logit z, of P = σ(z). Several exclude each other: the first logit is that of the background, the
others are those of the classes in their order, and P is their softmax.

A network may tell more apart than its classes: each of them, and the background, then has several parts. Its
probability is the sum of theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vasomim_core.classes import LabelClass


def outputs_of(classes: Sequence[LabelClass]) -> int:
    """Logits that a network needs for each pixel."""
    return 1 if len(classes) == 1 else 1 + len(classes)


def add_up(network: nn.Module, parts: Sequence[int]) -> None:
    """Let a network give the logits of background and classes in the place of those of their parts.

    Args:
        network: gives (B, sum of `parts`, H, W).
        parts: how many the background has, then each class; they follow each other.
    """
    network.register_forward_hook(partial(_added_up, tuple(parts)))


def _added_up(parts: Sequence[int], _network: nn.Module, _arguments: Any, logits: Tensor) -> Tensor:
    return added_up(logits, parts)


def added_up(logits: Tensor, parts: Sequence[int]) -> Tensor:
    """The logits of background and classes from those of their parts: log Σ exp, under which the softmax adds up.

    Args:
        logits: (B, sum of `parts`, H, W).
        parts: see `add_up`.

    Returns:
        (B, `outputs_of`, H, W) float32.
    """
    sums = torch.stack([some.logsumexp(dim=1) for some in logits.float().split(list(parts), dim=1)], dim=1)
    return sums[:, 1:] - sums[:, :1] if len(parts) == 2 else sums


def probabilities(logits: Tensor) -> Tensor:
    """Those of the classes.

    Args:
        logits: (B, `outputs_of`, H, W).

    Returns:
        (B, C, H, W) float32 in [0, 1]; their sum is at most 1, the rest is background.
    """
    logits = logits.float()
    return torch.sigmoid(logits) if logits.shape[1] == 1 else logits.softmax(dim=1)[:, 1:]


def log_probabilities(logits: Tensor) -> Tensor:
    """Logarithms of the probabilities of background and classes.

    Args:
        logits: (B, `outputs_of`, H, W).

    Returns:
        (B, 1 + C, H, W) float32, ≤ 0; the background first.
    """
    logits = logits.float()
    if logits.shape[1] == 1:
        return torch.cat([F.logsigmoid(-logits), F.logsigmoid(logits)], dim=1)
    return logits.log_softmax(dim=1)
