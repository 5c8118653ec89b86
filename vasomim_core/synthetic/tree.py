"""Coronary trees in space: trunks along the grooves of the heart, branches by a growth rule.

Patient coordinates in millimetres: x to the patient's left, y to the back, z to the head, origin in the heart.
A place on the heart is (θ, φ, depth): θ = 0 at the apex and about 100° in the atrioventricular groove, φ = 0 in
the anterior interventricular groove, growing towards the lateral wall; depth = 1 on the surface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

Side = Literal["left", "right"]
Array = NDArray[np.float64]

STEP = 0.5  # mm between the points of a vessel
THINNEST = 0.13  # mm, radius below which nothing grows


@dataclass(frozen=True)
class Heart:
    """An ellipsoid of revolution that points to the apex.

    Attributes:
        axes: (3, 3), unit rows: towards the apex, the anterior groove, the lateral wall.
        length: semi-axis along the first row, mm.
        width: semi-axis across, mm.
    """

    axes: Array
    length: float
    width: float

    def place(self, where: Array) -> Array:
        """Points in space.

        Args:
            where: (n, 3), θ and φ in radians and depth.

        Returns:
            (n, 3) in mm.
        """
        theta, phi, depth = where.T
        along = self.length * np.cos(theta) * depth
        across = self.width * np.sin(theta) * depth
        return np.stack([along, across * np.cos(phi), across * np.sin(phi)], axis=1) @ self.axes


@dataclass(frozen=True)
class Vessel:
    """One branch, from its junction to its tip.

    Attributes:
        name: such as "LAD", "diagonal", "twig".
        points: (n, 3) in mm, `STEP` apart before tortuosity.
        radii: (n,) of the lumen in mm.
        travelled: (n,) way of the contrast agent from the ostium in mm.
        parent: index of the parent in the tree, -1 for the trunk.
        junction: index of the parent's point where it leaves. With p and c the parent's radii at `junction` and
            one point later and d the first radius here, Murray's law holds: p³ = c³ + d³ (Murray 1926).
    """

    name: str
    points: Array
    radii: Array
    travelled: Array
    parent: int
    junction: int


@dataclass(frozen=True)
class Tree:
    """A coronary tree on its heart; `vessels[0]` starts at the ostium, parents come before their children."""

    side: Side
    heart: Heart
    vessels: tuple[Vessel, ...]


@dataclass(frozen=True)
class _Sites:
    """Where on a vessel a kind of branch leaves: how many, on which stretch, to which side, how thick and long."""

    name: str
    count: tuple[int, int]
    stretch: tuple[float, float]
    side: int
    ratio: tuple[float, float]
    length: tuple[float, float]
    sink: float = 0.0


# (θ°, φ°, depth): from the ostium in the aortic root along the grooves.
_COURSES = {
    "LAD": [(103, -6, 0.72), (99, 4, 0.9), (95, 8, 1.02), (76, 3, 1), (50, -2, 1), (25, -4, 1), (6, 0, 1), (-14, 4, 1)],
    "LCX": [(95, 8, 1.02), (98, 32, 1.01), (101, 70, 1), (102, 108, 1), (99, 145, 1), (80, 165, 1)],
    "RCA": [(106, -44, 0.66), (102, -46, 0.88), (98, -56, 1.04), (97, -90, 1.05), (98, -130, 1.04), (98, -165, 1.02),
            (95, -192, 1), (82, -212, 1), (60, -222, 1)],
    "PDA": [(97, -172, 1.02), (72, -176, 1), (45, -178, 1), (22, -178, 1)],
}  # fmt: skip

_SITES = {
    "LAD": (
        _Sites("diagonal", (1, 3), (0.2, 0.6), 1, (0.5, 0.75), (35, 80)),
        _Sites("septal", (2, 8), (0.2, 0.7), -1, (0.24, 0.45), (18, 45), sink=0.35),
        _Sites("twig", (2, 6), (0.45, 0.95), 0, (0.35, 0.65), (12, 35)),
    ),
    "LCX": (
        _Sites("obtuse marginal", (1, 4), (0.2, 0.75), -1, (0.5, 0.78), (35, 75)),
        _Sites("atrial", (0, 2), (0.1, 0.7), 1, (0.25, 0.42), (15, 35)),
    ),
    "RCA": (
        _Sites("conus", (0, 1), (0.06, 0.14), 1, (0.25, 0.4), (15, 35)),
        _Sites("sinus node", (0, 1), (0.08, 0.16), -1, (0.25, 0.4), (15, 35)),
        _Sites("right ventricular", (2, 4), (0.15, 0.6), 1, (0.3, 0.55), (25, 60)),
        _Sites("posterolateral", (1, 4), (0.7, 0.95), 1, (0.45, 0.75), (25, 55)),
    ),
    "PDA": (_Sites("septal", (2, 6), (0.1, 0.9), 0, (0.3, 0.55), (10, 30), sink=0.3),),
}


def smooth_noise(rng: Generator, n: int, scale: float, channels: int = 1) -> Array:
    """Gaussian noise of unit variance, (n, channels), that varies over `scale` samples."""
    pad = int(3 * scale) + 1
    noise = gaussian_filter1d(rng.standard_normal((n + 2 * pad, channels)), scale, axis=0)[pad:-pad]
    return noise * np.sqrt(2 * scale * np.sqrt(np.pi))


def grow(rng: Generator, side: Side, stenosis: float = 0.0) -> Tree:
    """Grow a coronary tree.

    The trunks follow the atrioventricular and interventricular grooves; named branches leave them on the
    stretches where anatomy puts them and turn towards the apex; twigs leave the branches at random. At each
    junction the radii obey Murray's law, between junctions they taper slowly.

    Args:
        rng: decides everything.
        side: "left" (left main, LAD, LCX) or "right" (RCA, PDA, posterolateral).
        stenosis: largest relative reduction of the diameter at one place of a trunk, 0 to 1; 0 = none.

    Returns:
        The tree.
    """
    return _Growth(rng, side, stenosis).tree()


class _Growth:
    """The state of one growing tree."""

    def __init__(self, rng: Generator, side: Side, stenosis: float) -> None:
        self.rng, self.side, self.stenosis = rng, side, stenosis
        self.heart = _heart(rng)
        self.tortuosity = float(min(rng.lognormal(0.15, 0.4), 2.2))
        self.density = float(rng.uniform(0.8, 2.2))
        self.vessels: list[Vessel] = []

    def tree(self) -> Tree:
        rng = self.rng
        if self.side == "left":
            trunk, second, ratio = "LAD", "LCX", rng.uniform(0.68, 0.86)
            radius, sick = rng.uniform(1.5, 2.4), (0.2, 0.6)
        else:
            trunk, second, ratio = "RCA", "PDA", rng.uniform(0.55, 0.8)
            radius, sick = rng.uniform(1.2, 2.1), (0.15, 0.65)
        course = self._course(trunk, rng.uniform(0.82, 1.0))
        # The second trunk leaves where the two courses come closest: the end of the left main, or the crux.
        other = self._course(second, rng.uniform(0.45, 1.0))
        gap = np.linalg.norm(self.heart.place(course) - self.heart.place(other)[:1], axis=1)
        junction = int(gap.argmin())
        other = np.concatenate([course[junction][None], other[1:]])
        self._add(trunk, course, radius, -1, 0, [(junction, ratio, second, other)], sick if self.stenosis else None)
        return Tree(self.side, self.heart, tuple(self.vessels))

    def _course(self, name: str, extent: float) -> Array:
        """The trunk's way over the heart, (n, 3), jittered, cut to a fraction of its length."""
        way = np.array(_COURSES[name], dtype=float)
        way[1:, :2] += self.rng.normal(0, 3.0, (len(way) - 1, 2))
        way[:, :2] = np.deg2rad(way[:, :2])
        line = PchipInterpolator(np.arange(len(way)), way)(np.linspace(0, len(way) - 1, 400))
        line = gaussian_filter1d(line, 8, axis=0, mode="nearest")
        s = _arc(self.heart.place(line))
        at = np.arange(0, s[-1] * extent, STEP)
        return np.stack([np.interp(at, s, c) for c in line.T], axis=1)

    def _add(
        self,
        name: str,
        course: Array,
        radius: float,
        parent: int,
        junction: int,
        known: list[tuple[int, float, str, Array]],
        sick: tuple[float, float] | None = None,
    ) -> None:
        """Append a vessel with what leaves it. `known` are junctions with their ratio, name and course."""
        rng, n = self.rng, len(course)
        sites = known + self._branches(name, course, radius, {j for j, *_ in known})
        sites.sort(key=lambda site: site[0])

        s = np.linspace(0, (n - 1) * STEP, n)
        factor = np.exp(-s * rng.uniform(0.0008, 0.003))
        tip = max(0.6 * n, max((at for at, *_ in sites), default=0) + 1)
        factor *= 1 - 0.75 * np.clip((np.arange(n) - tip) / (n - tip), 0, 1)
        for at, ratio, *_ in sites:
            factor[at + 1 :] *= (1 - ratio**3) ** (1 / 3)  # Murray
        radii = radius * factor
        if sick is not None:
            centre, extent = rng.uniform(*sick) * n, rng.uniform(2.0, 5.0) / STEP
            narrowing = self.stenosis * np.exp(-(((np.arange(n) - centre) / extent) ** 2))
            radii = radii * (1 - narrowing)

        # Small vessels wind more, over shorter ways.
        wander = self.tortuosity * (0.9 if parent < 0 else rng.uniform(0.5, 1.1))
        wave = rng.uniform(5, 9) if radius > 1.2 else rng.uniform(2.5, 6)
        bends = wander * (smooth_noise(rng, n, wave / STEP, 3) + 0.45 * smooth_noise(rng, n, 0.4 * wave / STEP, 3))
        points, way = self.heart.place(course), 0.0
        if parent >= 0:
            points = points + (self.vessels[parent].points[junction] - points[0])
            way = float(self.vessels[parent].travelled[junction])
        points = points + bends * (1 - np.exp(-s / 6))[:, None]
        self.vessels.append(Vessel(name, points, radii, way + s, parent, junction))
        index = len(self.vessels) - 1
        for at, ratio, child, child_course in sites:
            self._add(child, child_course, float(radii[at] * ratio), index, at, [])

    def _branches(
        self, name: str, course: Array, radius: float, taken: set[int]
    ) -> list[tuple[int, float, str, Array]]:
        rng, n = self.rng, len(course)
        plan = _SITES.get(name)
        if plan is None:
            count = self.density * n * STEP / 22
            plan = (_Sites("twig", (0, max(1, round(2 * count))), (0.15, 0.85), 0, (0.45, 0.85), (8, 35)),)
        out: list[tuple[int, float, str, Array]] = []
        for kind in plan:
            for _ in range(int(rng.integers(kind.count[0], kind.count[1] + 1))):
                at, ratio = int(rng.uniform(*kind.stretch) * n), float(rng.uniform(*kind.ratio))
                length = float(rng.uniform(*kind.length)) * (1 if name in _SITES else min(1.0, radius / 0.8))
                side = kind.side or int(rng.choice((-1, 1)))
                branch = self._walk(course, at, side, length, kind.sink)
                if radius * ratio > THINNEST and len(branch) > 12 and not taken & set(range(at - 4, at + 5)):
                    taken.add(at)
                    out.append((at, ratio, kind.name, branch))
        return out

    def _walk(self, course: Array, at: int, side: int, length: float, sink: float) -> Array:
        """Walk over the heart from a place of the parent; headings are 0 towards the apex, +90° towards +φ."""
        rng, heart = self.rng, self.heart
        n = int(length / STEP)
        at = min(max(at, 1), len(course) - 2)
        theta, phi, depth = course[at]
        ahead = course[at + 1] - course[at - 1]
        metric = np.hypot(heart.length * np.sin(theta), heart.width * np.cos(theta))
        around = heart.width * max(abs(np.sin(theta)), 0.15)
        parent = np.arctan2(ahead[1] * around, -ahead[0] * metric)
        take_off = parent + side * np.deg2rad(rng.uniform(35, 80))
        goal = 0.55 * np.arctan2(np.sin(take_off), np.cos(take_off)) + rng.normal(0, 0.25)
        s = np.arange(n) * STEP
        heading = goal + (take_off - goal) * np.exp(-s / rng.uniform(8, 25))
        heading = heading + 0.3 * np.sqrt(s / (s + 10)) * smooth_noise(rng, n, 10 / STEP)[:, 0]
        thetas = theta - np.cumsum(np.cos(heading)) * STEP / metric
        rounds = heart.width * np.maximum(np.abs(np.sin(thetas)), 0.15)
        phis = phi + np.cumsum(np.sin(heading) * STEP / rounds)
        return np.stack([thetas, phis, depth * (1 - sink * (1 - np.exp(-s / 20)))], axis=1)


def _arc(points: Array) -> Array:
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


def _heart(rng: Generator) -> Heart:
    """A heart of adult size whose apex looks to the left, the front and the feet."""
    apex = np.array([0.6, -0.5, -0.62]) + rng.normal(0, 0.06, 3)
    apex /= np.linalg.norm(apex)
    front = np.array([0.0, -0.76, 0.65]) + rng.normal(0, 0.06, 3)
    front -= apex * (front @ apex)
    front /= np.linalg.norm(front)
    lateral = np.cross(front, apex)
    return Heart(np.stack([apex, front, lateral]), rng.uniform(56, 70), rng.uniform(38, 48))
