"""What is known of the answer before anything is learned: vessels are few."""

from __future__ import annotations

import math

from torch import nn

VESSEL_SHARE = 0.04  # of the pixels of an angiogram, about


def start_from_vessel_share(head: nn.Conv2d, outputs: int = 1) -> None:
    """Set the bias of a last layer so that every pixel starts with the share of vessel pixels as its probability.

    Where there are several outputs the first is the background, and the others share that probability.

    From one half, a short training spends hundreds of steps on the bias alone (Lin et al. 2017, Focal loss, 4.1).
    """
    if head.bias is None:
        return
    odds = VESSEL_SHARE / (1 - VESSEL_SHARE)
    nn.init.constant_(head.bias, math.log(odds / max(1, outputs - 1)))
    if outputs > 1:
        nn.init.zeros_(head.bias[: head.out_channels // outputs])
