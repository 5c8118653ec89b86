"""Guided masking of one frame, as pretraining does it: all that a window, a figure or a command shows of it.

Pretraining sees random crops of its input size, flipped at random. What is looked at is the whole frame, brought to
the same size as a crop is (bicubic; nearest for the anatomy), so a frame that is not square is squeezed as crops are,
and its patches on the frame are not square either. From there on everything is what pretraining computes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vasomim_core.config import Mode
from vasomim_core.data.augment import cut_out
from vasomim_core.data.pretraining_frame import pretraining_frame
from vasomim_core.errors import ConfigError, InputError
from vasomim_core.masking.results import Mask, MaskingResult, OverEpochs, Reconstruction
from vasomim_core.masking.sampling import (
    Sample,
    co_guided_anatomy,
    mask_noise,
    masked_vessels,
    masking_ratio,
    sample_masks,
    vascular_distribution,
)
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models import objectives
from vasomim_core.models.catalogue import Preprocessing, find_model, model_name
from vasomim_core.models.encoder import Encoder
from vasomim_core.models.guides import Guide
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.prediction import check_plane
from vasomim_core.models.preprocessing import normalise
from vasomim_core.models.registry import load_guide, load_pretrained
from vasomim_core.models.vasomim import VasoMIM

SAMPLES = 128
"""Masks per epoch, of which the curves over the epochs are the mean."""
MOST_EPOCHS = 50
"""The curves have a point for every epoch of a schedule up to this length, and so many points of a longer one."""


class FrameMasking:
    """One frame under one schedule.

    The mask is drawn on the CPU: a seed is the same mask on every machine (with co-guidance, as far as S is the same).

    Args:
        frame: uint8 (H, W), vessels dark.
        anatomy: bool (H, W); `data.pretraining_frame.pretraining_frame` gives both as pretraining has them.
        schedule: the settings.
        guide: the model whose segmentor guides, too: needed for co-guidance alone.
        other: a network of another method that chooses in the place of anatomy, by its own rule; then of the schedule
            only sizes, epochs and seed count, and the sizes must be its own. Its method scales whole frames by area
            (AMT) where here they are scaled as a crop is.

    A model is loaded for the schedule's input size, see `registry.load_pretrained`; of its own settings only the patch
    size counts.

    Raises:
        ConfigError: a setting out of range, or one that the model does not permit.
        InputError: a frame and an anatomy that do not fit.
    """

    def __init__(
        self,
        frame: NDArray[np.uint8],
        anatomy: NDArray[np.bool_],
        schedule: MaskingSchedule,
        guide: VasoMIM | None = None,
        other: Guide | None = None,
    ):
        schedule.check()
        check_plane("frame", frame, "uint8")
        check_plane("anatomy", anatomy, "bool")
        if frame.shape != anatomy.shape:
            raise InputError(f"the anatomy is {_size(anatomy)}, the frame {_size(frame)}; extract it from this frame")
        self.schedule, self._other = schedule, other
        box = (0, 0, frame.shape[1], frame.shape[0])
        self._image, found = cut_out(frame, anatomy.astype(np.uint8), box, schedule.input_size)
        self._anatomy = found > 0
        self._vessels = vascular_distribution(torch.from_numpy(self._anatomy)[None], schedule.patch_size)
        self._f = self._vessels
        if other is not None:
            self._f = self._score(other)
        elif schedule.co_guidance:
            soft = co_guided_anatomy(torch.from_numpy(self._anatomy)[None], self._seen_by(guide))
            self._f = vascular_distribution(soft, schedule.patch_size)
        rows = schedule.input_size // schedule.patch_size
        self._grid = (rows, rows)
        self._masks: dict[int, Mask] = {}

    def mask(self, epoch: int) -> Mask:
        """The mask of an epoch, drawn once. A seed gives all epochs the same luck: the guidance alone changes.

        Raises:
            ConfigError: no such epoch.
        """
        if epoch in self._masks:
            return self._masks[epoch]
        schedule, other, beta = self.schedule, self._other, self._beta(epoch)
        noise = mask_noise(schedule.seed, 0, *self._f.shape)
        masks: tuple[Tensor, ...]
        if other is None:
            masks = sample_masks(self._f, schedule.mask_ratio, beta, noise, schedule.sampler)
        else:
            masks = other.choose(self._f, epoch, schedule.epochs, noise)
        f, masked, guided, *thrown = (plane.reshape(self._grid).numpy() for plane in (self._f, *masks))
        self._masks[epoch] = Mask(self._image, self._anatomy, f, masked, guided, epoch, beta, *thrown)
        return self._masks[epoch]

    def over_epochs(self) -> OverEpochs:
        """What the whole schedule does, each epoch with luck of its own."""
        schedule, sample = self.schedule, self._sample()
        epochs = np.linspace(0, schedule.epochs - 1, min(MOST_EPOCHS, schedule.epochs)).round().astype(np.int64)
        patches, pixels = masked_vessels(self._f[0], self._vessels[0], schedule, epochs.tolist(), SAMPLES, sample)
        return OverEpochs(
            masking_ratio=masking_ratio(self._f, schedule, sample).reshape(self._grid).numpy(),
            epochs=epochs,
            betas=np.array([self._beta(epoch) for epoch in epochs.tolist()]),
            vessel_patches=patches.numpy(),
            vessel_pixels=pixels.numpy(),
        )

    def _beta(self, epoch: int) -> float:
        """The share of the masked patches that is guided."""
        beta = self.schedule.beta(epoch)  # also where another rule holds: is there such an epoch?
        return beta if self._other is None else self._other.share(epoch, self.schedule.epochs)

    def _sample(self) -> Sample | None:
        """Another rule than the schedule's, where there is one."""
        other, epochs = self._other, self.schedule.epochs
        if other is None:
            return None
        return lambda f, epoch, noise: other.choose(f, epoch, epochs, noise).masked

    @torch.inference_mode()
    def reconstruct(self, mask: Mask, model: VasoMIM) -> Reconstruction:
        """Let a model draw what a mask of this frame hides.

        Raises:
            ConfigError: the model's patches or input are not those of the schedule.
        """
        autoencoder, segmentor = model.autoencoder, model.segmentor
        images = self._normalised(model.autoencoder)
        masked = torch.from_numpy(mask.masked).reshape(1, -1).to(images.device)
        predicted = autoencoder(images, masked, int(mask.masked.sum()))
        target, mean, std = objectives.normalised_patches(images, autoencoder.patch_size)
        drawn = objectives.reassemble(predicted, mean, std, autoencoder.patch_size, images.shape[-2:])
        grey = _grey(drawn)
        hidden = np.kron(mask.masked, np.ones((self.schedule.patch_size,) * 2, bool))
        found = Reconstruction(
            reconstruction=grey,
            filled=np.where(hidden, grey, self._image).astype(np.float32),
            l_rec=float(objectives.reconstruction_loss(predicted, target, masked)),
        )
        if segmentor is None:
            return found
        view, again = segmentor(images), segmentor(drawn)
        return Reconstruction(
            **vars(found)
            | {
                "vessels": torch.sigmoid(view)[0, 0].cpu().numpy(),
                "vessels_again": torch.sigmoid(again)[0, 0].cpu().numpy(),
                "l_cons": float(objectives.consistency_loss(again, view)),
            }
        )

    @torch.inference_mode()
    def _seen_by(self, guide: VasoMIM | None) -> Tensor:
        if guide is None or guide.segmentor is None:
            raise ConfigError("co-guidance asks a model's segmentor; choose a pretrained model that has one")
        return guide.segmentor(self._normalised(guide.autoencoder)).cpu()

    @torch.inference_mode()
    def _score(self, other: Guide) -> Tensor:
        return other.score(self._normalised(other.encoder)).cpu()

    def _normalised(self, vit: MaskedAutoencoder | Encoder) -> Tensor:
        schedule = self.schedule
        own, side = vit.patch_size, vit.patch_embed.img_size[0]
        if own != schedule.patch_size:
            raise ConfigError(f"the patch size is {schedule.patch_size} px; this model's patches are of {own} px")
        if side != schedule.input_size:
            raise ConfigError(f"the input size is {schedule.input_size} px; the model was loaded for {side} px")
        return normalise(torch.from_numpy(self._image.copy())[None].to(vit.pos_embed.device), Preprocessing())


