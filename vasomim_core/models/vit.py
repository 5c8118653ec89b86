"""Vision transformers by size, on timm's implementation, with MAE's key names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import timm.layers
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vasomim_core.config import EncoderSize
from vasomim_core.errors import CheckpointError, ConfigError

# width, depth, heads (Dosovitskiy et al. 2021; tiny and small: Touvron et al. 2021)
_SIZES: dict[EncoderSize, tuple[int, int, int]] = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
}

RELATIVE = "rel_pos_bias.relative_position_bias_table"
"""The tensor of the relative positions of an encoder that has them."""


def encoder_options(size: EncoderSize, input_size: int, patch_size: int) -> dict[str, Any]:
    """Keyword arguments that make timm's `VisionTransformer` an encoder with a class token and no head.

    Args:
        size: tiny, small, base or large.
        input_size: side of the input in pixels, a multiple of `patch_size`.
        patch_size: side of a patch in pixels.

    Raises:
        ConfigError: an unknown size, or an input that does not divide into patches.
    """
    if size not in get_args(EncoderSize):
        raise ConfigError(f"unknown encoder size {size!r}; choose one of {', '.join(get_args(EncoderSize))}")
    if patch_size < 1 or input_size < patch_size or input_size % patch_size:
        raise ConfigError(
            f"an input of {input_size} px does not divide into patches of {patch_size} px; "
            "choose an input size that is a multiple of the patch size"
        )
    width, depth, heads = _SIZES[size]
    return {
        "img_size": input_size,
        "patch_size": patch_size,
        "embed_dim": width,
        "depth": depth,
        "num_heads": heads,
        "num_classes": 0,
        "norm_layer": layer_norm,
    }


def check_width(part: str, width: int, heads: int) -> None:
    """Make sure that the channels of a decoder or predictor divide into heads, and into sines and cosines.

    Raises:
        ConfigError: they do not.
    """
    if width % heads or width % 4:
        raise ConfigError(
            f"a {part} of {width} channels does not divide into {heads} heads (and 4 parts for positions); "
            "choose a width that is a multiple of both"
        )


def layer_norm(width: int, **_: Any) -> nn.LayerNorm:
    """LayerNorm with MAE's eps of 1e-6; timm calls it with further keywords that do not concern it."""
    return nn.LayerNorm(width, eps=1e-6)


def sincos_positions(width: int, grid: tuple[int, int]) -> Tensor:
    """Fixed 2-D sine–cosine positions with a zero row for the class token, float32 (1, 1 + N, width).

    As in MAE, the first half of the channels codes x, the second y; each half holds sines, then cosines, of the
    coordinate times 10000^(−i / (width/4)).

    Source: He et al., Masked Autoencoders, CVPR 2022, section 3 (positions of Vaswani et al. 2017 in 2-D).
    """
    rows, columns = grid
    y, x = torch.meshgrid(torch.arange(rows).double(), torch.arange(columns).double(), indexing="ij")
    table = sincos_at(torch.stack([x.flatten(), y.flatten()], dim=-1), width)
    return torch.cat([torch.zeros(1, width, dtype=torch.float64), table]).float()[None]


def sincos_at(places: Tensor, width: int) -> Tensor:
    """The same at any places: column and row in patches, (…, 2) of a floating type → (…, width)."""
    omega = 10000.0 ** (-torch.arange(width // 4, dtype=torch.float64, device=places.device) / (width / 4.0))
    angles = [coordinate[..., None] * omega.to(places.dtype) for coordinate in places.unbind(-1)]
    return torch.cat([torch.cat([a.sin(), a.cos()], dim=-1) for a in angles], dim=-1)


def load_encoder(encoder: VisionTransformer, state: Mapping[str, Tensor], source: str) -> None:
    """Load encoder weights in MAE or timm naming; positions and patch embedding are resampled where sizes differ.

    Relative positions are resampled as well. Decoder, head and mask-token entries are left aside; a `module.`,
    `encoder.` or `backbone.` prefix is removed.

    Args:
        encoder: any timm `VisionTransformer` (the autoencoder included); changed in place.
        state: tensors by name.
        source: where they come from, for the error message.

    Raises:
        CheckpointError: the tensors are those of another architecture; nothing is loaded then.
    """
    own = encoder.state_dict()
    wanted = {k for k in own if not k.startswith(("decoder", "mask_token", "head", "fc_norm"))}
    found = {_encoder_key(k): v for k, v in state.items()}
    missing = sorted(wanted - found.keys())
    if missing:
        raise CheckpointError(
            f"{source} holds no ViT encoder of this depth: {len(missing)} tensors are missing, the first is "
            f"{missing[0]!r}; choose a checkpoint of the same encoder size"
        )
    loaded = {k: found[k] for k in wanted}
    if loaded["pos_embed"].shape[-1] == own["pos_embed"].shape[-1]:
        grid = encoder.patch_embed.grid_size
        if loaded["pos_embed"].shape != own["pos_embed"].shape:
            loaded["pos_embed"] = timm.layers.resample_abs_pos_embed(loaded["pos_embed"], grid, antialias=False)
        kernel, target = loaded["patch_embed.proj.weight"], own["patch_embed.proj.weight"]
        if kernel.shape[:2] == target.shape[:2] and kernel.shape != target.shape:
            size = [int(target.shape[2]), int(target.shape[3])]
            loaded["patch_embed.proj.weight"] = timm.layers.resample_patch_embed(kernel, size)
        if RELATIVE in loaded:
            loaded[RELATIVE] = timm.layers.resize_rel_pos_bias_table_simple(
                loaded[RELATIVE], grid, tuple(own[RELATIVE].shape)
            )
    for key, tensor in loaded.items():
        if tensor.shape != own[key].shape:
            raise CheckpointError(
                f"{source} is of another encoder: {key!r} has shape {tuple(tensor.shape)}, this model needs "
                f"{tuple(own[key].shape)}; choose a checkpoint of the same encoder size"
            )
    encoder.load_state_dict(loaded, strict=False)


def has_relative_positions(state: Mapping[str, Tensor]) -> bool:
    """Whether these are tensors of an encoder with one relative position bias for all its blocks (SimMIM)."""
    return any(_encoder_key(key) == RELATIVE for key in state)


def _encoder_key(key: str) -> str:
    for prefix in ("module.", "encoder.", "backbone."):
        key = key.removeprefix(prefix)
    return key
