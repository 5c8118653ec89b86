"""Decoded training frames with their masks, in two flat files that are mapped into memory.

Decoding a frame and extracting its anatomy takes far longer than cutting a crop from it, so each is done once per
run. The operating system keeps as much of the files in memory as fits, and shares it between processes: a thousand
frames or a hundred thousand are handled alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import InputError
from vasomim_core.files import open_ordinary, write_json

INDEX, PLANES = "index.json", ("frames.bin", "masks.bin")
Pair = tuple[NDArray[np.uint8], NDArray[np.bool_]]
Coded = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""A frame and its codes, or class values."""


class Prepared(Protocol):
    """Frames with their masks, both uint8, by index, however they are kept: a `FrameStore`, or `AssembledFrames`."""

    fingerprint: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]: ...

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]: ...


class FrameStore:
    """Frames uint8 (H, W) and masks uint8 (f·H, f·W) by index; build one with `build_store`.

    Attributes:
        fingerprint: SHA-256 over all frames and masks in their order.
        detail: f, how much finer the masks are than the frames.
        coded: masks hold codes (see `codes`), not 0 to 255 for the share of a pixel that is vessel.

    Raises:
        InputError: it is not complete, or damaged.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        damaged = InputError(f"{folder} is not a complete store of frames; remove it")
        try:
            with open_ordinary(folder / INDEX) as file:
                index = json.load(file)
            self.fingerprint: str = index["fingerprint"]
            self._shapes: list[tuple[int, int]] = [(h, w) for h, w in index["shapes"]]
            self.detail: int = index.get("detail", 1)
            self.coded: bool = index.get("coded", False)
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise damaged from error
        sides = [side for shape in self._shapes for side in shape]
        if not sides or not all(type(side) is int and 0 < side < 1 << 20 for side in (*sides, self.detail)):
            raise damaged
        self._starts = [0, *accumulate(h * w for h, w in self._shapes)]
        self._frames = self._mapped(PLANES[0], 1, damaged)
        self._masks = self._mapped(PLANES[1], self.detail**2, damaged)

    def _mapped(self, name: str, pixels: int, damaged: InputError) -> NDArray[np.uint8]:
        path = self._folder / name
        if not path.is_file() or path.stat().st_size != self._starts[-1] * pixels:
            raise damaged
        return np.memmap(path, np.uint8, "r")

    def intact(self) -> bool:
        """Whether the files still hold what was written; reads all of them."""
        digest = hashlib.sha256()
        for frame, mask in self:
            digest.update(frame.tobytes())
            digest.update(mask.tobytes())
        return digest.hexdigest() == self.fingerprint

    def __reduce__(self) -> tuple[type[FrameStore], tuple[Path]]:
        return FrameStore, (self._folder,)  # a worker process maps the files itself instead of getting a copy

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        start, stop, shape = self._starts[index], self._starts[index + 1], self._shapes[index]
        f = self.detail
        mask = self._masks[start * f * f : stop * f * f].reshape(shape[0] * f, shape[1] * f)
        return self._frames[start:stop].reshape(shape), mask

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        return (self[index] for index in range(len(self)))


def build_store(
    folder: Path,
    pairs: Iterable[Pair | Coded],
    total: int,
    frame_size: int | None,
    enlarge: bool = True,
    detail: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FrameStore:
    """Write a store.

    Args:
        folder: where the files go.
        pairs: frame uint8 and mask of equal shape (H, W), read one at a time. A mask of bool is kept as 0 and 255,
            codes are kept as they are.
        total: their number, for the progress.
        frame_size: longer side, in pixels, to which frames and masks are scaled; masks of bool by area, so that a
            pixel half covered by vessel has half the value, codes to the nearest. None = each frame's own size.
        enlarge: also scale smaller frames up.
        detail: f, how much finer codes are kept than frames: scaled down they would lose thin vessels.
        progress: called with (done, total).

    Raises:
        InputError: there are no frames.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shapes: list[tuple[int, int]] = []
    coded = False
    digest = hashlib.sha256()
    with open(folder / PLANES[0], "wb") as frames, open(folder / PLANES[1], "wb") as masks:
        for frame, mask in pairs:
            coded = mask.dtype != bool
            grey_mask = mask.astype(np.uint8) if coded else mask.astype(np.uint8) * np.uint8(255)
            if frame_size is not None:
                frame = resize(frame, frame_size, enlarge)
                if not coded:
                    grey_mask = resize(grey_mask, frame_size, enlarge)
            if coded:
                height, width = frame.shape
                size = (detail * width, detail * height)
                grey_mask = np.asarray(cv2.resize(grey_mask, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
            for file, plane in ((frames, frame), (masks, grey_mask)):
                content = plane.tobytes()
                digest.update(content)
                file.write(content)
            shapes.append((frame.shape[0], frame.shape[1]))
            progress(len(shapes), total)
    if not shapes:
        raise InputError(f"there are no frames for {folder.parent}; give a folder with angiograms")
    # The index is written last: a store without one was cut off and is built again.
    write_json(folder / INDEX, {"shapes": shapes, "detail": detail, "coded": coded, "fingerprint": digest.hexdigest()})
    return FrameStore(folder)


def resize(image: NDArray[np.uint8], longer_side: int, enlarge: bool = True) -> NDArray[np.uint8]:
    """Scale an image (H, W) to a longer side of `longer_side` px; by area when it shrinks, linear when it grows.

    Inference shrinks by another filter (bilinear with antialiasing, in torch): the models that there are were trained
    on what this one gives, and scored on what that one gives.
    """
    height, width = image.shape
    factor = longer_side / max(height, width)
    if factor == 1 or (factor > 1 and not enlarge):
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)