def mask_frame(
    frame: NDArray[np.uint8],
    schedule: MaskingSchedule | None = None,
    epoch: int | None = None,
    anatomy: Mode = "robust",
    model: str | Path = "",
    device: str = "auto",
    guide: str | Path = "",
) -> MaskingResult:
    """All that guided masking of a frame comes to, from the frame alone.

    Args:
        frame: uint8 (H, W) of any size, vessels dark; it is brought to the schedule's input size, squeezed where it is
            not square, as pretraining does with what it cuts out.
        schedule: the settings; None = those that pretraining has by default.
        epoch: whose mask is drawn, from 0; None = the last, in which guidance is strongest.
        anatomy: how the vessels are found.
        model: name or path of a pretrained model that draws what is masked; "" = none. Its patch size and, best, its
            input size are the schedule's: see `MaskingSchedule.for_model`.
        device: see `load_model`.
        guide: name or path of an encoder pretrained by AMT or HPM, whose masks are drawn in the place of the
            schedule's; its sizes are the schedule's, of which further only epochs and seed count. Not with `model`.

    Returns:
        With S the schedule's input size and P its patch size, on a grid of (S / P, S / P) patches:

        - `mask`, of the epoch: `image`, what the model sees, uint8 (S, S), and the `anatomy` found in it, bool (S, S);
          `f`, float32, how the anatomy is spread over the grid; `masked` and `guided`, bool, the patches that are
          hidden, and those of them that anatomy has chosen; `beta`, the guidance strength.
        - `over_epochs`: `masking_ratio`, float32, the share of all epochs in which each patch is hidden; and, for up to
          50 `epochs`, the share of the vessels' patches and pixels that is hidden then.
        - `reconstruction`: what the model draws, grey levels as float32 (S, S), and its losses; None without a model.

        `arrays()` has all of it by name.

    Raises:
        ConfigError: a setting out of range, no such epoch, or a setting that the model does not permit.
        InputError: not one grey 8-bit frame.
        CheckpointError: no such model, or one that was not pretrained so.
    """
    schedule = schedule or MaskingSchedule()
    schedule.check()
    if model and guide:
        raise ConfigError("a model draws what a schedule masks; give --model, or --guide for the masks of another one")
    check_plane("frame", frame, "uint8")
    loaded = load_pretrained(model, device, schedule.input_size)[0] if model else None
    other, card = load_guide(guide, device) if guide else (None, None)
    masking = FrameMasking(*pretraining_frame(frame, anatomy), schedule, loaded, other)
    mask = masking.mask(schedule.epochs - 1 if epoch is None else epoch)
    return MaskingResult(
        schedule=schedule,
        anatomy=anatomy,
        model=model_name(find_model(model)) if model else "",
        mask=mask,
        over_epochs=masking.over_epochs(),
        reconstruction=masking.reconstruct(mask, loaded) if loaded is not None else None,
        guide=model_name(find_model(guide)) if guide else "",
        by="" if card is None else card.guides,
    )


def _grey(image: Tensor) -> NDArray[np.float32]:
    """A normalised image (1, 3, H, W) in grey levels 0 … 255, float32 (H, W)."""
    p = Preprocessing()
    mean, std = (torch.tensor(values, device=image.device).view(3, 1, 1) for values in (p.mean, p.std))
    return ((image[0] * std + mean).mean(0) * 255).clamp(0, 255).cpu().numpy()


def _size(plane: NDArray[np.generic]) -> str:
    return f"{plane.shape[0]}×{plane.shape[1]} px"
