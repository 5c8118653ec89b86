"""The encoder that pretraining leaves behind: a ViT with a class token, which sees all patches or some of them."""

from __future__ import annotations

import torch
from timm.layers import gen_relative_position_index, resample_abs_pos_embed, resize_rel_pos_bias_table_simple
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vasomim_core.config import EncoderSize
from vasomim_core.models.vit import encoder_options, sincos_positions


class Encoder(VisionTransformer):
    """A ViT whose tensors have the names of MAE's and timm's checkpoints; image (B, 3, H, W) → tokens (B, 1 + V, D).

    Linear layers are drawn as timm draws them (truncated normal, σ 0.02); a method that starts otherwise says so.

    Args:
        encoder: tiny, small, base or large.
        input_size: side of the square input in pixels; others get the positions resampled.
        patch_size: side of a patch in pixels.
        relative_positions: one relative position bias for all blocks (SimMIM) in the place of absolute positions.
        learned_positions: absolute positions that are learned, not fixed sines and cosines.
        layer_scale: what the LayerScale of every block starts from; 0 = none.

    Raises:
        ConfigError: sizes that do not divide.
    """

    def __init__(
        self,
        encoder: EncoderSize = "base",
        input_size: int = 224,
        patch_size: int = 16,
        relative_positions: bool = False,
        learned_positions: bool = False,
        layer_scale: float = 0.0,
    ):
        options = encoder_options(encoder, input_size, patch_size)
        super().__init__(**options, init_values=layer_scale or None, dynamic_img_size=True)
        self.patch_size = patch_size
        grid = self.patch_embed.grid_size
        self.rel_pos_bias = SharedRelativePositions(grid, options["num_heads"]) if relative_positions else None
        if not learned_positions:
            with torch.no_grad():
                fixed = sincos_positions(self.embed_dim, grid)
                self.pos_embed.copy_(torch.zeros_like(fixed) if relative_positions else fixed)
            self.pos_embed.requires_grad_(False)

    def forward(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Encode all patches, or the kept ones.

        Args:
            images: (B, 3, H, W), normalised.
            kept: int64 (B, V), the indices of the patches that are seen; None = all N.

        Returns:
            (B, 1 + V, D), class token first, after the last LayerNorm.
        """
        tokens, grid = self.embed(images)
        return self.norm(self.attend(with_class(self, seen(tokens, kept)), grid))

    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The patches' tokens with their positions, (B, N, D), without a class token; and the grid that they are on."""
        patches = self.patch_embed(images)  # (B, rows, columns, D), as any size is taken
        grid = (patches.shape[1], patches.shape[2])
        positions = self.pos_embed
        if grid != self.patch_embed.grid_size:
            positions = resample_abs_pos_embed(positions, list(grid))
        return patches.flatten(1, 2) + positions[:, 1:], grid

    def attend(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """All blocks; relative positions need all N tokens of the grid behind the class token."""
        if self.rel_pos_bias is None:
            return self.blocks(tokens)
        bias = self.rel_pos_bias(grid).to(tokens.dtype)
        for block in self.blocks:
            tokens = block(tokens, attn_mask=bias)
        return tokens


class SharedRelativePositions(nn.Module):
    """A bias on the attention logits by how far two patches are apart, learned per head, one for all blocks.

    Source: SimMIM (Xie et al., CVPR 2022) and BEiT (Bao et al., ICLR 2022), whose tables are laid out like this one:
    (2h − 1)·(2w − 1) distances, then class to patch, patch to class, class to class.

    Args:
        grid: rows and columns of patches for which it is stored; other grids get it resampled.
        heads: attention heads of a block.
    """

    def __init__(self, grid: tuple[int, int], heads: int):
        super().__init__()
        distances = (2 * grid[0] - 1) * (2 * grid[1] - 1)
        self.relative_position_bias_table = nn.Parameter(torch.zeros(distances + 3, heads))

    def forward(self, grid: tuple[int, int]) -> Tensor:
        """For a grid of N patches, (1, heads, 1 + N, 1 + N), to be added to the logits."""
        table = self.relative_position_bias_table
        shape = ((2 * grid[0] - 1) * (2 * grid[1] - 1) + 3, table.shape[1])
        table = resize_rel_pos_bias_table_simple(table, grid, shape)
        index = gen_relative_position_index(grid, class_token=True, device=table.device)
        return table[index].permute(2, 0, 1)[None]


def seen(tokens: Tensor, kept: Tensor | None) -> Tensor:
    """(B, N, D) → the kept tokens (B, V, D) in the order of `kept`, int64 (B, V); None = all."""
    return tokens if kept is None else tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[-1]))


def with_class(vit: VisionTransformer, tokens: Tensor) -> Tensor:
    """(B, V, D) → (B, 1 + V, D): the class token and its position first."""
    first = (vit.cls_token + vit.pos_embed[:, :1]).expand(len(tokens), -1, -1)
    return torch.cat([first.to(tokens.dtype), tokens], dim=1)


def visible(mask: Tensor, masked: int) -> Tensor:
    """The indices of what is not masked, int64 (B, N − M), ascending; of masks (B, N) with M = `masked` a row."""
    return mask.byte().argsort(dim=1, stable=True)[:, : mask.shape[1] - masked]
