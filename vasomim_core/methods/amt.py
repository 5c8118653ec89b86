"""AMT: what the encoder attends to is masked; a part of the rest is thrown away, neither seen nor drawn.

Source: Liu et al., Good Helper Is around You: Attention-Driven Masked Image Modeling, AAAI 2023. In the first tenth of
the epochs masks are MAE's. Then the attention of the class token in the last block to the patches of each whole frame
(per head scaled to 0 … 1, the mean over heads) is kept, and computed anew every tenth of the run. A crop takes its part
of it, and one order is drawn without replacement with these weights: the first ⌊0.45·N⌋ are masked, those up to
⌊0.85·N⌋ thrown away, the rest is seen. The loss is the mean squared error on masked patches, in plain pixels.

The released code divides integers where it cuts the attention and so ignores the crop; here the crop counts.
Card silent: a patch of no attention at all gets the weight 1e-6, so that an order exists; attention between the
patches of a frame is interpolated linearly.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from vasomim_core.data.store import Prepared
from vasomim_core.masking.sampling import masked_count
from vasomim_core.methods import processes
from vasomim_core.methods.losses import mean_where, patch_errors, raw_patches
from vasomim_core.methods.mae import MaskedMethod
from vasomim_core.methods.masks import uniform
from vasomim_core.methods.method import Batch, Moment
from vasomim_core.methods.settings import AMTConfig
from vasomim_core.methods.views import PlacedCrop
from vasomim_core.models.encoder import seen, visible
from vasomim_core.models.guides import AttentionRule, class_attention, drawn_order
from vasomim_core.models.mae import MaskedAutoencoder, everywhere

AT_ONCE = 64
"""Frames whose attention is computed at once."""


class AMT(MaskedMethod[AMTConfig]):
    """Masks drawn by attention, with thrown patches."""

    attention: Tensor

    def __init__(self, config: AMTConfig):
        super().__init__(config)
        self.rule = AttentionRule(config.mask_ratio, config.throw_ratio, config.uniform_ratio, config.uniform_share)
        self.masked, self.used = self.rule.counts(self.patches)
        self.uniform_count = masked_count(self.patches, config.uniform_ratio)
        self.first = self.rule.first(config.training.epochs)
        self.every = max(1, round(config.refresh * config.training.epochs))

    def view(self) -> PlacedCrop:
        """A crop that says where it lies in its frame."""
        return PlacedCrop(self.config.input_size)

    def begin(self, frames: Prepared, segmentor: nn.Module | None) -> None:
        """Room for the attention to every frame; it is saved with the weights."""
        # A function: a copy of this network, as the average of the weights is, would copy the frames themselves.
        self.count, self.frame = len(frames), lambda i: frames[i][0]
        self.register_buffer("attention", torch.zeros(len(frames), self.patches))
        # The same in all processes, and large: it is not sent round at every step.
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self, ["attention"])

    def before_epoch(self, epoch: int) -> None:
        """Compute the attention to every frame anew, where it is due; each process its share of the frames."""
        if epoch < self.first or (epoch - self.first) % self.every:
            return
        rank, count = processes.place()
        device = self.attention.device
        found = torch.zeros_like(self.attention)
        for start in range(rank * AT_ONCE, self.count, count * AT_ONCE):
            chosen = range(start, min(start + AT_ONCE, self.count))
            frames = np.stack([_whole(self.frame(i), self.config.input_size) for i in chosen])
            images = self.images(torch.from_numpy(frames).to(device))
            found[chosen.start : chosen.stop] = class_attention(self.autoencoder, images)
        self.attention.copy_(processes.summed(found))

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """Mean squared error on the masked patches."""
        images = self.images(batch["frame"])
        noise = moment.noise(self.patches, images.device)
        if moment.epoch < self.first:
            masked = uniform(noise[0], self.uniform_count)
            thrown, drawn = torch.zeros_like(masked), self.patches
            kept = visible(masked, self.uniform_count)
        else:
            weights = cropped(self.attention[batch["index"]], batch["place"], self.autoencoder.patch_embed.grid_size)
            order = drawn_order(weights, noise[1])
            masked, thrown = self.rule.split(order)
            drawn, kept = self.patches - self.used + self.masked, order[:, self.used :]
        places = visible(thrown, self.patches - drawn)
        predicted = draw_some(self.autoencoder, images, kept, places)
        target = seen(raw_patches(images, self.config.patch_size), places)
        return {"loss": mean_where(patch_errors(predicted, target), masked.gather(1, places))}


def draw_some(autoencoder: MaskedAutoencoder, images: Tensor, kept: Tensor, places: Tensor) -> Tensor:
    """Decode without the thrown patches.

    Args:
        autoencoder: the network.
        images: (B, 3, H, W).
        kept: int64 (B, V), the patches that are seen.
        places: int64 (B, K), the seen and the masked ones.

    Returns:
        (B, K, P·P·3), in the order of `places`.
    """
    tokens = autoencoder.decoder_embed(autoencoder.encode(images, kept))
    x = everywhere(tokens, kept, autoencoder.mask_token, autoencoder.decoder_pos_embed)
    x = torch.cat([x[:, :1], seen(x[:, 1:], places)], dim=1)
    for block in autoencoder.decoder_blocks:
        x = block(x)
    return autoencoder.decoder_pred(autoencoder.decoder_norm(x))[:, 1:]


def cropped(attention: Tensor, places: Tensor, grid: tuple[int, int]) -> Tensor:
    """The attention to a crop's patches, (B, N), from that to its whole frame's.

    Args:
        attention: (B, N), to the patches of whole frames.
        places: (B, 4), where the crops lie, see `views.place`.
        grid: rows and columns of patches.
    """
    rows, columns = grid
    y, x = torch.meshgrid(
        (torch.arange(rows, device=places.device) + 0.5) / rows,
        (torch.arange(columns, device=places.device) + 0.5) / columns,
        indexing="ij",
    )
    left, top, width, height = places[:, :, None, None].unbind(1)
    centres = torch.stack([left + x * width, top + y * height], dim=-1)  # as shares of the frame
    maps = attention.view(-1, 1, rows, columns)
    sampled = F.grid_sample(maps, 2 * centres - 1, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled.flatten(1)


def _whole(frame: np.ndarray, size: int) -> np.ndarray:
    """A whole frame as a square of `size` px."""
    return np.asarray(cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
