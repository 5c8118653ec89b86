"""Frames, cines and sample folders with exact truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import tifffile
from numpy.typing import NDArray

from vasomim_core.errors import ConfigError
from vasomim_core.files import atomic, write_png
from vasomim_core.synthetic.scene import Look, Scene, Seed
from vasomim_core.synthetic.tree import Side

FARTHEST = 100.0
"""Farthest that a table is moved within a run, in mm: by then another part of the patient is in the frame."""


@dataclass(frozen=True)
class SyntheticAngiogram:
    """One frame with its truth.

    Attributes:
        frame: (H, W) uint8.
        mask: (H, W) bool, pixels whose centre lies in the lumen of a vessel that contrast agent makes visible.
        centreline: (H, W) bool, one px wide, within the mask.
        catheter: (H, W) bool, pixels whose centre lies in the catheter and in no vessel of the mask.
        side: "left" or "right" coronary artery.
        angles: primary (LAO positive) and secondary (cranial positive) angle in degrees.
        spacing: mm per px in the isocentre.
    """

    frame: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    centreline: NDArray[np.bool_]
    catheter: NDArray[np.bool_]
    side: Side
    angles: tuple[float, float]
    spacing: float


@dataclass(frozen=True)
class SyntheticCine:
    """A run of frames with its truth.

    Attributes:
        frames: (t, H, W) uint8.
        masks: (t, H, W) bool, as in `SyntheticAngiogram`; what is not filled yet is not in the mask.
        centrelines: (t, H, W) bool.
        catheters: (t, H, W) bool.
        side: "left" or "right" coronary artery.
        angles: primary and secondary angle in degrees.
        spacing: mm per px in the isocentre.
        frame_time_ms: time from frame to frame.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    centrelines: NDArray[np.bool_]
    catheters: NDArray[np.bool_]
    side: Side
    angles: tuple[float, float]
    spacing: float
    frame_time_ms: float


class Scenery(TypedDict, total=False):
    """What is drawn: the keywords of `synthesize`, which says what each means. Those left out have its defaults."""

    side: Side | None
    size: int | tuple[int, int]
    look: Look | None
    angles: tuple[float, float] | None
    stenosis: float | None
    least_width: float


def synthesize(
    seed: Seed,
    *,
    side: Side | None = None,
    size: int | tuple[int, int] = 512,
    look: Look | None = None,
    angles: tuple[float, float] | None = None,
    stenosis: float | None = None,
    least_width: float = 2.0,
) -> SyntheticAngiogram:
    """Draw one coronary angiogram with exact truth.

    Args:
        seed: a number or numbers; the same seed gives the same frame.
        side: which artery; None = drawn, two left to one right.
        size: side of the frame, or (H, W), in px. The field of view stays the same, so pixels get coarser.
        look: how the data set looks; None = as a catheter laboratory.
        angles: primary and secondary angle in degrees; None = near a usual view.
        stenosis: relative reduction of a trunk's diameter, 0 to 1; None = in one of four frames.
        least_width: px; where a branch gets thinner than this for good it leaves the mask, though not the frame:
            faint twigs without a label are part of real frames, too.

    Returns:
        The frame and its truth.

    Raises:
        ConfigError: an argument out of range.
    """
    scene = Scene(seed, side, size, look, angles, stenosis, least_width)
    frame, truth, catheter = scene.shoot(heartbeat=scene.rng.random(), breath=0.0, injected=np.inf)
    return SyntheticAngiogram(
        frame, truth.mask, truth.centreline, catheter, scene.tree.side, scene.c_arm.angles, scene.c_arm.spacing
    )


