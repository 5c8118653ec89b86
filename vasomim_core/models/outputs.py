"""What the outputs of a network mean: how many there are for some classes, and the probabilities that they say.

One class needs one logit z, of P = σ(z). Several exclude each other: the first logit is that of the background, the
others are those of the classes in their order, and P is their softmax.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vasomim_core.classes import LabelClass


def outputs_of(classes: Sequence[LabelClass]) -> int:
    """Logits that a network needs for each pixel."""
    return 1 if len(classes) == 1 else 1 + len(classes)


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
