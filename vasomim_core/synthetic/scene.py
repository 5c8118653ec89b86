"""A tree, a patient, a C-arm and a detector put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vasomim_core.errors import ConfigError
from vasomim_core.synthetic.background import random_background, random_catheter
from vasomim_core.synthetic.detector import Detector, random_collimator
from vasomim_core.synthetic.projection import CArm, Projection, project_tree, project_tube, stamp
from vasomim_core.synthetic.tree import Side, Tree, Vessel, grow, smooth_noise

Array = NDArray[np.float64]
Seed = int | Sequence[int]

SMALLEST, LARGEST = 64, 8192  # px, side of a frame

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
        for name in ("contrast", "dose"):
            if getattr(self, name) == 0:
                raise ConfigError(f"look.{name} is 0 and would leave nothing to see; give a positive factor")


class Scene:
    """One patient on the table; `shoot` takes a picture at a moment. Arguments and defaults as in `synthesize`."""

    def __init__(
        self,
        seed: Seed,
        side: Side | None = None,
        size: int | tuple[int, int] = 512,
        look: Look | None = None,
        angles: tuple[float, float] | None = None,
        stenosis: float | None = None,
        least_width: float = 2.0,
    ) -> None:
        look = look or Look()
        shape = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if min(shape) < SMALLEST or max(shape) > LARGEST:
            raise ConfigError(
                f"a synthetic frame of {shape[0]}×{shape[1]} px cannot be; use sides from {SMALLEST} to {LARGEST}"
            )
        if stenosis is not None and not 0 <= stenosis < 1:
            raise ConfigError(f"stenosis is {stenosis}; give a reduction of the diameter from 0 to below 1")
        if side not in (None, "left", "right"):
            raise ConfigError(f"side is {side!r}; use left or right")
        if np.min(seed) < 0:
            raise ConfigError(f"seed is {seed}; use numbers from 0")
        self.rng = rng = np.random.default_rng(seed)
        self.look, self.least_width = look, least_width
        side = side or ("left" if rng.random() < 2 / 3 else "right")
        by_chance = float(rng.uniform(0.3, 0.85)) if rng.random() < 0.25 else 0.0
        self.tree = grow(rng, side, by_chance if stenosis is None else stenosis)
        if angles is None:
            primary, secondary = _VIEWS[side][int(rng.integers(len(_VIEWS[side])))]
            angles = (float(primary + rng.normal(0, 6)), float(secondary + rng.normal(0, 5)))
        self.c_arm = _aim(rng, self.tree, angles, shape)
        self.iodine = look.contrast * max(rng.lognormal(np.log(0.142), 0.3), 0.09)  # per mm
        self.background = random_background(rng, self.c_arm, self.tree.heart, look.background, look.clutter)
        self.opening = random_collimator(rng, shape)
        self.detector = Detector.random(rng, look.dose, look.blur)
        self.speed = rng.uniform(110, 220)  # mm/s of the contrast agent's front
        self.streaming = [1 + 0.07 * smooth_noise(rng, len(v.points), 6)[:, 0] for v in self.tree.vessels]
        self.catheter_seed = int(rng.integers(2**32))
        self.catheter_density = rng.uniform(0.5, 1.3)
        self.margin = 0

    def widen(self, margin: int) -> None:
        """Draw another chest, `margin` px wider at each side than the frame, so that the table can be moved."""
        h, w = self.c_arm.shape
        self.margin = margin
        around = replace(self.c_arm, shape=(h + 2 * margin, w + 2 * margin))
        self.background = random_background(self.rng, around, self.tree.heart, self.look.background, self.look.clutter)

    def shoot(
        self,
        heartbeat: float,
        breath: float,
        injected: float,
        injection: float = np.inf,
        moved: tuple[int, int] = (0, 0),
    ) -> tuple[NDArray[np.uint8], Projection, NDArray[np.bool_]]:
        """One frame at a moment.

        Args:
            heartbeat: phase, 0 to 1.
            breath: the diaphragm's height in mm.
            injected: ms since the injection began.
            injection: ms that it lasts.
            moved: px (down, right) by which the table has moved the patient in the frame, at most the margin of
                `widen`.

        Returns:
            frame (H, W) uint8; its vessels; and the pixels whose centre lies in the catheter and in no vessel, bool.
        """
        lift = np.array([0.0, 0.0, 0.5 * breath])
        points = [self._beat(v.points, heartbeat) + lift for v in self.tree.vessels]
        filling = [
            self._filling(v, injected, injection) * s for v, s in zip(self.tree.vessels, self.streaming, strict=True)
        ]
        view, shown = self.background.c_arm, self._shown(moved)
        seen = np.zeros(view.shape, dtype=bool)
        seen[shown] = self.opening > 0.5
        truth = project_tree(view, self.tree.vessels, points, filling, seen, self.least_width)
        catheter = np.zeros(view.shape, dtype=np.float32)
        # The same course in every frame, carried along by the ostium.
        course, radius = random_catheter(np.random.default_rng(self.catheter_seed), self.tree, points[0][0])
        line = project_tube(view, course, np.full(len(course), radius), np.ones(len(course)), 0.0)
        inside = np.zeros(view.shape, dtype=bool)
        stamp(line, catheter, inside)
        iodine, density = np.float32(self.iodine), np.float32(self.catheter_density)
        absorption = self.background.absorption(breath) + iodine * (truth.thickness + density * catheter)
        frame = self.detector.record(self.rng, absorption[shown].astype(np.float32, copy=False), self.opening)
        frame = 255 - frame if self.look.bright_vessels else frame
        catheter_alone = (inside & seen & ~truth.mask)[shown]
        truth = Projection(truth.thickness[shown], truth.mask[shown], truth.centreline[shown])
        return frame, truth, catheter_alone

    def _shown(self, moved: tuple[int, int]) -> tuple[slice, slice]:
        """The part of the view that lies in the frame."""
        (h, w), (down, right), margin = self.c_arm.shape, moved, self.margin
        return slice(margin - down, margin - down + h), slice(margin - right, margin - right + w)

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

    def _filling(self, vessel: Vessel, injected: float, injection: float) -> Array:
        """Concentration along a vessel; it comes from the ostium, thins out with the way, and is washed out after."""
        thinned = np.exp(-vessel.travelled / 400)
        if np.isinf(injected):
            return thinned
        front = self.speed * injected / 1000 - 25
        filled = thinned / (1 + np.exp(np.clip((vessel.travelled - front) / 6, -50, 50)))
        if injected <= injection:
            return filled
        # Blood without contrast agent follows, and mixes on its way: the end is not as sharp as the front.
        end = self.speed * (injected - injection) / 1000 - 75
        return filled / (1 + np.exp(np.clip((end - vessel.travelled) / 25, -50, 50)))


def _aim(rng: Generator, tree: Tree, angles: tuple[float, float], shape: tuple[int, int]) -> CArm:
    """Centre the C-arm on the tree, as an operator would: roughly."""
    field = rng.uniform(82, 125)
    c_arm = CArm(angles, shape, field / max(shape))
    points = np.concatenate([v.points[v.radii > 0.5] for v in tree.vessels])
    right, up = c_arm.axes[:2] @ points.T
    centre = [(c.min() + c.max()) / 2 + rng.normal(0, 7) for c in (right, up)]
    return CArm(angles, shape, field / max(shape), (float(centre[0]), float(centre[1])))
