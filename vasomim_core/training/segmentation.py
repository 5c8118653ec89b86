"""What the segmentor S and a finetuned segmentation model have in common: a network that learns masks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vasomim_core.models.catalogue import Preprocessing
from vasomim_core.models.preprocessing import normalise
from vasomim_core.models.segmentation_loss import SegmentationLoss
from vasomim_core.training.batches import Batch, Moment


class SegmentationLearner(nn.Module):
    """Frames and codes of their pixels (`data.codes`) → the loss.

    Args:
        network: (B, 3, H, W) → logits (B, outputs, H, W).
        preprocessing: what it expects.
        loss: of its logits and the codes.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, loss: SegmentationLoss):
        super().__init__()
        # Channels last makes a step of `ViTPyramid` a fifth faster on the CPU (bf16, 256 px), and helps on CUDA.
        self.network = network.to(memory_format=torch.channels_last)
        self.preprocessing, self.loss = preprocessing, loss

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """The loss of one batch."""
        images = normalise(batch["frame"], self.preprocessing).contiguous(memory_format=torch.channels_last)
        return {"loss": self.loss(self.network(images), batch["mask"])}
