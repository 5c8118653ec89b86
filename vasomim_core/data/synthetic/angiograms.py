"""Frames and cines: a tree, a patient, a C-arm and a detector put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vasomim_core.data.synthetic.background import Background, draw_background, draw_catheter, draw_collimator
from vasomim_core.data.synthetic.projection import Projection, View, project_tree, project_tube, stamp
from vasomim_core.data.synthetic.tree import Side, Tree, Vessel, grow, smooth_noise
from vasomim_core.errors import ConfigError
from vasomim_core.files import write_png

Array = NDArray[np.float64]
Map = NDArray[np.float32]
Seed = int | Sequence[int]

SMALLEST = 32  # px, side of a frame

# Usual working views, primary and secondary angle in degrees (LAO and cranial positive).
_VIEWS = {
    "left": ((-30, -25), (-20, 30), (0, 35), (40, 30), (45, -30), (-30, 0), (0, -30), (10, 40), (-10, 38)),
    "right": ((40, 0), (35, 20), (-30, 0), (0, 30), (20, 25), (90, 0), (45, 5)),
}


@dataclass(frozen=True)
class Look:
    """How a data set looks; every strength is relative to the coronary angiograms of a catheter laboratory.

    Attributes:
        contrast: absorption of the contrast agent.
        dose: photons per pixel; less is noisier.
        blur: width of the detector's point spread.
        background: strength of bones, organs and tissue.
        clutter: how often wires, leads and cables lie in the way.
        bright_vessels: grey levels inverted, vessels bright on dark.
    """

    contrast: float = 1.0
    dose: float = 1.0
    blur: float = 1.0
    background: float = 1.0
    clutter: float = 1.0
    bright_vessels: bool = False

    def __post_init__(self) -> None:
        for name in ("contrast", "dose", "blur", "background", "clutter"):
            if not 0 <= getattr(self, name) <= 100:
                raise ConfigError(f"look.{name} is {getattr(self, name)}; give a factor from 0 to 100")
        if self.dose == 0:
            raise ConfigError("look.dose is 0; without photons there is no picture, give a positive factor")


@dataclass(frozen=True)
class SyntheticAngiogram:
    """One frame with its truth.

    Attributes:
        frame: (H, W) uint8.
        mask: (H, W) bool, pixels whose centre lies in the lumen of a vessel that contrast agent makes visible.
        centreline: (H, W) bool, one px wide, within the mask.
        side: "left" or "right" coronary artery.
        angles: primary (LAO positive) and secondary (cranial positive) angle in degrees.
        spacing: mm per px in the isocentre.
    """

    frame: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    centreline: NDArray[np.bool_]
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
        side: "left" or "right" coronary artery.
        angles: primary and secondary angle in degrees.
        spacing: mm per px in the isocentre.
        frame_time_ms: time from frame to frame.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    centrelines: NDArray[np.bool_]
    side: Side
    angles: tuple[float, float]
    spacing: float
    frame_time_ms: float


def synthesize(
    seed: Seed,
    *,
    side: Side | None = None,
    size: int | tuple[int, int] = 512,
    look: Look | None = None,
    angles: tuple[float, float] | None = None,
    stenosis: float | None = None,
    least_width: float = 1.5,
) -> SyntheticAngiogram:
    """Draw one coronary angiogram with exact truth.

    Args:
        seed: a number or numbers; the same seed gives the same frame.
        side: which artery; None = drawn, two left to one right.
        size: side of the frame, or (H, W), in px. The field of view stays the same, so pixels get coarser.
        look: how the data set looks; None = as a catheter laboratory.
        angles: primary and secondary angle in degrees; None = near a usual view.
        stenosis: relative reduction of a trunk's diameter, 0 to 1; None = in one of four frames.
        least_width: px; branches end where they get thinner than this, in the frame as in the mask.

    Returns:
        The frame and its truth.

    Raises:
        ConfigError: an argument out of range.
    """
    scene = _Scene(seed, side, size, look or Look(), angles, stenosis, least_width)
    frame, truth = scene.shoot(heartbeat=scene.rng.random(), breath=0.0, injected=np.inf)
    return SyntheticAngiogram(
        frame, truth.mask, truth.centreline, scene.tree.side, scene.view.angles, scene.view.spacing
    )


def synthesize_cine(
    seed: Seed,
    *,
    frames: int = 30,
    frame_time_ms: float = 66.7,
    side: Side | None = None,
    size: int | tuple[int, int] = 512,
    look: Look | None = None,
    angles: tuple[float, float] | None = None,
    stenosis: float | None = None,
    least_width: float = 1.5,
) -> SyntheticCine:
    """Draw a run in which the heart beats, the patient breathes and contrast agent fills the tree.

    Args:
        seed: as in `synthesize`.
        frames: number of frames.
        frame_time_ms: time from frame to frame.
        side: as in `synthesize`, like all that follow.
        size: side or (H, W) in px.
        look: how the data set looks.
        angles: C-arm angles in degrees.
        stenosis: relative reduction of a trunk's diameter.
        least_width: px, of the thinnest branches.

    Returns:
        Frames and truth; the first frame shows no contrast agent.

    Raises:
        ConfigError: an argument out of range.
    """
    if frames < 1 or not 0 < frame_time_ms < np.inf:
        raise ConfigError(f"a cine of {frames} frames every {frame_time_ms} ms cannot be; give positive numbers")
    scene = _Scene(seed, side, size, look or Look(), angles, stenosis, least_width)
    beat, phase = scene.rng.uniform(700, 1000), scene.rng.random()
    breathing, depth = scene.rng.uniform(3000, 5000), scene.rng.uniform(2, 7)
    shots = []
    for i in range(frames):
        t = i * frame_time_ms
        breath = depth * np.sin(2 * np.pi * t / breathing)
        shots.append(scene.shoot(heartbeat=(phase + t / beat) % 1.0, breath=breath, injected=t))
    return SyntheticCine(
        np.stack([frame for frame, _ in shots]),
        np.stack([truth.mask for _, truth in shots]),
        np.stack([truth.centreline for _, truth in shots]),
        scene.tree.side,
        scene.view.angles,
        scene.view.spacing,
        frame_time_ms,
    )


def write_samples(
    folder: Path | str,
    count: int,
    seed: int = 0,
    *,
    size: int | tuple[int, int] = 512,
    look: Look | None = None,
    centrelines: bool = False,
) -> None:
    """Write samples as `images/<id>.png` and `masks/<id>.png` (0 or 255), each file atomically.

    Sample i is drawn from (seed, i): the same arguments give the same bytes, and a larger count only adds files.

    Args:
        folder: where to; made if it is missing.
        count: number of samples.
        seed: other seeds give other patients and other names.
        size: side or (H, W) in px.
        look: how the data set looks.
        centrelines: write `centrelines/<id>.png` as well.

    Raises:
        ConfigError: an argument out of range.
        OSError: a file could not be written.
    """
    if count < 1:
        raise ConfigError(f"count is {count}; ask for at least one sample")
    for index in range(count):
        sample = synthesize((seed, index), size=size, look=look)
        parts = {"images": sample.frame, "masks": sample.mask.astype(np.uint8) * 255}
        if centrelines:
            parts["centrelines"] = sample.centreline.astype(np.uint8) * 255
        for part, picture in parts.items():
            write_png(Path(folder) / part / f"synthetic-{seed}-{index:05d}.png", picture)


@dataclass(frozen=True)
class _Detector:
    """What happens to the rays after the patient; lengths in px of a frame of 512."""

    photons: float
    scatter: float
    spread: float
    grain: float
    brightness: float
    gamma: float
    sharpening: float
    sharpening_width: float

    @classmethod
    def draw(cls, rng: Generator, look: Look) -> _Detector:
        return cls(
            photons=look.dose * rng.lognormal(np.log(700), 0.45),
            scatter=rng.uniform(0.05, 0.3),
            spread=look.blur * rng.uniform(0.7, 1.3),
            grain=look.blur * rng.uniform(0.45, 0.65),
            brightness=rng.normal(112, 18),
            gamma=rng.uniform(0.75, 1.15),
            sharpening=rng.uniform(0.0, 0.9) if rng.random() < 0.7 else 0.0,
            sharpening_width=rng.uniform(2.0, 14.0),
        )

    def record(self, rng: Generator, absorption: Map, opening: Map) -> NDArray[np.uint8]:
        """Photons to grey levels, (H, W) uint8."""
        h, w = absorption.shape
        unit = max(h, w) / 512
        light = np.exp(-absorption) * opening
        coarse = cv2.resize(light, (max(1, w // 16), max(1, h // 16)), interpolation=cv2.INTER_AREA)
        coarse = cv2.GaussianBlur(coarse, (0, 0), max(0.5, min(coarse.shape) / 12))
        light = (1 - self.scatter) * light + self.scatter * cv2.resize(coarse, (w, h))
        light = _blur(light, self.spread * unit)
        middle = light[h // 4 : h - h // 4, w // 4 : w - w // 4].mean()
        counts = rng.poisson(light * (self.photons / middle)).astype(np.float32)
        signal = _blur(counts, self.grain) / np.float32(self.photons)
        if self.sharpening:
            signal = signal + self.sharpening * (signal - _blur(signal, self.sharpening_width * unit))
        grey = self.brightness * np.maximum(signal, 0) ** self.gamma
        # The display compresses highlights instead of cutting them.
        knee = 170.0
        grey = np.where(grey > knee, knee + (255 - knee) * np.tanh((grey - knee) / (255 - knee)), grey)
        return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


class _Scene:
    """One patient on the table; `shoot` takes a picture at a moment."""

    def __init__(
        self,
        seed: Seed,
        side: Side | None,
        size: int | tuple[int, int],
        look: Look,
        angles: tuple[float, float] | None,
        stenosis: float | None,
        least_width: float,
    ) -> None:
        shape = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if min(shape) < SMALLEST or max(shape) > 8192:
            raise ConfigError(f"a synthetic frame of {shape[0]}×{shape[1]} px cannot be; use sides from {SMALLEST} to 8192")
        if stenosis is not None and not 0 <= stenosis < 1:
            raise ConfigError(f"stenosis is {stenosis}; give a reduction of the diameter from 0 to below 1")
        if side not in (None, "left", "right"):
            raise ConfigError(f"side is {side!r}; use left or right")
        self.rng = rng = np.random.default_rng(seed)
        self.look, self.least_width = look, least_width
        side = side or ("left" if rng.random() < 2 / 3 else "right")
        by_chance = float(rng.uniform(0.3, 0.85)) if rng.random() < 0.25 else 0.0
        self.tree = grow(rng, side, by_chance if stenosis is None else stenosis)
        if angles is None:
            primary, secondary = _VIEWS[side][int(rng.integers(len(_VIEWS[side])))]
            angles = (float(primary + rng.normal(0, 6)), float(secondary + rng.normal(0, 5)))
        self.view = _aim(rng, self.tree, angles, shape)
        self.iodine = look.contrast * rng.lognormal(np.log(0.115), 0.3)
        self.background = draw_background(rng, self.view, self.tree.heart, look.background, look.clutter)
        self.opening = draw_collimator(rng, shape)
        self.detector = _Detector.draw(rng, look)
        self.speed = rng.uniform(110, 220)  # mm/s of the contrast agent's front
        self.streaming = [1 + 0.07 * smooth_noise(rng, len(v.points), 6)[:, 0] for v in self.tree.vessels]
        self.catheter_seed = int(rng.integers(2**32))
        self.catheter_density = rng.uniform(0.4, 1.1)

    def shoot(self, heartbeat: float, breath: float, injected: float) -> tuple[NDArray[np.uint8], Projection]:
        """One frame: phase of the heartbeat (0 to 1), diaphragm's height in mm, ms since the injection began."""
        points = [self._beat(v.points, heartbeat) + (0, 0, 0.5 * breath) for v in self.tree.vessels]
        filling = [self._filling(v, injected) * s for v, s in zip(self.tree.vessels, self.streaming, strict=True)]
        truth = project_tree(self.view, self.tree.vessels, points, filling, self.least_width)
        catheter = np.zeros(self.view.shape, dtype=np.float32)
        # The same course in every frame, but for its tip, which rides on the ostium.
        course, radius = draw_catheter(np.random.default_rng(self.catheter_seed), self.tree, points[0][0])
        line = project_tube(self.view, course, np.full(len(course), radius), np.ones(len(course)), 0.0)
        stamp(line, catheter)
        absorption = self.background.absorption(breath) + np.float32(self.iodine) * (
            truth.thickness + np.float32(self.catheter_density) * catheter
        )
        frame = self.detector.record(self.rng, absorption, self.opening)
        return (255 - frame if self.look.bright_vessels else frame), truth

    def _beat(self, points: Array, phase: float) -> Array:
        """The ventricles contract by a tenth at the end of systole, a third into the beat, and twist a little."""
        squeeze = np.sin(np.pi * phase / 0.35) ** 2 if phase < 0.35 else 0.0
        axes = self.tree.heart.axes
        along, a, b = (points @ axes.T).T
        # The base descends towards the apex, which stays where it is.
        along = along + 0.08 * squeeze * (self.tree.heart.length - along)
        inward = 1 - 0.12 * squeeze
        turn = 0.07 * squeeze
        a, b = inward * (np.cos(turn) * a - np.sin(turn) * b), inward * (np.sin(turn) * a + np.cos(turn) * b)
        return np.stack([along, a, b], axis=1) @ axes

    def _filling(self, vessel: Vessel, injected: float) -> Array:
        """Concentration along a vessel; it comes from the ostium and thins out with the way."""
        thinned = np.exp(-vessel.travelled / 400)
        if np.isinf(injected):
            return thinned
        front = self.speed * injected / 1000 - 25
        return thinned / (1 + np.exp(np.clip((vessel.travelled - front) / 6, -50, 50)))


def _aim(rng: Generator, tree: Tree, angles: tuple[float, float], shape: tuple[int, int]) -> View:
    """Centre the C-arm on the tree, as an operator would: roughly."""
    field = rng.uniform(105, 155)
    view = View(angles, shape, field / max(shape))
    points = np.concatenate([v.points[v.radii > 0.5] for v in tree.vessels])
    right, up, near = (points @ view.axes.T).T
    centre = [(c.min() + c.max()) / 2 + rng.normal(0, 7) for c in (right, up)]
    return View(angles, shape, field / max(shape), (float(centre[0]), float(centre[1])))


def _blur(image: Map, sigma: float) -> Map:
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.15 else image
