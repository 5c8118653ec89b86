"""The masked autoencoder: a ViT that sees the visible patches and a decoder that draws all of them."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from vasomim_core.config import EncoderSize
from vasomim_core.models.encoder import seen, visible, with_class
from vasomim_core.models.vit import check_width, encoder_options, layer_norm, sincos_positions


class MaskedAutoencoder(VisionTransformer):
    """Asymmetric masked autoencoder, with the key names of MAE's own checkpoints.

    Source: He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022.

    Args:
        encoder: tiny, small, base or large.
        input_size: side of the square input in pixels.
        patch_size: side P of a patch in pixels; N = (input_size / P)² patches.
        decoder_width: channels of the decoder, a multiple of `decoder_heads`.
        decoder_depth: number of decoder blocks.
        decoder_heads: attention heads in each of them.

    Raises:
        ConfigError: sizes that do not divide.
    """

    def __init__(
        self,
        encoder: EncoderSize = "base",
        input_size: int = 224,
        patch_size: int = 16,
        decoder_width: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
    ):
        check_width("decoder", decoder_width, decoder_heads)
        super().__init__(**encoder_options(encoder, input_size, patch_size))
        self.patch_size = patch_size
        self.decoder_embed = nn.Linear(self.embed_dim, decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, decoder_width))
        self.decoder_pos_embed = nn.Parameter(
            sincos_positions(decoder_width, self.patch_embed.grid_size), requires_grad=False
        )
        self.decoder_blocks = nn.ModuleList(
            Block(decoder_width, decoder_heads, qkv_bias=True, norm_layer=layer_norm) for _ in range(decoder_depth)
        )
        self.decoder_norm = layer_norm(decoder_width)
        self.decoder_pred = nn.Linear(decoder_width, patch_size**2 * 3)
        self._initialise()

    def _initialise(self) -> None:
        """MAE's initialisation: Xavier-uniform linear layers, the patch embedding included."""
        with torch.no_grad():
            self.pos_embed.copy_(sincos_positions(self.embed_dim, self.patch_embed.grid_size))
        self.pos_embed.requires_grad_(False)
        nn.init.normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.mask_token, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.view(self.embed_dim, -1))

    def encode(self, images: Tensor, kept: Tensor | None = None) -> Tensor:
        """Encode the visible patches.

        Args:
            images: (B, 3, H, W), normalised.
            kept: int64 (B, V), the indices of the visible patches; None = all.

        Returns:
            Tokens (B, 1 + V, D), class token first, after the last LayerNorm.
        """
        tokens = self.patch_embed(images) + self.pos_embed[:, 1:]
        return self.norm(self.blocks(with_class(self, seen(tokens, kept))))

    def decode(self, tokens: Tensor, kept: Tensor) -> Tensor:
        """Draw every patch from the visible ones' tokens.

        Args:
            tokens: (B, 1 + V, D) from `encode`.
            kept: int64 (B, V).

        Returns:
            (B, N, P·P·3): each patch in the normalised units of its own mean and standard deviation.
        """
        x = everywhere(self.decoder_embed(tokens), kept, self.mask_token, self.decoder_pos_embed)
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x))[:, 1:]

    def forward(self, images: Tensor, mask: Tensor, masked: int) -> Tensor:
        """Reconstruct all patches of `images` from the unmasked ones.

        Args:
            images: (B, 3, H, W), normalised.
            mask: boolean (B, N), True = masked, with the same number of True in every row.
            masked: that number (given, so that the device need not be asked).

        Returns:
            (B, N, P·P·3), see `decode`.
        """
        kept = visible(mask, masked)
        return self.decode(self.encode(images, kept), kept)


def everywhere(tokens: Tensor, kept: Tensor, mask_token: Tensor, positions: Tensor) -> Tensor:
    """What a decoder begins with: the encoded tokens in their places, a mask token in all others, and positions.

    Args:
        tokens: (B, 1 + V, D), the class token first.
        kept: int64 (B, V), the places of the others.
        mask_token: (1, 1, D).
        positions: (1, 1 + N, D).

    Returns:
        (B, 1 + N, D).
    """
    batch, _, width = tokens.shape
    patches = mask_token.to(tokens.dtype).repeat(batch, positions.shape[1] - 1, 1)
    patches = patches.scatter(1, kept[..., None].expand(-1, -1, width), tokens[:, 1:])
    return torch.cat([tokens[:, :1], patches], dim=1) + positions
