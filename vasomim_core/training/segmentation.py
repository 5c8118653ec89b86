"""What the segmentor S and a finetuned segmentation model have in common: a network that learns masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vasomim_core.models.catalogue import Preprocessing
from vasomim_core.models.objectives import segmentation_loss
from vasomim_core.models.preprocessing import normalise
from vasomim_core.training.batches import Batch, Moment


class SegmentationLearner(nn.Module):
    """Frames and masks → Dice + BCE, and soft clDice where it is asked for.

    Args:
        network: (B, 3, H, W) → logits (B, 1, H, W).
        preprocessing: what it expects.
        dice_weight: w in (1 − w)·BCE + w·Dice.
        cldice_weight: of soft clDice on top.
    """

    def __init__(
        self, network: nn.Module, preprocessing: Preprocessing, dice_weight: float = 0.5, cldice_weight: float = 0.0
    ):
        super().__init__()
        # Channels last makes a step of `ViTPyramid` a fifth faster on the CPU (bf16, 256 px), and helps on CUDA.
        self.network = network.to(memory_format=torch.channels_last)
        self.preprocessing, self.weights = preprocessing, (dice_weight, cldice_weight)

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """The loss of one batch."""
        images = normalise(batch["frame"], self.preprocessing).contiguous(memory_format=torch.channels_last)
        logits = self.network(images)
        return {"loss": segmentation_loss(logits, batch["mask"][:, None].float() / 255, *self.weights)}
