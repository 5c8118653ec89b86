"""What a window may ask of its inference child, and what it gets: one class each. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from vasomim_core.masking.results import Mask, OverEpochs, Reconstruction
from vasomim_core.masking.schedule import MaskingSchedule
from vasomim_core.models.class_mask import ClassRules

Answer = TypeVar("Answer")


class Request(Generic[Answer]):
    """Something to be answered by an `Answer`. A subclass is a frozen dataclass and says by which: `Request[Mask]`."""

    @classmethod
    def answer_type(cls) -> type[Answer]:
        """The class of its answer."""
        return get_args(cls.__orig_bases__[0])[0]  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Environment:
    """Where the child works.

    Attributes:
        torch: its version.
        device: "cpu", "cuda:0", …
        device_name: what the maker calls it.
        threads: that torch computes with.
    """

    torch: str
    device: str
    device_name: str
    threads: int


@dataclass(frozen=True)
class Hello(Request[Environment]):
    """The first request to a child: torch is loaded when it is answered."""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What a model says of a frame.

    Attributes:
        probability: of a vessel, of whatever class, float32 (H, W) in [0, 1].
        classes: of each class that the model tells apart, float32 (C, H, W); of one class, `probability` again.
        rules: how these become classes.
        uncertainty: its binary entropy in bits, float32 (H, W) in [0, 1].
        seconds: that it took, without loading.
        device: that it was computed on.
        model: its name.
        version: see `catalogue.version_of`.
        threshold: the probability from which this model's pixels count as vessel.
    """

    probability: NDArray[np.float32]
    classes: NDArray[np.float32]
    rules: ClassRules
    uncertainty: NDArray[np.float32]
    seconds: float
    device: str
    model: str
    version: int
    threshold: float


@dataclass(frozen=True, eq=False)
class Segment(Request[Segmentation]):
    """Segment a frame; the two models used last stay loaded.

    Attributes:
        frame: uint8 (H, W), vessels dark.
        model: name or path of a segmentation model.
        mirrored: average with the frame flipped left to right; some models always do.
    """

    frame: NDArray[np.uint8]
    model: str
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class MaskingRequest(Request[Answer]):
    """What all requests about the masking of a frame have; see `frame_masking.FrameMasking`.

    Attributes:
        frame: uint8 (H, W), vessels dark.
        anatomy: bool (H, W).
        schedule: the settings.
        model: name or path of a pretrained autoencoder; "" = none.
        guide: name or path of an encoder of another method that chooses in the place of anatomy; "" = none.
    """

    frame: NDArray[np.uint8]
    anatomy: NDArray[np.bool_]
    schedule: MaskingSchedule
    model: str
    guide: str = field(default="", kw_only=True)


@dataclass(frozen=True, eq=False)
class MaskPreview(MaskingRequest[Mask]):
    """The mask of one epoch, from 0."""

    epoch: int


@dataclass(frozen=True, eq=False)
class MaskingOverEpochs(MaskingRequest[OverEpochs]):
    """What the whole schedule does."""


@dataclass(frozen=True, eq=False)
class Reconstruct(MaskingRequest[Reconstruction]):
    """What the model draws where the mask of one epoch, from 0, hides the frame."""

    epoch: int
