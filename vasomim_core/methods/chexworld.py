"""CheXWorld: from a part of one distorted crop, features of the clean frame are predicted, there and in another crop.

Source: Yue et al., CheXWorld: Exploring Image World Modeling for Radiograph Representation Learning, CVPR 2025, on
I-JEPA (Assran et al., CVPR 2023). Two equally large crops of a frame; the encoder sees the context of each, distorted;
a slow copy (0.996 → 1) sees the whole crops, clean, and its outputs, LayerNormed, are the targets. A predictor gets the
context and, for each target patch, a query: mask token + sines and cosines of where the patch lies, seen from the
context's crop, joined with the distortion by a 3-layer ReLU MLP. The loss is the mean squared error, within a crop and
across crops, the mean of both. The slow copy is kept.

Card silent: the second crop lies anywhere; γ alone has the probability 0.8; the five numbers of a distortion are those
of `views.DistortedPair`; the decay rises in a straight line; a class token is carried along, which no loss asks for.
"""

from __future__ import annotations

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from vasomim_core.errors import ConfigError
from vasomim_core.methods.copies import follow, linear, slow_copy
from vasomim_core.methods.masks import Blocks
from vasomim_core.methods.method import Batch, Method, Moment
from vasomim_core.methods.settings import CheXWorldConfig
from vasomim_core.methods.views import DistortedPair
from vasomim_core.models.encoder import Encoder, seen
from vasomim_core.models.vit import check_width, layer_norm, sincos_at


class CheXWorld(Method[CheXWorldConfig]):
    """Context and targets in two crops, a slow copy, and a predictor that knows where and how distorted."""

    def __init__(self, config: CheXWorldConfig):
        super().__init__(config)
        check_width("predictor", config.predictor_width, config.predictor_heads)
        self.encoder = Encoder(config.encoder, config.input_size, config.patch_size)
        self.grid: tuple[int, int] = self.encoder.patch_embed.grid_size
        if min(self.grid) < 2:
            raise ConfigError("one patch leaves nothing to predict; choose a larger --input-size")
        self.slow = slow_copy(self.encoder)
        self.predictor = Predictor(
            self.encoder.embed_dim, config.predictor_width, config.predictor_depth, config.predictor_heads
        )
        self.blocks = Blocks(self.grid, config.targets, config.target_scale, config.target_aspect, config.context_scale)

    def view(self) -> DistortedPair:
        """Two crops, clean and distorted."""
        return DistortedPair(self.config.input_size, self.config.crop_scale, self.config.jitter)

    def forward(self, batch: Batch, moment: Moment) -> dict[str, Tensor]:
        """The error within and across crops."""
        # All first crops, then all second ones.
        clean, distorted, places, distortion = (
            batch[name].transpose(0, 1).flatten(0, 1) for name in ("clean", "distorted", "place", "distortion")
        )
        context, targets = self.masks(moment, clean.device)
        tokens = self.encoder(self.images(distorted), context)[:, 1:]
        features = self.features(self.images(clean))
        here = where(context, self.grid)
        within = self.error(tokens, here, where(targets, self.grid), distortion, features, targets)
        other = torch.arange(len(places), device=places.device).roll(len(places) // 2)
        moved = seen_from(where(targets[other], self.grid), places[other], places, self.grid)
        across = self.error(tokens, here, moved, distortion, features[other], targets[other])
        return {"loss": (within + across) / 2, "within": within.detach(), "across": across.detach()}

    def masks(self, moment: Moment, device: torch.device) -> tuple[Tensor, Tensor]:
        """Context (2·B, V) and targets (2·B, T, K) of these rows, drawn for both crops of the whole batch."""
        drawn = self.blocks.draw(2 * moment.batch_size, moment.generator())
        context, targets = (
            part.unflatten(0, (2, moment.batch_size))[:, moment.rows].flatten(0, 1).to(device) for part in drawn
        )
        return context, targets

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """What the slow copy makes of whole crops, LayerNormed, float32 (B, N, D)."""
        tokens = self.slow(images)[:, 1:].float()
        return F.layer_norm(tokens, tokens.shape[-1:])

    def error(
        self, tokens: Tensor, here: Tensor, there: Tensor, distortion: Tensor, features: Tensor, targets: Tensor
    ) -> Tensor:
        """The mean squared error of the features (B, N, D) predicted at the targets (B, T, K)."""
        predicted = self.predictor(tokens, here, there, distortion)
        true = seen(features, targets.flatten(1)).view_as(predicted)
        return (predicted.float() - true).square().mean()

    def after_step(self, moment: Moment) -> None:
        """The slow copy follows."""
        follow(self.slow, self.encoder, linear(self.config.ema_start, self.config.ema_end, moment.progress))

    def keeps(self) -> VisionTransformer:
        """The slow copy."""
        return self.slow


class Predictor(nn.Module):
    """Context tokens and places in, features at other places out.

    Args:
        embed: channels D of the encoder.
        width: channels.
        depth: blocks.
        heads: attention heads of each.
    """

    def __init__(self, embed: int, width: int, depth: int, heads: int):
        super().__init__()
        self.width = width
        self.embed = nn.Linear(embed, width)
        self.mask_token = nn.Parameter(torch.zeros(width))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.join = nn.Sequential(
            *(nn.Linear(width + 5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()), nn.Linear(width, width)
        )
        self.blocks = nn.Sequential(*(Block(width, heads, qkv_bias=True, norm_layer=layer_norm) for _ in range(depth)))
        self.norm = layer_norm(width)
        self.predict = nn.Linear(width, embed)

    def forward(self, tokens: Tensor, here: Tensor, there: Tensor, distortion: Tensor) -> Tensor:
        """Predict each block of targets by itself.

        Args:
            tokens: of the context, (B, V, D).
            here: where they are, in patches, (B, V, 2) as x, y.
            there: where the targets are, (B, T, K, 2).
            distortion: of the context, (B, 5).

        Returns:
            (B, T, K, D).
        """
        blocks, each = there.shape[1:3]
        context = self.embed(tokens) + sincos_at(here, self.width)
        queries = self.mask_token + sincos_at(there, self.width)
        known = distortion[:, None, None].expand(-1, blocks, each, -1)
        queries = self.join(torch.cat([queries, known], dim=-1)).flatten(0, 1)
        x = torch.cat([context.repeat_interleave(blocks, dim=0).to(queries.dtype), queries], dim=1)
        x = self.predict(self.norm(self.blocks(x)[:, -each:]))
        return x.unflatten(0, (-1, blocks))


def where(patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """Column and row of patches by index, (…) → float32 (…, 2)."""
    return torch.stack([patches % grid[1], patches // grid[1]], dim=-1).float()


def seen_from(positions: Tensor, places: Tensor, others: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where patches of some crops lie on the grid of other crops of the same frames.

    Args:
        positions: column and row, (B, …, 2).
        places: (B, 4), where their crops lie, see `views.place`.
        others: (B, 4), where the other crops lie.
        grid: rows and columns of patches in each.

    Returns:
        Column and row, (B, …, 2); below 0 and beyond the grid where they lie outside.
    """
    shape = (len(positions), *[1] * (positions.ndim - 2), 2)
    columns_rows = torch.tensor([grid[1], grid[0]], device=positions.device, dtype=positions.dtype)
    corner, size = places[:, :2].view(shape), places[:, 2:].view(shape)
    frame = corner + (positions + 0.5) / columns_rows * size
    corner, size = others[:, :2].view(shape), others[:, 2:].view(shape)
    return (frame - corner) / size * columns_rows - 0.5
