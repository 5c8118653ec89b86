"""Random views of a frame and its mask. Everything drawn comes from the generator that is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vasomim_core.config import Variety
from vasomim_core.data.clutter import with_clutter
from vasomim_core.data.codes import UNKNOWN

Grey = NDArray[np.uint8]


def pretraining_crop(
    frame: Grey,
    mask: Grey,
    rng: np.random.Generator,
    size: int,
    scale: tuple[float, float] = (0.2, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> tuple[Grey, Grey]:
    """Random resized crop with a random horizontal flip: bicubic for the frame, nearest for the mask.

    Args:
        frame: uint8 (H, W).
        mask: uint8 (H, W).
        rng: source of chance.
        size: side of the result in pixels.
        scale: share of the frame's area that is cut out.
        ratio: width over height of the cut, drawn on a logarithmic scale.

    Returns:
        frame and mask, uint8 (size, size). Source: the released recipe (METHOD: RandomResizedCrop 224).
    """
    view, anatomy = cut_out(frame, mask, random_box(frame.shape, rng, scale, ratio), size)
    return (view[:, ::-1], anatomy[:, ::-1]) if rng.random() < 0.5 else (view, anatomy)


def random_box(
    shape: tuple[int, ...],
    rng: np.random.Generator,
    scale: tuple[float, float] = (0.2, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) of a random crop of a frame of `shape` (H, W); see `pretraining_crop`."""
    height, width = shape[:2]
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = np.exp(rng.uniform(np.log(ratio[0]), np.log(ratio[1])))
        w, h = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            break
    else:  # a very long frame: a square of its width
        w = h = min(height, width)
    x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
    return x, y, x + w, y + h


def cut_out(frame: Grey, mask: Grey, box: tuple[int, int, int, int], size: int) -> tuple[Grey, Grey]:
    """A box (left, top, right, bottom) as a square of `size` px: bicubic for the frame, nearest for the mask."""
    view = np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC, box=box))
    return view, np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.NEAREST, box=box))


def finetuning_crop(
    frame: Grey,
    codes: Grey,
    rng: np.random.Generator,
    size: int,
    augment: bool,
    variety: Variety = "usual",
    synthetic: bool = False,
) -> tuple[Grey, Grey]:
    """A square view for supervised training, in one interpolation: place, zoom, rotation, flip, then grey levels.

    Where the view is larger than the frame, the frame's edge is repeated and nothing is known of its pixels.

    Args:
        frame: uint8 (H, W).
        codes: uint8 (f·H, f·W), see `codes`; f = 1, 2, …
        rng: source of chance.
        size: side of the view in pixels.
        augment: False gives a random place alone.
        variety: how far augmentation goes from the frame; "wide" also turns it upside down, and takes sizes and grey
            levels from further away, and draws what may lie in the way (see `with_clutter`); "mixed" does so in every
            other view.
        synthetic: the frame is drawn and all of its truth is known.

    Returns:
        view uint8 (size, size) and its codes uint8 (f·size, f·size), the nearest one for each pixel.
    """
    height, width = frame.shape
    detail = codes.shape[0] // height
    if variety == "mixed":
        variety = "wide" if rng.random() < 0.5 else "usual"
    reach = REACHES[variety]
    zoom, angle, flip, upside = 1.0, 0.0, 1.0, 1.0
    if augment:
        zoom = float(np.exp(rng.uniform(np.log(reach.zoom[0]), np.log(reach.zoom[1]))))
        angle = np.deg2rad(rng.uniform(-reach.angle, reach.angle))
        flip = -1.0 if rng.random() < 0.5 else 1.0
        upside = -1.0 if reach.upside_down and rng.random() < reach.upside_down else 1.0
    # Centre of the view in the frame: anywhere an unrotated view lies inside (the corners of a rotated one may reach
    # over the edge), and the middle where it does not fit.
    half = size / zoom / 2
    centre = np.array([float(rng.uniform(half, n - half)) if n > 2 * half else n / 2 for n in (width, height)])
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    turn = np.array([[flip * cosine, -sine * upside], [flip * sine, cosine * upside]])
    # Places count from the edge, OpenCV's from the middle of the first pixel.
    offset = centre - turn @ [size / 2, size / 2]
    if not augment:
        offset = np.round(offset)
    view = cv2.warpAffine(
        frame,
        np.column_stack([turn, offset + turn @ [0.5, 0.5] - 0.5]),
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    truth = cv2.warpAffine(
        codes,
        np.column_stack([turn, detail * offset + turn @ [0.5, 0.5] - 0.5]),
        (detail * size, detail * size),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=UNKNOWN,
    )
    view, truth = np.asarray(view, np.uint8), np.asarray(truth, np.uint8)
    if augment:
        if variety == "wide":
            view, truth = with_clutter(view, truth, rng, synthetic)
        view = grey_levels(view, rng)
        if variety == "wide":
            view = foreign_grey_levels(view, rng)
    return view, truth


@dataclass(frozen=True)
class Reach:
    """How far a view goes from the frame.

    Attributes:
        zoom: smallest and largest, drawn on a logarithmic scale.
        angle: degrees to either side.
        upside_down: share of the views that are.
    """

    zoom: tuple[float, float]
    angle: float
    upside_down: float


REACHES: dict[Literal["usual", "wide"], Reach] = {
    "usual": Reach((0.75, 1.33), 30, 0),
    "wide": Reach((0.6, 1.6), 45, 0.35),
}


def grey_levels(frame: Grey, rng: np.random.Generator) -> Grey:
    """Random contrast, brightness, gamma, noise and blur, as between angiography rooms and dose settings."""
    x = frame.astype(np.float32) / 255
    if rng.random() < 0.8:
        mean = float(x.mean())
        x = (x - mean) * rng.uniform(0.7, 1.4) + mean + rng.uniform(-0.15, 0.15)
    if rng.random() < 0.5:
        x = np.clip(x, 0, 1) ** float(np.exp(rng.uniform(np.log(0.7), np.log(1.5))))
    if rng.random() < 0.2:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.3, 1.2))))
    if rng.random() < 0.3:
        x = x + rng.normal(0, rng.uniform(0.005, 0.04), x.shape).astype(np.float32)
    return (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)


def foreign_grey_levels(frame: Grey, rng: np.random.Generator) -> Grey:
    """Random contrast as no coronary laboratory gives it, and at times a negative, in which vessels are bright."""
    x = frame.astype(np.float32)
    if rng.random() < 0.35:
        mean = float(x.mean())
        x = (x - mean) * float(np.exp(rng.uniform(np.log(0.3), np.log(1.6)))) + mean + float(rng.uniform(-20, 20))
    view = (np.clip(x, 0, 255) + 0.5).astype(np.uint8)
    return 255 - view if rng.random() < 0.06 else view
