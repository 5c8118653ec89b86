"""From a frame to the probability that each of its pixels shows a vessel, at the frame's own size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vasomim_core import objectives
from vasomim_core.calibration import calibrate
from vasomim_core.errors import CheckpointError, InputError
from vasomim_core.masking import masked_count
from vasomim_core.models.catalogue import Preprocessing
from vasomim_core.models.preprocessing import normalise
from vasomim_core.models.registry import Model
from vasomim_core.models.vasomim import VasoMIM


def predict(
    model: Model, frame: NDArray[np.uint8], mirrored: bool = False, tile: int | None = None
) -> NDArray[np.float32]:
    """Vessel probability of one frame.

    Args:
        model: a segmenter or segmentor from the registry.
        frame: uint8 (H, W); see `vasomim_core.angiogram.to_uint8` for other types.
        mirrored: average with the prediction of the frame flipped left to right (2× the time), also where the model
            alone would not. Upside down is left out: no angiogram is, and averaging over it as well cost a model of
            angiograms 2.6 points of DSC.
        tile: side in pixels of overlapping tiles of the scaled frame; None = as the model was trained.

    Returns:
        float32 (H, W) in [0, 1].

    Raises:
        CheckpointError: the model does not segment, or not as its card says.
    """
    if model.card.kind not in ("segmenter", "segmentor"):
        raise CheckpointError(f"{model.name} is a pretrained {model.card.kind}; finetune it before it can segment")
    try:
        return probability(model.network, model.card.preprocessing, frame, model.device, mirrored, tile)
    except (RuntimeError, InputError) as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate" in str(error):
            raise
        first = str(error).partition("\n")[0]
        raise CheckpointError(
            f"the card of {model.name} does not fit its network, which cannot take this frame ({first})"
        ) from error


@torch.inference_mode()
def probability(
    network: nn.Module,
    preprocessing: Preprocessing,
    frame: NDArray[np.uint8],
    device: torch.device | str = "cpu",
    mirrored: bool = False,
    tile: int | None = None,
) -> NDArray[np.float32]:
    """`predict` for a bare network in eval mode: scale, pad, run, crop, scale back, calibrate."""
    height, width = frame.shape
    image = normalise(torch.from_numpy(np.ascontiguousarray(frame))[None].to(device), preprocessing)
    factor = (preprocessing.frame_size or max(height, width)) / max(height, width)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    if size != (height, width):
        image = F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)
    bottom, right = (-n % preprocessing.stride for n in size)
    image = F.pad(image, (0, right, 0, bottom), mode="replicate")
    tile = tile or preprocessing.tile
    if tile is not None:
        tile = math.ceil(tile / preprocessing.stride) * preprocessing.stride
    total = torch.zeros(image.shape[-2:], device=image.device)
    chosen: tuple[tuple[int, ...], ...] = ((), (-1,)) if mirrored or preprocessing.mirrored else ((),)
    for axes in chosen:
        logits = _run(network, image.flip(axes), tile).flip(axes)
        total += torch.sigmoid(logits.float())[0, 0]
    mean = (total / len(chosen))[: size[0], : size[1]]
    if size != (height, width):
        mean = F.interpolate(mean[None, None], size=(height, width), mode="bilinear", align_corners=False)[0, 0]
    return calibrate(mean.clamp(0, 1).cpu().numpy(), preprocessing.calibration)


def _run(network: nn.Module, image: Tensor, tile: int | None) -> Tensor:
    if tile is None or tile >= max(image.shape[-2:]):
        return network(image)
    from monai.inferers import sliding_window_inference

    result: Any = sliding_window_inference(
        image, (tile, tile), 4, network, overlap=0.25, mode="gaussian", padding_mode="replicate"
    )
    return result


def uncertainty(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Binary entropy of a probability in bits, float32 in [0, 1] of the same shape: 0 = sure, 1 = undecided."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return (-(p * np.log2(p) + (1 - p) * np.log2(1 - p))).astype(np.float32)


@dataclass(frozen=True)
class Reconstruction:
    """One masked view of a frame and what a pretrained model makes of it; all (S, S) at its input size.

    Attributes:
        image: float32, the input I in grey levels 0 … 255.
        anatomy: bool, m.
        distribution: float32 (rows, columns), f on the patch grid.
        mask: bool (rows, columns), True = masked.
        drawn: float32, the reconstruction I′ in grey levels.
        view: float32 in [0, 1], sigmoid(S(I)); None without a segmentor.
        view_of_drawn: float32 in [0, 1], sigmoid(S(I′)); None without a segmentor.
    """

    image: NDArray[np.float32]
    anatomy: NDArray[np.bool_]
    distribution: NDArray[np.float32]
    mask: NDArray[np.bool_]
    drawn: NDArray[np.float32]
    view: NDArray[np.float32] | None
    view_of_drawn: NDArray[np.float32] | None


@torch.inference_mode()
def reconstruct(
    model: VasoMIM, frame: NDArray[np.uint8], anatomy: NDArray[np.bool_], beta: float, seed: int = 0
) -> Reconstruction:
    """Mask a frame, guided by its anatomy, and let a pretrained model draw it.

    Args:
        model: from `registry.load_pretrained`.
        frame: uint8 (H, W); scaled to the model's square input.
        anatomy: bool (H, W).
        beta: guidance strength.
        seed: of the mask.
    """
    autoencoder = model.autoencoder
    device = autoencoder.pos_embed.device
    size, preprocessing = autoencoder.patch_embed.img_size, Preprocessing()
    grid = autoencoder.patch_embed.grid_size
    images = normalise(torch.from_numpy(np.ascontiguousarray(frame))[None].to(device), preprocessing)
    images = F.interpolate(images, size=size, mode="bilinear", antialias=True)
    vessels = torch.from_numpy(np.ascontiguousarray(anatomy)).to(device)[None, None].float()
    vessels = F.interpolate(vessels, size=size, mode="nearest")[:, 0] > 0
    view = model.segmentor(images) if model.segmentor is not None else None
    noise = torch.rand((2, 1, grid[0] * grid[1]), generator=torch.Generator().manual_seed(seed)).to(device)
    f = model.distribution(vessels, view)
    mask = model.draw(vessels, view, noise, beta)
    predicted = autoencoder(images, mask, masked_count(mask.shape[1], model.mask_ratio))
    _, mean, std = objectives.normalised_patches(images, autoencoder.patch_size)
    drawn = objectives.reassemble(predicted, mean, std, autoencoder.patch_size, images.shape[-2:])
    view_of_drawn = model.segmentor(drawn) if model.segmentor is not None else None

    def grey(x: Tensor) -> NDArray[np.float32]:
        levels = (x[0] * _column(preprocessing.std, x) + _column(preprocessing.mean, x)).mean(0) * 255
        return levels.clamp(0, 255).cpu().numpy()

    def probable(logits: Tensor | None) -> NDArray[np.float32] | None:
        return None if logits is None else torch.sigmoid(logits)[0, 0].cpu().numpy()

    return Reconstruction(
        image=grey(images),
        anatomy=vessels[0].cpu().numpy(),
        distribution=f.reshape(grid).cpu().numpy(),
        mask=mask.reshape(grid).cpu().numpy(),
        drawn=grey(drawn),
        view=probable(view),
        view_of_drawn=probable(view_of_drawn),
    )


def _column(values: tuple[float, float, float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device).view(3, 1, 1)
