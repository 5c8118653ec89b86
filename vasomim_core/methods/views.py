"""What is cut out of a frame for pretraining. Everything drawn comes from the generator that is handed in.

A view is a small frozen dataclass with a `__call__`, so that it can be sent to the processes that load frames. Frames
are grey: colour jitter acts on brightness and contrast alone, and turning grey changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.data.augment import Grey, cut_out, pretraining_crop, random_box

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Crop:
    """MAE's view: a random resized crop, flipped at random → "frame" and its anatomy "mask", uint8 (size, size).

    Attributes:
        size: side of the view in px.
        scale: share of the frame's area that is cut out.
    """

    size: int
    scale: tuple[float, float] = (0.2, 1.0)

    def __call__(self, frame: Grey, mask: Grey, rng: np.random.Generator) -> dict[str, Any]:
        """One view."""
        view, anatomy = pretraining_crop(frame, mask, rng, self.size, self.scale)
        return {"frame": view, "mask": anatomy}


@dataclass(frozen=True)
class PlacedCrop:
    """A crop that says where it lies: "frame", and "place", see `place`."""

    size: int
    scale: tuple[float, float] = (0.2, 1.0)

    def __call__(self, frame: Grey, mask: Grey, rng: np.random.Generator) -> dict[str, Any]:
        """One view."""
        box, flipped = random_box(frame.shape, rng, self.scale), rng.random() < 0.5
        return {"frame": crop(frame, box, self.size, flipped), "place": place(box, frame.shape, flipped)}


@dataclass(frozen=True)
class BlurredCrop:
    """The same crop twice: "frame" of the blurred frame, "target" of the sharp one.

    Attributes:
        size: side of the view in px.
        sigma: of the Gaussian in px, at the frame's own size.
    """

    size: int
    sigma: float

    def __call__(self, frame: Grey, mask: Grey, rng: np.random.Generator) -> dict[str, Any]:
        """One view, and the sharp one."""
        box, flipped = random_box(frame.shape, rng), rng.random() < 0.5
        blurred = np.asarray(cv2.GaussianBlur(frame, (0, 0), self.sigma), np.uint8)
        return {
            "frame": crop(blurred, box, self.size, flipped),
            "target": crop(frame, box, self.size, flipped),
        }


@dataclass(frozen=True)
class Jitter:
    """A random crop with other grey levels: flip, brightness and contrast, blur, solarisation.

    Attributes:
        scale: share of the frame's area that is cut out.
        strength: brightness and contrast are multiplied by 1 ± this, with probability 0.8.
        blur: probability of a blur of σ 0.1 … 2 px.
        solarise: probability that what is brighter than half is inverted.
    """

    scale: tuple[float, float]
    strength: float = 0.4
    blur: float = 0.0
    solarise: float = 0.0

    def __call__(self, frame: Grey, rng: np.random.Generator, size: int) -> Grey:
        """One view, uint8 (size, size)."""
        box, flipped = random_box(frame.shape, rng, self.scale), rng.random() < 0.5
        view = crop(frame, box, size, flipped)
        if rng.random() < 0.8:
            brightness, contrast = rng.uniform(1 - self.strength, 1 + self.strength, 2)
            view = levels(view, brightness, contrast)
        if rng.random() < self.blur:
            view = np.asarray(cv2.GaussianBlur(view, (0, 0), float(rng.uniform(0.1, 2.0))), np.uint8)
        if rng.random() < self.solarise:
            view = np.where(view >= 128, 255 - view, view)
        return view


@dataclass(frozen=True)
class ManyCrops:
    """Several views of one frame: "views", uint8 (V, size, size), and where there are small ones "small" (S, s, s).

    Attributes:
        size: side of the large views in px.
        large: one entry a view.
        small_size: side of the small views.
        small: how these are drawn.
        small_count: how many.
    """

    size: int
    large: tuple[Jitter, ...]
    small_size: int = 0
    small: Jitter | None = None
    small_count: int = 0

    def __call__(self, frame: Grey, mask: Grey, rng: np.random.Generator) -> dict[str, Any]:
        """All views of a frame."""
        views = {"views": np.stack([jitter(frame, rng, self.size) for jitter in self.large])}
        if self.small is not None and self.small_count:
            views["small"] = np.stack([self.small(frame, rng, self.small_size) for _ in range(self.small_count)])
        return views


@dataclass(frozen=True)
class DistortedPair:
    """Two equally large crops of one frame, flipped apart, each clean and distorted.

    "clean" and "distorted", uint8 (2, size, size); "place", float32 (2, 4), see `place`; "distortion", float32 (2, 5):
    brightness − 1, contrast − 1, log2 γ, whether it is blurred, and σ of the blur in px.

    Attributes:
        size: side of the crops in px.
        scale: share of the frame's area in the first; the second has its size and lies anywhere.
        strength: brightness and contrast are multiplied by 1 ± this.
    """

    size: int
    scale: tuple[float, float] = (0.3, 1.0)
    strength: float = 0.4

    def __call__(self, frame: Grey, mask: Grey, rng: np.random.Generator) -> dict[str, Any]:
        """Both crops."""
        left, top, right, bottom = first = random_box(frame.shape, rng, self.scale)
        width, height = right - left, bottom - top
        x, y = int(rng.integers(0, frame.shape[1] - width + 1)), int(rng.integers(0, frame.shape[0] - height + 1))
        clean, distorted, places, distortions = [], [], [], []
        for box in (first, (x, y, x + width, y + height)):
            flipped = rng.random() < 0.5
            clean.append(crop(frame, box, self.size, flipped))
            view, distortion = self.distort(clean[-1], rng)
            distorted.append(view)
            distortions.append(distortion)
            places.append(place(box, frame.shape, flipped))
        return {
            "clean": np.stack(clean),
            "distorted": np.stack(distorted),
            "place": np.stack(places),
            "distortion": np.stack(distortions),
        }

    def distort(self, view: Grey, rng: np.random.Generator) -> tuple[Grey, NDArray[np.float32]]:
        """Other grey levels, and which."""
        brightness, contrast = rng.uniform(1 - self.strength, 1 + self.strength, 2)
        gamma = float(np.exp(rng.uniform(np.log(0.5), np.log(2.0)))) if rng.random() < 0.8 else 1.0
        sigma = float(rng.uniform(0.1, 2.0)) if rng.random() < 0.2 else 0.0
        view = levels(view, brightness, contrast, gamma)
        if sigma:
            view = np.asarray(cv2.GaussianBlur(view, (0, 0), sigma), np.uint8)
        return view, np.array([brightness - 1, contrast - 1, np.log2(gamma), sigma > 0, sigma], np.float32)


def crop(frame: Grey, box: Box, size: int, flipped: bool) -> Grey:
    """A box (left, top, right, bottom) as a square of `size` px, bicubic, flipped left to right or not."""
    view, _ = cut_out(frame, frame, box, size)
    return view[:, ::-1] if flipped else view


def place(box: Box, shape: tuple[int, ...], flipped: bool) -> NDArray[np.float32]:
    """Where a crop lies: (left, top, width, height) as shares of the frame; a flipped one runs left, of width < 0."""
    height, width = shape[:2]
    left, top, right, bottom = box
    if flipped:
        left, right = right, left
    return np.array([left / width, top / height, (right - left) / width, (bottom - top) / height], np.float32)


def levels(view: Grey, brightness: float, contrast: float, gamma: float = 1.0) -> Grey:
    """Grey levels × brightness, then pulled from or to their mean by contrast, then to the power of gamma."""
    x = np.clip(view.astype(np.float32) / 255 * brightness, 0, 1)
    mean = float(x.mean())
    x = np.clip((x - mean) * contrast + mean, 0, 1)
    return (x**gamma * 255 + 0.5).astype(np.uint8)