def synthesize_cine(
    seed: Seed,
    *,
    frames: int = 30,
    frame_time_ms: float = 66.7,
    injection_ms: float | None = None,
    table: float = 0.0,
    **scenery: Unpack[Scenery],
) -> SyntheticCine:
    """Draw a run in which the heart beats, the patient breathes and contrast agent fills the tree.

    With `injection_ms` it is washed out again, with `table` the operator moves the table once.

    Args:
        seed: a number or numbers; the same seed gives the same run.
        frames: number of frames.
        frame_time_ms: time from frame to frame.
        injection_ms: how long contrast agent is injected; None = to the end.
        table: mm in the isocentre by which the table is moved, in a direction and over a part of the run that are
            drawn; 0 = it rests. Behind the same vessels it shows another chest than a run in which it rests.
        **scenery: the keywords of `synthesize`: side, size, look, angles, stenosis and least_width.

    Returns:
        Frames and truth; the first frame shows no contrast agent.

    Raises:
        ConfigError: an argument out of range.
    """
    if frames < 1 or not 0 < frame_time_ms < np.inf:
        raise ConfigError(f"a cine of {frames} frames every {frame_time_ms} ms cannot be; give positive numbers")
    if injection_ms is not None and not 0 < injection_ms < np.inf:
        raise ConfigError(f"an injection of {injection_ms} ms cannot be; give a positive number")
    if not 0 <= table <= FARTHEST:
        raise ConfigError(f"a table moved by {table} mm cannot be; give a number from 0 to {FARTHEST:g}")
    scene = Scene(seed, **scenery)
    beat, phase = scene.rng.uniform(700, 1000), scene.rng.random()
    breathing, depth = scene.rng.uniform(3000, 5000), scene.rng.uniform(2, 7)
    injection = np.inf if injection_ms is None else injection_ms
    places = _moved(scene, table, frames)
    shots = []
    for i, moved in enumerate(places):
        t = i * frame_time_ms
        breath = depth * np.sin(2 * np.pi * t / breathing)
        shots.append(scene.shoot((phase + t / beat) % 1.0, breath, t, injection, moved))
    return SyntheticCine(
        np.stack([frame for frame, _, _ in shots]),
        np.stack([truth.mask for _, truth, _ in shots]),
        np.stack([truth.centreline for _, truth, _ in shots]),
        np.stack([catheter for _, _, catheter in shots]),
        scene.tree.side,
        scene.c_arm.angles,
        scene.c_arm.spacing,
        frame_time_ms,
    )


def _moved(scene: Scene, table: float, frames: int) -> list[tuple[int, int]]:
    """Where the table is in each frame, (down, right) in px: it rests, is moved once, and rests again."""
    if not table:
        return [(0, 0)] * frames
    rng = scene.rng
    direction, start, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.5), rng.uniform(0.25, 0.45)
    way = table / scene.c_arm.spacing
    scene.widen(int(np.ceil(way)) + 1)
    done = np.clip((np.arange(frames) / max(frames - 1, 1) - start) / length, 0, 1)
    at = way * (3 - 2 * done) * done**2
    down, right = (np.rint(at * part).astype(int).tolist() for part in (np.sin(direction), np.cos(direction)))
    return list(zip(down, right, strict=True))


def write_samples(
    folder: Path | str,
    count: int,
    seed: int = 0,
    *,
    centrelines: bool = False,
    **scenery: Unpack[Scenery],
) -> None:
    """Write samples as `images/<id>.png` and `masks/<id>.png` (0 or 255), each file atomically.

    Sample i is drawn from (seed, i): the same arguments give the same bytes, and a larger count only adds files.

    Args:
        folder: where to; made if it is missing.
        count: number of samples.
        seed: other seeds give other patients and other names.
        centrelines: write `centrelines/<id>.png` as well.
        **scenery: the keywords of `synthesize`.

    Raises:
        ConfigError: an argument out of range.
        OSError: a file could not be written.
    """
    _check_count(count)
    for index in range(count):
        sample = synthesize((seed, index), **scenery)
        parts = {"images": sample.frame, "masks": sample.mask.astype(np.uint8) * 255}
        if centrelines:
            parts["centrelines"] = sample.centreline.astype(np.uint8) * 255
        for part, picture in parts.items():
            write_png(Path(folder) / part / f"synthetic-{seed}-{index:05d}.png", picture)


def write_cines(
    folder: Path | str,
    count: int,
    seed: int = 0,
    *,
    frames: int = 30,
    frame_time_ms: float = 66.7,
    injection_ms: float | None = None,
    table: float = 0.0,
    **scenery: Unpack[Scenery],
) -> None:
    """Write moving samples as multi-page TIFF, `images/<id>.tif` and `masks/<id>.tif` (0 or 255), atomically.

    Args:
        folder: where to; made if it is missing.
        count: number of runs.
        seed: other seeds give other patients and other names.
        frames: frames in each run.
        frame_time_ms: time from frame to frame.
        injection_ms: as in `synthesize_cine`, like `table`.
        table: mm.
        **scenery: the keywords of `synthesize`.

    Raises:
        ConfigError: an argument out of range.
        OSError: a file could not be written.
    """
    _check_count(count)
    for index in range(count):
        cine = synthesize_cine(
            (seed, index),
            frames=frames,
            frame_time_ms=frame_time_ms,
            injection_ms=injection_ms,
            table=table,
            **scenery,
        )
        for part, pages in (("images", cine.frames), ("masks", cine.masks.astype(np.uint8) * 255)):
            with atomic(Path(folder) / part / f"cine-{seed}-{index:05d}.tif") as temporary:
                tifffile.imwrite(temporary, pages, photometric="minisblack", compression="zlib")


def _check_count(count: int) -> None:
    if count < 1:
        raise ConfigError(f"count is {count}; ask for at least one sample")
