"""Decoded training frames with their masks, in two flat files that are mapped into memory.

Decoding a frame and extracting its anatomy takes far longer than cutting a crop from it, so each is done once per
run. The operating system keeps as much of the files in memory as fits, and shares it between processes: a thousand
frames or a hundred thousand are handled alike.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vasomim_core.errors import InputError
from vasomim_core.files import write_json

Pair = tuple[NDArray[np.uint8], NDArray[np.bool_]]


class FrameStore:
    """Frames uint8 (H, W) and masks uint8 (H, W), 0 … 255, by index; build one with `build_store`.

    Attributes:
        fingerprint: SHA-256 over all frames and masks in their order.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.fingerprint: str = index["fingerprint"]
        self._shapes: list[tuple[int, int]] = [tuple(s) for s in index["shapes"]]
        self._starts = np.concatenate([[0], np.cumsum([h * w for h, w in self._shapes])]).tolist()
        self._frames = np.memmap(folder / "frames.bin", np.uint8, "r")
        self._masks = np.memmap(folder / "masks.bin", np.uint8, "r")

    def __reduce__(self) -> tuple[type[FrameStore], tuple[Path]]:
        return FrameStore, (self._folder,)  # a worker process maps the files itself instead of getting a copy

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        start, stop, shape = self._starts[index], self._starts[index + 1], self._shapes[index]
        return self._frames[start:stop].reshape(shape), self._masks[start:stop].reshape(shape)


def is_complete(folder: Path) -> bool:
    """Whether a store lies in a folder that was written to its end."""
    return (folder / "index.json").exists()


def build_store(
    folder: Path,
    pairs: Iterable[Pair],
    total: int,
    frame_size: int,
    enlarge: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FrameStore:
    """Write a store, or open the complete one that a killed run left in `folder`.

    Args:
        folder: where the files go.
        pairs: frame uint8 and mask bool of equal shape (H, W), read one at a time.
        total: their number, for the progress.
        frame_size: longer side, in pixels, to which frames and masks are scaled; masks by area, so that a pixel half
            covered by vessel has half the value.
        enlarge: also scale smaller frames up.
        progress: called with (done, total).

    Raises:
        InputError: there are no frames.
    """
    if is_complete(folder):
        return FrameStore(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shapes: list[tuple[int, int]] = []
    digest = hashlib.sha256()
    with open(folder / "frames.bin", "wb") as frames, open(folder / "masks.bin", "wb") as masks:
        for frame, mask in pairs:
            frame, grey_mask = (
                resize(frame, frame_size, enlarge),
                resize(mask.astype(np.uint8) * 255, frame_size, enlarge),
            )
            for file, plane in ((frames, frame), (masks, grey_mask)):
                content = plane.tobytes()
                digest.update(content)
                file.write(content)
            shapes.append((frame.shape[0], frame.shape[1]))
            progress(len(shapes), total)
    if not shapes:
        raise InputError(f"there are no frames for {folder.parent}; give a folder with angiograms")
    # The index is written last: a store without one was cut off and is built again.
    write_json(folder / "index.json", {"shapes": shapes, "fingerprint": digest.hexdigest()})
    return FrameStore(folder)


def resize(image: NDArray[np.uint8], longer_side: int, enlarge: bool = True) -> NDArray[np.uint8]:
    """Scale an image (H, W) to a longer side of `longer_side` px; by area when it shrinks, linear when it grows."""
    height, width = image.shape
    factor = longer_side / max(height, width)
    if factor == 1 or (factor > 1 and not enlarge):
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    return np.asarray(scaled, np.uint8)
