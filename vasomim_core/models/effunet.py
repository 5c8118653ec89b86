"""U-Net over EfficientNet-Lite, an encoder that has learned from photographs and is cheap on a CPU."""

from __future__ import annotations

import re
from collections.abc import Mapping

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vasomim_core.errors import CheckpointError
from vasomim_core.models.prior import start_from_vessel_share
from vasomim_core.models.segmentation import ConvBlock


class EffUNet(nn.Module):
    """Image (B, 3, H, W) → logits (B, outputs, H, W); H and W are multiples of 2^levels.

    Works at half resolution and below; the last layer gives each of four pixels its own logit.

    Args:
        lite: which EfficientNet-Lite, 0 … 4 (Tan & Le 2019, without squeeze-and-excitation).
        width: channels of the decoder at half resolution; twice as many at each coarser level.
        levels: how often the encoder halves the resolution, at most 5; the fifth level holds most of its values.
        outputs: logits of a pixel, see `outputs.outputs_of`.
    """

    def __init__(self, lite: int = 2, width: int = 16, levels: int = 5, outputs: int = 1):
        super().__init__()
        self.encoder = timm.create_model(
            f"tf_efficientnet_lite{lite}", features_only=True, out_indices=tuple(range(levels))
        )
        last = self.encoder.feature_info.module_name()[-1]  # "blocks.<stage>"
        self.encoder.blocks = self.encoder.blocks[: int(last.split(".")[1]) + 1]  # timm keeps all
        *skips, channels = self.encoder.feature_info.channels()
        self.merge = nn.ModuleList()
        for k, skip in reversed(list(enumerate(skips))):
            self.merge.append(ConvBlock(channels + skip, 2**k * width))
            channels = 2**k * width
        self.head = nn.Conv2d(channels, 4 * outputs, 3, padding=1)
        start_from_vessel_share(self.head, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, outputs, H, W)."""
        *skips, y = self.encoder(x)
        for merge, skip in zip(self.merge, reversed(skips), strict=True):
            y = F.interpolate(y, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            y = merge(torch.cat([y, skip], dim=1))
        return F.pixel_shuffle(self.head(y), 2)

    def keep_depthwise(self) -> None:
        """Leave the encoder's depthwise filters as they are: on a CPU their gradients are dear."""
        for module in self.encoder.modules():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                module.weight.requires_grad_(False)


def small_effunet(width: int = 16, outputs: int = 1) -> EffUNet:
    """Over the smallest EfficientNet-Lite, down to 1/16 of the resolution: a sixth of the values of the default."""
    return EffUNet(0, width, levels=4, outputs=outputs)


def load_efficientnet(encoder: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load an ImageNet checkpoint in timm's naming or in that of the first PyTorch port.

    Args:
        encoder: of an `EffUNet`; changed in place.
        state: tensors by name; the classifier's, and those of stages below the encoder's last, are left aside.
        source: where they come from, for the error message.

    Raises:
        CheckpointError: the tensors are those of another network; nothing is loaded then.
    """
    own = encoder.state_dict()
    ported = any(key.startswith("_blocks.") for key in state)
    found = _in_timm_naming(state, own) if ported else state
    unfit = [key for key, tensor in own.items() if key not in found or found[key].shape != tensor.shape]
    stages = {key.split(".")[1] for key in own if key.startswith("blocks.")}
    unfit += [key for key in found if key.startswith("blocks.") and key.split(".")[1] in stages and key not in own]
    if unfit:
        raise CheckpointError(
            f"{source} is not the EfficientNet-Lite that this network needs: {len(unfit)} tensors are missing, too "
            f"many or of another shape, the first is {unfit[0]!r}; choose a checkpoint of the same size"
        )
    encoder.load_state_dict({key: found[key] for key in own})


def _in_timm_naming(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The port counts all blocks through and names layers by what they do, timm by their place in the block."""
    blocks = list(dict.fromkeys(match[0] for key in own if (match := re.match(r"blocks\.\d+\.\d+\.", key))))
    separable = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    inverted = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    inverted |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    expanded = {key.split(".")[1] for key in state if "_expand_conv" in key}
    found = {}
    for key, tensor in state.items():
        layer, _, rest = key.partition(".")
        if layer in ("_conv_stem", "_bn0"):
            found[{"_conv_stem": "conv_stem", "_bn0": "bn1"}[layer] + "." + rest] = tensor
        elif layer == "_blocks":
            number, layer, rest = rest.split(".", 2)
            name = (inverted if number in expanded else separable).get(layer, layer)
            block = blocks[int(number)] if int(number) < len(blocks) else f"blocks.{number}."
            found[f"{block}{name}.{rest}"] = tensor
    return found
