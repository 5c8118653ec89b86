"""VasoMIM: a masked autoencoder whose reconstruction must show the same vessels to a frozen segmentor."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vasomim_core.config import Sampler
from vasomim_core.masking.sampling import co_guided_anatomy, masked_count, sample_masks, vascular_distribution
from vasomim_core.models import objectives
from vasomim_core.models.mae import MaskedAutoencoder

SEGMENTOR = "segmentor."  # prefix of S's tensors in a pretrained file; the autoencoder's have MAE's own names


class Losses(NamedTuple):
    """The terms of L = L_rec + w·L_cons, each a scalar tensor."""

    loss: Tensor
    reconstruction: Tensor
    consistency: Tensor


class VasoMIM(nn.Module):
    """Guided masking, reconstruction and anatomical consistency in one module.

    Both parts are handed over ready: nothing here initialises a weight, so the segmentor's tensors stay what they
    were. It is frozen for good: it stays in eval mode when this module is put into train mode.

    Args:
        autoencoder: the model that is trained.
        segmentor: S, trained on pseudo-labels; None leaves the consistency term out.
        mask_ratio: γ in [0, 1].
        sampler: "anatomy", "top-k" or "uniform".
        co_guidance: mix S's own view of the vessels into the anatomy (extended paper).
        consistency_weight: w, the weight of L_cons.
    """

    def __init__(
        self,
        autoencoder: MaskedAutoencoder,
        segmentor: nn.Module | None = None,
        mask_ratio: float = 0.5,
        sampler: Sampler = "anatomy",
        co_guidance: bool = False,
        consistency_weight: float = 1.0,
    ):
        super().__init__()
        self.autoencoder = autoencoder
        self.segmentor = segmentor
        self.mask_ratio, self.sampler = mask_ratio, sampler
        self.co_guidance, self.consistency_weight = co_guidance, consistency_weight
        if segmentor is not None:
            segmentor.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> VasoMIM:
        """Train mode for the autoencoder alone."""
        super().train(mode)
        if self.segmentor is not None:
            self.segmentor.eval()
        return self

    def forward(self, images: Tensor, anatomy: Tensor, noise: Tensor, beta: float) -> Losses:
        """One masked view of a batch and its losses.

        Args:
            images: (B, 3, H, W), normalised.
            anatomy: (B, H, W), bool.
            noise: uniform numbers in [0, 1), (2, B, N), that decide the masks.
            beta: guidance strength β_e of this epoch.
        """
        view = None
        if self.segmentor is not None:
            with torch.no_grad():
                view = self.segmentor(images)
        mask = self.sample_masks(anatomy, view, noise, beta)
        predicted = self.autoencoder(images, mask, masked_count(mask.shape[1], self.mask_ratio))
        target, mean, std = objectives.normalised_patches(images, self.autoencoder.patch_size)
        reconstruction = objectives.reconstruction_loss(predicted, target, mask)
        if view is None or self.segmentor is None or self.consistency_weight == 0:
            return Losses(reconstruction, reconstruction.detach(), torch.zeros_like(reconstruction.detach()))
        drawn = objectives.reassemble(predicted, mean, std, self.autoencoder.patch_size, images.shape[-2:])
        consistency = objectives.consistency_loss(self.segmentor(drawn.to(images.dtype)), view)
        loss = reconstruction + self.consistency_weight * consistency
        return Losses(loss, reconstruction.detach(), consistency.detach())

    def sample_masks(self, anatomy: Tensor, view: Tensor | None, noise: Tensor, beta: float) -> Tensor:
        """The masks of a batch, boolean (B, N); `view` are S's logits, needed for co-guidance alone."""
        f = self.distribution(anatomy, view)
        return sample_masks(f, self.mask_ratio, beta, noise, self.sampler).masked

    def distribution(self, anatomy: Tensor, view: Tensor | None) -> Tensor:
        """The vascular distribution f (B, N) that guides the masks."""
        if self.co_guidance and view is not None:
            anatomy = co_guided_anatomy(anatomy, view)
        return vascular_distribution(anatomy, self.autoencoder.patch_size)

    def pretrained_state(self) -> dict[str, Tensor]:
        """The tensors of a pretrained file: the autoencoder's in MAE's naming, S's behind a prefix."""
        state = dict(self.autoencoder.state_dict())
        if self.segmentor is not None:
            state |= {SEGMENTOR + key: value for key, value in self.segmentor.state_dict().items()}
        return state
