"""From a frame to the probability that each of its pixels shows a vessel, at the frame's own size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from vasomim_core.classes import VESSEL, ClassMask, LabelClass
from vasomim_core.config import Vessels
from vasomim_core.errors import CheckpointError, ConfigError, InputError
from vasomim_core.evaluation.calibration import calibrate
from vasomim_core.models.catalogue import Card, Preprocessing
from vasomim_core.models.class_mask import ClassRules, Probabilities
from vasomim_core.models.outputs import probabilities
from vasomim_core.models.preprocessing import normalise

Grey = NDArray[np.uint8]
Map = NDArray[np.float32]


@dataclass(repr=False)
class Model:
    """A network ready to use.

    Attributes:
        name: of the model, of its file, or of the folder of its run.
        network: in eval mode, on its device.
        card: says what it is and how it is fed.
        device: that it computes on.
    """

    name: str
    network: nn.Module
    card: Card
    device: torch.device

    def __repr__(self) -> str:
        card = self.card
        return f"Model({self.name}: {card.architecture}, {card.kind}, {self.device}, threshold {self.threshold:.3g})"

    @property
    def threshold(self) -> float:
        """The probability from which a pixel counts as vessel, as the window and the command line take it."""
        return self.card.preprocessing.threshold

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        """What it tells apart; one class, vessel, where it was taught nothing else."""
        return self.card.classes

    @property
    def rules(self) -> ClassRules:
        """How its probabilities become classes."""
        own = self.card.preprocessing
        return ClassRules(self.card.classes, own.class_thresholds, own.least_piece, own.threshold)

    def predict(self, frame: Grey, mirrored: bool = False, tile: int | None = None) -> Map:
        """Probability of vessel, of whatever class, in one frame.

        Args:
            frame: uint8 (H, W), vessels dark; see `Angiogram.grey`.
            mirrored: average with the prediction of the frame flipped left to right (2× the time), also where the
                model alone would not. Upside down is left out: no angiogram is, and averaging over it as well cost a
                model of angiograms 2.6 points of DSC.
            tile: side in pixels of overlapping tiles of the scaled frame; None = as the model was trained.

        Returns:
            float32 (H, W) in [0, 1].

        Raises:
            CheckpointError: the model does not segment, or not as its card says.
            InputError: not one grey 8-bit frame.
        """
        return self.predict_classes(frame, mirrored, tile).vessel

    def predict_classes(self, frame: Grey, mirrored: bool = False, tile: int | None = None) -> Probabilities:
        """Probabilities of vessel and of each class in one frame; arguments and errors as those of `predict`."""
        if not self.card.segments:
            raise CheckpointError(f"{self.name} is a pretrained {self.card.kind}; finetune it before it can segment")
        check_plane("frame", frame, "uint8")
        preprocessing, classes = self.card.preprocessing, self.card.classes
        try:
            return predict(self.network, preprocessing, frame, self.device, mirrored, tile, classes)
        except (RuntimeError, InputError) as error:
            if isinstance(error, torch.OutOfMemoryError) or "allocate" in str(error):
                raise
            first = str(error).partition("\n")[0]
            raise CheckpointError(
                f"the card of {self.name} does not fit its network, which cannot take this frame ({first})"
            ) from error

    def class_mask(self, found: Probabilities, threshold: float | None = None) -> ClassMask:
        """The class of each pixel, from what `predict_classes` gave; `threshold` of vessel in the place of its own."""
        return self.rules.mask(found, self.threshold if threshold is None else threshold)

    def need_main_branches(self) -> int:
        """The place of the main branches among the classes.

        Raises:
            ConfigError: the model does not tell them from others.
        """
        place = self.rules.main
        if place is not None:
            return place
        raise ConfigError(
            f"{self.name} does not tell main branches from others (it knows "
            f"{', '.join(one.name for one in self.card.classes)}); ask for every vessel"
        )

    def vessels(
        self, found: Probabilities, which: Vessels = "every", threshold: float | None = None
    ) -> tuple[Map, NDArray[np.bool_]]:
        """Every vessel, or the main branches alone, from what `predict_classes` gave.

        Args:
            found: of a frame.
            which: "every" or "main".
            threshold: probability from which a pixel counts; None = the model's own.

        Returns:
            Their probability, float32 (H, W) in [0, 1], and their mask, bool (H, W).

        Raises:
            ConfigError: the model does not tell main branches from others.
        """
        if which == "main":
            self.need_main_branches()
        if threshold is None:
            threshold = self.rules.main_threshold if which == "main" else self.threshold
        return self.rules.vessels(found, which, threshold)


def probability(
    network: nn.Module,
    preprocessing: Preprocessing,
    frame: Grey,
    device: torch.device | str = "cpu",
    mirrored: bool = False,
    tile: int | None = None,
    classes: Sequence[LabelClass] = VESSEL,
) -> Map:
    """`Model.predict` for a bare network in eval mode."""
    return predict(network, preprocessing, frame, device, mirrored, tile, classes).vessel


@torch.inference_mode()
def predict(
    network: nn.Module,
    preprocessing: Preprocessing,
    frame: Grey,
    device: torch.device | str = "cpu",
    mirrored: bool = False,
    tile: int | None = None,
    classes: Sequence[LabelClass] = VESSEL,
) -> Probabilities:
    """`Model.predict_classes` for a bare network in eval mode: scale, pad, run, crop, scale back, calibrate."""
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
    total = torch.zeros((len(classes), *image.shape[-2:]), device=image.device)
    chosen: tuple[tuple[int, ...], ...] = ((), (-1,)) if mirrored or preprocessing.mirrored else ((),)
    for axes in chosen:
        total += probabilities(_run(network, image.flip(axes), tile).flip(axes))[0]
    mean = (total / len(chosen))[:, : size[0], : size[1]]
    if size != (height, width):
        mean = F.interpolate(mean[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    return _calibrated(mean.clamp(0, 1).cpu().numpy(), classes, preprocessing)


def _calibrated(found: Map, classes: Sequence[LabelClass], preprocessing: Preprocessing) -> Probabilities:
    """Correct the probability of vessel, and share it out among the classes as before."""
    is_vessel = np.array([one.vessel for one in classes])
    before = found[0] if len(classes) == 1 else found[is_vessel].sum(axis=0).clip(0, 1)
    vessel = calibrate(before, preprocessing.calibration)
    if vessel is before:
        return Probabilities(vessel, found)
    for part, rest in ((is_vessel, (vessel, before)), (~is_vessel, (1 - vessel, 1 - before))):
        found[part] *= np.divide(rest[0], rest[1], out=np.zeros_like(vessel), where=rest[1] > 0)
    return Probabilities(vessel, found)


def _run(network: nn.Module, image: Tensor, tile: int | None) -> Tensor:
    if tile is None or tile >= max(image.shape[-2:]):
        return network(image)
    from monai.inferers import sliding_window_inference

    result: Any = sliding_window_inference(
        image, (tile, tile), 4, network, overlap=0.25, mode="gaussian", padding_mode="replicate"
    )
    return result


def uncertainty(probability: Map) -> Map:
    """Binary entropy of a probability in bits, float32 in [0, 1] of the same shape: 0 = sure, 1 = undecided."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return (-(p * np.log2(p) + (1 - p) * np.log2(1 - p))).astype(np.float32)


def check_plane(name: str, plane: object, dtype: str) -> None:
    """See that something is one plane (H, W) of a dtype.

    Raises:
        InputError: it is not.
    """
    if not isinstance(plane, np.ndarray) or plane.ndim != 2 or plane.dtype != dtype or plane.size == 0:
        given = f"{plane.dtype} {plane.shape}" if isinstance(plane, np.ndarray) else type(plane).__name__
        raise InputError(f"{name} is {given}; give one plane of {dtype} (H, W)")
