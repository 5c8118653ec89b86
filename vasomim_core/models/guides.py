"""What chooses the patches that AMT and HPM mask: where the encoder looks, and what a second decoder takes for hard.

Their rules stand here and not with the methods, since what is shown of a finished run goes by the same ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from vasomim_core.config import Share
from vasomim_core.errors import ConfigError
from vasomim_core.masking.sampling import Masks, sample_masks
from vasomim_core.masking.schedule import guidance_strength
from vasomim_core.models.encoder import Encoder, seen, with_class
from vasomim_core.models.token_decoder import TokenDecoder
from vasomim_core.schema import Ui

GUIDE = "guide."
"""Prefix of tensors in a pretrained file that only choose patches; those of the encoder have timm's names."""
HARDNESS = "hardness."
"""After it, the prefix of HPM's second decoder; the others are those of the slow encoder before it."""
Ratio = Annotated[float, Ui(min=0.05, max=0.95)]


class Chosen(NamedTuple):
    """Masks of a batch, boolean (B, N) each.

    Attributes:
        masked: what is masked.
        guided: the part of it that the score has chosen.
        thrown: what is neither seen nor drawn.
    """

    masked: Tensor
    guided: Tensor
    thrown: Tensor


@dataclass(frozen=True)
class AttentionRule:
    """AMT's masks: uniform at first; then in an order drawn by attention some are masked, and the next thrown away.

    Attributes:
        mask_ratio: the share of patches that is masked.
        throw_ratio: the share that is thrown away.
        uniform_ratio: the share that is masked in the first epochs.
        uniform_share: the share of the epochs that are the first.
    """

    mask_ratio: Ratio
    throw_ratio: Annotated[float, Ui(min=0, max=0.9)]
    uniform_ratio: Ratio
    uniform_share: Share

    def counts(self, patches: int) -> tuple[int, int]:
        """How many of an order are masked, and how many masked or thrown away: rounded down, unlike MAE's.

        Raises:
            ConfigError: nothing is left to see, or to draw.
        """
        masked = math.floor(self.mask_ratio * patches + 1e-9)
        used = math.floor((self.mask_ratio + self.throw_ratio) * patches + 1e-9)
        if not 0 < masked <= used < patches:
            raise ConfigError(
                f"masking {self.mask_ratio:g} and throwing {self.throw_ratio:g} of {patches} patches leaves "
                "none to see, or none to draw; lower --mask-ratio or --throw-ratio"
            )
        return masked, used

    def first(self, epochs: int) -> int:
        """The first epoch that attention guides."""
        return round(self.uniform_share * epochs)

    def split(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """What is masked and what is thrown away, boolean (B, N) each, of an order int64 (B, N)."""
        rank, (masked, used) = order.argsort(dim=1), self.counts(order.shape[1])
        return rank < masked, (rank >= masked) & (rank < used)


@dataclass(frozen=True)
class HardnessRule:
    """HPM's masks: a share β_e of the masked patches are those of highest predicted loss, the others are uniform.

    Attributes:
        mask_ratio: γ, the share of patches that is masked.
        beta_start: β_0.
        beta_end: β_E.
    """

    mask_ratio: Ratio
    beta_start: Share
    beta_end: Share

    def beta(self, epoch: int, epochs: int) -> float:
        """β_e of an epoch from 0."""
        return guidance_strength(epoch, epochs, self.beta_start, self.beta_end)


class Guide(nn.Module):
    """A pretrained network that says of each patch of a frame how much it should be masked.

    Args:
        encoder: sees all patches of a frame.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def score(self, images: Tensor) -> Tensor:
        """For images (B, 3, H, W), normalised, of the encoder's own size: float32 (B, N)."""
        raise NotImplementedError

    def share(self, epoch: int, epochs: int) -> float:
        """The share of the masked patches that the score chooses in an epoch from 0."""
        raise NotImplementedError

    def choose(self, score: Tensor, epoch: int, epochs: int, noise: Tensor) -> Chosen:
        """The masks of an epoch from 0.

        Args:
            score: (B, N).
            epoch: from 0.
            epochs: E, of the whole run.
            noise: uniform numbers in [0, 1), (2, B, N), see `masking.sampling.mask_noise`.
        """
        raise NotImplementedError


class AttentionGuide(Guide):
    """AMT's: the attention of the class token."""

    def __init__(self, encoder: Encoder, rule: AttentionRule):
        super().__init__(encoder)
        rule.counts(encoder.patch_embed.num_patches)
        self.rule = rule

    def score(self, images: Tensor) -> Tensor:
        """See `class_attention`."""
        return class_attention(self.encoder, images)

    def share(self, epoch: int, epochs: int) -> float:
        """None in the first epochs, then all."""
        return float(epoch >= self.rule.first(epochs))

    def choose(self, score: Tensor, epoch: int, epochs: int, noise: Tensor) -> Chosen:
        """Uniform in the first epochs, then by attention."""
        if not self.share(epoch, epochs):
            masked, guided = sample_masks(score, self.rule.uniform_ratio, 0.0, noise, "uniform")
            return Chosen(masked, guided, torch.zeros_like(masked))
        masked, thrown = self.rule.split(drawn_order(score, noise[1]))
        return Chosen(masked, masked, thrown)


class HardnessGuide(Guide):
    """HPM's: the loss that the slow copy of the second decoder predicts, from the slow encoder's tokens."""

    def __init__(self, encoder: Encoder, hardness: TokenDecoder, rule: HardnessRule):
        super().__init__(encoder)
        self.hardness, self.rule = hardness, rule

    def score(self, images: Tensor) -> Tensor:
        """See `predicted_loss`."""
        return predicted_loss(self.encoder(images), self.hardness)

    def share(self, epoch: int, epochs: int) -> float:
        """β_e."""
        return self.rule.beta(epoch, epochs)

    def choose(self, score: Tensor, epoch: int, epochs: int, noise: Tensor) -> Chosen:
        """The hardest, and others."""
        masked, guided = hardest(score, self.rule.mask_ratio, self.share(epoch, epochs), noise)
        return Chosen(masked, guided, torch.zeros_like(masked))


def drawn_order(weights: Tensor, noise: Tensor) -> Tensor:
    """All patches without replacement with these weights (B, N), int64 (B, N): an exponential race, see `sampling`."""
    return (torch.log1p(-noise).neg() / weights.clamp_min(1e-6)).argsort(dim=1)


@torch.no_grad()
def class_attention(vit: VisionTransformer, images: Tensor) -> Tensor:
    """How the class token attends to each patch in the last block: min-max per head, mean of heads, (B, N) in 0 … 1."""
    patches = vit.patch_embed(images).flatten(1, -2) + vit.pos_embed[:, 1:]  # an `Encoder` gives a grid
    *first, last = vit.blocks
    x = nn.Sequential(*first)(with_class(vit, seen(patches, None)))
    heads = _attention(last, x)[:, :, 0, 1:]
    low, high = heads.amin(dim=2, keepdim=True), heads.amax(dim=2, keepdim=True)
    return ((heads - low) / (high - low).clamp_min(1e-12)).mean(dim=1)


def _attention(block: Block, x: Tensor) -> Tensor:
    """The attention of a block, after its softmax, (B, heads, T, T)."""
    attention = block.attn
    queries, keys, _ = (
        attention.qkv(block.norm1(x)).unflatten(2, (3, attention.num_heads, attention.head_dim)).permute(2, 0, 3, 1, 4)
    )
    return (queries @ keys.transpose(-2, -1) * attention.scale).float().softmax(dim=-1)


def predicted_loss(tokens: Tensor, hardness: TokenDecoder) -> Tensor:
    """How hard the second decoder takes each patch for, float32 (B, N), from the tokens (B, 1 + N, D) of all."""
    everything = torch.arange(tokens.shape[1] - 1, device=tokens.device).expand(len(tokens), -1)
    return hardness(tokens, everything)[..., 0].float()


def hardest(predicted: Tensor, mask_ratio: float, beta: float, noise: Tensor) -> Masks:
    """Masks (B, N): ⌊βM⌋ patches of highest predicted loss (B, N), the other M − ⌊βM⌋ uniformly of all others."""
    above = predicted - predicted.amin(dim=1, keepdim=True) + 1  # the sampler takes positive weights
    return sample_masks(above, mask_ratio, beta, noise, "top-k")
